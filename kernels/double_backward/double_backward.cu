// The double backward pass of small matrices, on chip from H to the cotangents of A, λ̄ and V̄:
// docs/derivation.md, §9.
//
//   values  [batch, n] λ; kept [batch, n]; found [batch] statuses of the forward; vectors [batch,
//                      n, n] V, one vector after the other
//   values_bar, vectors_bar λ̄ and V̄, values_down, vectors_down those from downstream, each null for
//     0; what lies outside K is not used
//   h       [batch, n, n] row-major, of which one triangle is used
//   a_bar   [batch, n, n] row-major; values_bar_bar [batch, n], vectors_bar_bar [batch, n, n] as V;
//                         0 outside K, NaN for refused matrices
//   status  [batch] found, what ties are, and RESULT_NOT_FINITE
//
// B = F ∘ skew(M), M = 2QG − XΩ + what comes from downstream, Ω = F ∘ Q; on D×D, where X is 0 in
// the columns of D and hence F ∘ X = 2G on D×K, B = herm(2ΩG). Threads share matrices as in
// jvp/jvp.cu. Bytes: V, H, V̄, λ, λ̄ read and Ā̄, V̄̄, λ̄̄ written once. Flops, complex: 60·n³, 8·n³ more
// where D is not empty and as many for what comes from downstream; a quarter of them if real.
#include "double_backward/second_order.cuh"

namespace eigengrad {

template <class O, int N, int TILE, int MATRICES, int BYTES>
__global__ void __launch_bounds__(MATRICES* layout<scalar_of<O>, N, TILE>::TEAM, 1)
    double_backward(long long batch, tie_rules rule, const stored_real_of<O>* __restrict__ values, const bool* __restrict__ kept,
                    const unsigned* __restrict__ found, const O* __restrict__ vectors, const stored_real_of<O>* __restrict__ values_bar,
                    const O* __restrict__ vectors_bar, const O* __restrict__ h, const stored_real_of<O>* __restrict__ values_down,
                    const O* __restrict__ vectors_down, O* __restrict__ a_bar, stored_real_of<O>* __restrict__ values_bar_bar,
                    O* __restrict__ vectors_bar_bar, unsigned* __restrict__ status) {
    using of = second_order<O, N, TILE, MATRICES>;
    using S = typename of::S;
    using R = typename of::R;
    constexpr int LD = of::LD;
    static_assert(of::BYTES <= BYTES, "the shared memory of the launch holds four matrices and their columns");
    extern __shared__ uint4 memory[];
    const of a(memory, batch);
    const S *const v = a.v, *const p = a.p, *const g = a.g;
    S* const x = a.x;
    auto& c = a.c;

    a.load(rule, values, kept, found, vectors, values_bar, values_down, h);
    if (vectors_bar) a.template inner<true>(vectors_bar, a.all_x, x); // Xᴴ
    __syncthreads();
    a.f_matrix([&](int i, int j) { return vectors_bar ? conj(x[j * LD + i]) - x[i * LD + j] : make<S>::from(0, 0); });
    __syncthreads();

    const int I = TILE * a.I, J = TILE * a.J;
    tile<S, TILE> m;
    if (a.works) add_by_rows<LD>(m, N, p + I, g + J); // 2QG
    __syncthreads();
    a.turn(rule);
    __syncthreads();
    if (a.works) {
        if (vectors_bar) subtract_by_rows<LD>(m, N, x + I, p + J); // − XΩ
        if (c.dropped) {
            tile<S, TILE> turned; // −2ΩG
            add_by_rows<LD>(turned, N, p + I, g + J);
#pragma unroll
            for (int u = 0; u < TILE; ++u)
#pragma unroll
                for (int w = 0; w < TILE; ++w)
                    if (I + u < N && J + w < N && !c.label[I + u] && !c.label[J + w]) m.at[u][w] = times(turned.at[u][w], -1);
        }
        for (int k = a.t; k < N; k += of::on::TEAM) { // ℓ
            R sum = 0;
            for (int i = 0; i < N; ++i) sum += re(p[i * LD + k]) * re(g[i * LD + k]) + im(p[i * LD + k]) * im(g[i * LD + k]);
            c.more[k] -= sum;
        }
    }
    tile<S, TILE> z;
    if (a.works) add_plain<LD>(z, N, v + I, p + J); // V Ω
    __syncthreads();
    if (a.works) {
        write_rows<LD>(x + I * LD + J, m);
        write_vectors<O, N, LD>(a.p, z, c, a.t, a.I, a.J, refused(c.status));
    }
    if (vectors_down) a.template inner<false>(vectors_down, a.all_g, a.g);
    __syncthreads();
    scatter<N, of::THREADS>(vectors_bar_bar + a.first * N * N, a.here * N, a.all_p, column_at<typename of::on, N>);
    for (int k = threadIdx.x; k < a.here * N; k += of::THREADS) {
        const auto& column = a.all[k / N];
        const R stored = refused(column.status) ? limits<R>::nan() : column.dot[k % N];
        values_bar_bar[a.first * N + k] = narrow<stored_real_of<O>>::from(stored);
    }
    a.each_pair([&](int i, int j) { // B
        S m_ij = x[i * LD + j], m_ji = x[j * LD + i];
        if (!c.label[i] && !c.label[j]) {
            m_ij = times(m_ij + conj(m_ji), R(0.5));
        } else if (i == j) {
            m_ij = make<S>::from(c.more[j], 0);
        } else {
            if (vectors_down) m_ij = m_ij + g[i * LD + j], m_ji = m_ji + g[j * LD + i];
            m_ij = c.times_f(times(m_ij - conj(m_ji), R(0.5)), i, j);
        }
        x[i * LD + j] = m_ij;
        x[j * LD + i] = conj(m_ij);
    });
    a.expand(a_bar, status);
}

} // namespace eigengrad
