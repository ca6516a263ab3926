// V_K f(Λ_K) V_Kᴴ and s·V (W ∘ VᴴEV) Vᴴ of small matrices, on chip: docs/derivation.md, §11.
//
//   values  [batch, n] λ; kept [batch, n]; found [batch] statuses of the forward; vectors [batch,
//                      n, n] V, one vector after the other
//   given, given_slopes [batch, n] f and f′ of a function that is given; not read outside K
//   e       [batch, n, n] row-major, of which one triangle is used; scale [batch] s, or null for 1
//   out     [batch, n, n] row-major, both triangles; NaN for failed matrices and where f is not
//                         defined
//   status  [batch] found, OUTSIDE_DOMAIN and RESULT_NOT_FINITE
//
// W as in spectral/spectral_products.cu. A team of TEAM threads shares a matrix, a tile each;
// MATRICES are in a block. Bytes: V, λ and E read, the result written once. Flops, complex: 28·n³
// for the map, 4·n³ for the function; a quarter of them if real.
#include "lib/shared.cuh"
#include "spectral/function.cuh"

namespace eigengrad {

// What is decided for the whole batch.
struct map_rules {
    function f;
    double tie_rtol;
    int dropped_zero, slopes, products, read;
};
static_assert(sizeof(map_rules) == 48, "as src/cuda/spectral.rs has it");

// The columns of one matrix.
template <class R, int N, int TILES>
struct spectral_columns {
    R lambda[N], f[N], slope[N], other[N];
    int label[N]; // 0 on D, 1 on K, 2 on K where f is not defined
    R within;
    int lift; // e of λ·2⁻ᵉ, of which f is sampled
    unsigned status;
    unsigned char infinite[TILES];

    __device__ sampled<R> at(int k) const { return {lambda[k], f[k], slope[k], other[k]}; }
};

// f at eigenvalue k of matrix b.
template <int N, class C, class V>
__device__ void sample_column(C& c, const map_rules& rule, bool lifts, int k, long long b, const V* values, const bool* kept, const V* given,
                              const V* given_slopes) {
    using R = decltype(c.within);
    const long long row = b * N, e = row + k;
    const R x = widen(values[e]);
    const int unit = unit_of(R(widen(values[row])), R(widen(values[row + N - 1]))), lift = lifts ? lift_of(rule.f, unit, x) : 0;
    const bool keep = kept[e], is_defined = keep && defined_at(rule.f, x);
    sampled<R> at = {keep || !rule.dropped_zero ? scaled(x, -lift) : R(0), 0, 0, 0};
    if (is_defined && rule.f.kind == GIVEN) at = {at.lambda, widen(given[e]), scaled(widen(given_slopes[e]), lift), 0};
    else if (is_defined) at = sample(rule.f, x, unit, lift);
    if (k == 0) c.lift = lift;
    c.lambda[k] = at.lambda;
    c.f[k] = at.f;
    c.slope[k] = at.slope;
    c.other[k] = at.other;
    c.label[k] = is_defined ? 1 : keep ? 2 : 0;
}

// What is to be known of a matrix as a whole.
template <int N, class C>
__device__ void judge(C& c, const map_rules& rule, decltype(C::within) norm, unsigned found) {
    bool outside = false;
    for (int k = 0; k < N; ++k) outside |= c.label[k] == 2;
    c.within = static_cast<decltype(c.within)>(rule.tie_rtol) * scaled(norm, -c.lift);
    c.status = found | (outside && !(found & FAILED) ? OUTSIDE_DOMAIN : 0);
}

// The weight of a pair.
template <class C>
__device__ auto weight_of(const C& c, const map_rules& rule, int i, int j) {
    const bool keep_i = c.label[i], keep_j = c.label[j];
    if (rule.products) return keep_i && keep_j ? c.f[i] * c.f[j] : decltype(c.within)(0);
    return divided_on_kept(rule.f, c.at(i), keep_i, c.at(j), keep_j, c.within);
}

template <class O, int N, int TILE, int MATRICES, int BYTES>
__global__ void __launch_bounds__(MATRICES* layout<scalar_of<O>, N, TILE>::TEAM, 1)
    map(long long batch, map_rules rule, const stored_real_of<O>* __restrict__ values, const bool* __restrict__ kept,
        const unsigned* __restrict__ found, const O* __restrict__ vectors, const stored_real_of<O>* __restrict__ given,
        const stored_real_of<O>* __restrict__ given_slopes, const O* __restrict__ matrices, const real_of<O>* __restrict__ scale,
        O* __restrict__ out, unsigned* __restrict__ status) {
    using S = scalar_of<O>;
    using R = real_of<O>;
    using on = layout<S, N, TILE>;
    using C = spectral_columns<R, N, on::LOWER>;
    constexpr int LD = on::LD, SIZE = on::SIZE, THREADS = MATRICES * on::TEAM;
    static_assert(MATRICES * (2 * SIZE * sizeof(S) + sizeof(C)) <= BYTES, "the shared memory of the launch holds two matrices and their columns");
    extern __shared__ uint4 memory[];
    S* const all_v = reinterpret_cast<S*>(memory); // V; at the end the result
    S* const all_e = all_v + MATRICES * SIZE;      // E, EV, W ∘ Q, V (W ∘ Q), in turn
    C* const all = reinterpret_cast<C*>(all_e + MATRICES * SIZE);

    const long long first = static_cast<long long>(blockIdx.x) * MATRICES;
    const int here = batch - first < MATRICES ? static_cast<int>(batch - first) : MATRICES;
    for (int e = threadIdx.x; e < here * N; e += THREADS)
        sample_column<N>(all[e / N], rule, matrices && !rule.products, e % N, first + e / N, values, kept, given, given_slopes);
    clear_padding<on, N>(all_v, 2 * MATRICES);
    gather_all<N, THREADS>(vectors + first * N * N, here * N, all_v, column_at<on, N>);
    if (matrices) gather_all<N, THREADS>(matrices + first * N * N, here * N, all_e, column_at<on, N>);
    await_copies();
    __syncthreads();
    for (int m = threadIdx.x; m < here; m += THREADS) {
        const long long row = (first + m) * N;
        judge<N>(all[m], rule, larger(magnitude(widen(values[row])), magnitude(widen(values[row + N - 1]))), found[first + m]);
    }

    const int m = threadIdx.x / on::TEAM, t = threadIdx.x % on::TEAM, I = t % on::SIDE, J = t / on::SIDE;
    const bool works = m < here;
    const C& c = all[m];
    S* const v = all_v + m * SIZE;
    S* const e = all_e + m * SIZE;
    tile<S, TILE> z;
    if (matrices) {
        if (works) complete<on, N>(e, t, rule.read);
        __syncthreads();
        to_basis<on, N, TILE>(works, v, e, I, J);
        __syncthreads();
        if (works)
            for (int p = t; p < N * (N + 1) / 2; p += on::TEAM) { // W ∘ Q
                int i, j;
                pair_at<N>(p, i, j);
                const R by = weight_of(c, rule, i, j);
                const S entry = c.label[i] || c.label[j] ? times_weight(e[i * LD + j], by, rule.f, c.lift) : make<S>::from(0, 0);
                e[i * LD + j] = entry;
                e[j * LD + i] = i == j ? make<S>::from(re(entry), 0) : conj(entry);
            }
        __syncthreads();
        if (works) add_plain<LD>(z, N, v + TILE * I, e + TILE * J);
        __syncthreads();
    } else if (works) {
        z = weighted<LD, S, TILE>(v + TILE * (J * LD + I), (rule.slopes ? c.slope : c.f) + TILE * J);
    }
    if (works) write_columns<LD>(e + TILE * (J * LD + I), z);
    __syncthreads();

    const lower_tile<on> mine;
    const bool owns = mine.owner < here;
    tile<S, TILE> a;
    if (owns) add_outer<LD>(a, N, all_e + mine.owner * SIZE + TILE * mine.row, all_v + mine.owner * SIZE + TILE * mine.column);
    __syncthreads();
    if (owns) {
        C& of = all[mine.owner];
        const bool refuse = refused(of.status);
        const R factor = scale ? scale[first + mine.owner] : R(1);
        const bool all_finite = mirror<O, N, LD>(all_v + mine.owner * SIZE, a, mine.row, mine.column, factor, refuse);
        of.infinite[mine.number] = !all_finite && !refuse;
    }
    __syncthreads();
    scatter<N, THREADS>(out + first * N * N, here * N, all_v, column_at<on, N>);
    for (int q = threadIdx.x; q < here; q += THREADS) {
        bool infinite = false;
        for (int k = 0; k < on::LOWER; ++k) infinite |= all[q].infinite[k];
        status[first + q] = all[q].status | (infinite ? RESULT_NOT_FINITE : 0);
    }
}

} // namespace eigengrad
