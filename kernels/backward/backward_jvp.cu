// The tangent of Ā of small matrices, on chip from Ȧ to Ā̇: docs/derivation.md, §10.
//
//   values  [batch, n] λ; kept [batch, n]; found [batch] statuses of the forward; vectors [batch,
//                      n, n] V, one vector after the other
//   values_bar, vectors_bar λ̄ and V̄, values_bar_dot, vectors_bar_dot their tangents, each null for
//     0; what lies outside K is not used
//   a_dot   [batch, n, n] row-major, of which one triangle is used
//   out     [batch, n, n] row-major, NaN for refused matrices; status [batch] found, what ties are,
//                         and RESULT_NOT_FINITE
//
// Ā̇ = V (ΩG − GΩ + Ġ) Vᴴ with Ω = F ∘ P. Where X is 0 in the columns of D, F ∘ X = 2G on D×K, hence
// P_DD (F ∘ X) is a product with 2G. Threads share matrices as in jvp/jvp.cu. Bytes: V, Ȧ, V̄, V̄̇, λ,
// λ̄, λ̄̇ read and Ā̇ written once. Flops, complex: 52·n³, 8·n³ more for V̄̇ and 8·n²|D|; a quarter of
// them if real.
#include "double_backward/second_order.cuh"

namespace eigengrad {

template <class O, int N, int TILE, int MATRICES, int BYTES>
__global__ void __launch_bounds__(MATRICES* layout<scalar_of<O>, N, TILE>::TEAM, 1)
    backward_jvp(long long batch, tie_rules rule, const stored_real_of<O>* __restrict__ values, const bool* __restrict__ kept,
                 const unsigned* __restrict__ found, const O* __restrict__ vectors, const stored_real_of<O>* __restrict__ values_bar,
                 const O* __restrict__ vectors_bar, const O* __restrict__ a_dot, const stored_real_of<O>* __restrict__ values_bar_dot,
                 const O* __restrict__ vectors_bar_dot, O* __restrict__ out, unsigned* __restrict__ status) {
    using of = second_order<O, N, TILE, MATRICES>;
    using S = typename of::S;
    using R = typename of::R;
    constexpr int LD = of::LD;
    static_assert(of::BYTES <= BYTES, "the shared memory of the launch holds four matrices and their columns");
    extern __shared__ uint4 memory[];
    const of a(memory, batch);
    const S *const p = a.p, *const g = a.g;
    S* const x = a.x;
    auto& c = a.c;

    a.load(rule, values, kept, found, vectors, values_bar, values_bar_dot, a_dot);
    if (vectors_bar) a.template inner<false>(vectors_bar, a.all_x, x);
    __syncthreads();
    a.f_matrix([&](int i, int j) { return vectors_bar ? x[i * LD + j] - conj(x[j * LD + i]) : make<S>::from(0, 0); });
    __syncthreads();

    const int I = TILE * a.I, J = TILE * a.J;
    // VᴴV̄̇ − ΩX, on D×K + P_DD (F ∘ X); less ½(λ̇_j − λ̇_i) 2G, of which twice the skew part is the
    // whole
    tile<S, TILE> x_dot;
    if (a.works && vectors_bar && c.dropped) {
        add_by_rows<LD>(x_dot, N, p + I, g + J, [&](int k) { return !c.label[k]; });
#pragma unroll
        for (int u = 0; u < TILE; ++u)
#pragma unroll
            for (int w = 0; w < TILE; ++w)
                if (I + u < N && c.label[I + u]) x_dot.at[u][w] = make<S>::from(0, 0);
    }
    __syncthreads();
    a.turn(rule);
    __syncthreads();
    tile<S, TILE> turned; // −2ΩG
    if (a.works) {
        add_by_rows<LD>(turned, N, p + I, g + J);
        if (vectors_bar) {
            add_by_rows<LD>(x_dot, N, p + I, x + J); // − ΩX
#pragma unroll
            for (int u = 0; u < TILE; ++u)
#pragma unroll
                for (int w = 0; w < TILE; ++w)
                    if (I + u < N && J + w < N)
                        x_dot.at[u][w] = x_dot.at[u][w] - times(g[(I + u) * LD + J + w], R(0.5) * (c.dot[J + w] - c.dot[I + u]));
        }
    }
    __syncthreads();
    if (a.works) {
        write_rows<LD>(x + I * LD + J, x_dot);
        write_rows<LD>(a.p + I * LD + J, turned);
        c.infinite[a.t] = false;
    }
    if (vectors_bar_dot) a.template inner<false>(vectors_bar_dot, a.all_g, a.g);
    __syncthreads();
    a.each_pair([&](int i, int j) { // B
        S entry = p[i * LD + j] + conj(p[j * LD + i]);
        if (i == j) {
            entry = make<S>::from(c.more[j] - R(0.5) * re(entry), 0);
        } else {
            S skew = x[i * LD + j] - conj(x[j * LD + i]);
            if (vectors_bar_dot) skew = skew + (g[i * LD + j] - conj(g[j * LD + i]));
            entry = times(c.times_f(skew, i, j) - entry, R(0.5));
        }
        x[i * LD + j] = entry;
        x[j * LD + i] = conj(entry);
    });
    a.expand(out, status);
}

} // namespace eigengrad
