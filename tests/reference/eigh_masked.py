# From the reference implementation of the project, reference/eigh_masked.py, unchanged below this
# line.
"""Reference (numpy, complex128) formulas for the differentiable, masked Hermitian
eigendecomposition.  Every function here is checked by check_backward.py.

Conventions
  A = V diag(lam) V^H, A Hermitian, lam ascending.
  Kept set K (|lam| > tau), dropped set D = complement.  Outputs: lam_K, V_K.
  Gradient convention (= PyTorch): gX is such that dL = Re tr(gX^H dX) for real loss L.
  F_ij = 1/(lam_j - lam_i).
"""
import numpy as np

H = lambda X: np.conj(np.swapaxes(X, -1, -2))
herm = lambda X: 0.5 * (X + H(X))
skew = lambda X: 0.5 * (X - H(X))


def keep_mask(lam, atol=0.0, rtol=None):
    """|lam| > max(atol, rtol*max|lam|); default rtol = max(n, 10)*eps (null noise is about 3.5*eps, flat in n)."""
    if rtol is None:
        rtol = max(lam.shape[-1], 10) * np.finfo(lam.dtype).eps
    tau = max(atol, rtol * (np.abs(lam).max() if lam.size else 0.0))
    return np.abs(lam) > tau


def fmat(lam, keep, groups=None):
    """Masked F: 1/(lam_j-lam_i) except 0 on the diagonal, 0 on D x D and 0 inside a
    declared degenerate group of K (groups: int label per index, equal = same group)."""
    n = lam.size
    d = lam[None, :] - lam[:, None]
    on = keep[:, None] | keep[None, :]
    on &= ~np.eye(n, dtype=bool)
    if groups is not None:
        on &= groups[:, None] != groups[None, :]
    F = np.zeros((n, n))
    F[on] = 1.0 / d[on]
    return F


# ---------------------------------------------------------------- first order
def vjp_full(lam, V, keep, gl, gV, groups=None):
    """n x n form.  gl: (n,) or None, gV: (n,n) or None, columns outside K ignored."""
    n = lam.size
    G = np.zeros((n, n), V.dtype)
    if gV is not None:
        X = H(V) @ np.where(keep[None, :], gV, 0)
        G += fmat(lam, keep, groups) * skew(X)
    if gl is not None:
        G[np.arange(n), np.arange(n)] += np.where(keep, gl, 0)
    return V @ G @ H(V)


def vjp_trunc(lamK, VK, gl, gVK, groups=None):
    """Kept-block-only form; exact when the dropped eigenvalues are exactly 0.
    One r x r product, one n x r x r product, one rank-2r Hermitian update."""
    n, r = VK.shape
    G = np.zeros((r, r), VK.dtype)
    Z = np.zeros_like(VK)
    if gVK is not None:
        X = H(VK) @ gVK
        G += fmat(lamK, np.ones(r, bool), groups) * skew(X)
        # 1/2 (I - VK VK^H) gVK diag(1/lam)  folded into the second GEMM
        Z += 0.5 * gVK / lamK[None, :]
        G -= X / lamK[None, :]          # note: this makes G non-Hermitian on purpose
    if gl is not None:
        G[np.arange(r), np.arange(r)] += gl
    Z += VK @ (0.5 * G)
    return Z @ H(VK) + VK @ H(Z)        # her2k


def vjp_trunc_neumann(A, lamK, VK, gl, gVK, terms=8):
    """Kept-block-only form with dropped eigenvalues not 0: resolvent by Neumann series
    z_j = sum_k A_D^k w_j / lam_j^(k+1); converges iff max|lam_D| < min|lam_K|."""
    n, r = VK.shape
    X = H(VK) @ gVK
    W = gVK - VK @ X
    AD = lambda Y: A @ Y - VK @ (lamK[:, None] * (H(VK) @ Y))
    U = np.zeros_like(W)
    T = W / lamK[None, :]
    for _ in range(terms):
        U += T
        T = AD(T) / lamK[None, :]
    G = fmat(lamK, np.ones(r, bool)) * skew(X)
    if gl is not None:
        G = G + np.diag(gl)
    Z = 0.5 * (VK @ G + U)
    return Z @ H(VK) + VK @ H(Z)


def jvp(lam, V, keep, dA):
    """Parallel-transport gauge (diag V^H dV = 0).  Returns dlam_K, dV_K in full-size
    arrays with zero outside K."""
    P = H(V) @ dA @ V
    dl = np.where(keep, np.real(np.diagonal(P)), 0)
    dV = V @ (fmat(lam, keep) * P)
    return dl, np.where(keep[None, :], dV, 0)


def jvp_trunc(lamK, VK, dA):
    W = dA @ VK
    P = H(VK) @ W
    r = lamK.size
    dV = VK @ (fmat(lamK, np.ones(r, bool)) * P) + (W - VK @ P) / lamK[None, :]
    return np.real(np.diagonal(P)), dV


def gauge_residual(V, keep, gV, groups=None):
    """Diagnostics. max |Im diag(V^H gV)| on K, and max |skew(V^H gV)| inside groups."""
    X = H(V) @ np.where(keep[None, :], gV, 0)
    d = np.abs(np.imag(np.diagonal(X)))[keep].max(initial=0.0)
    g = 0.0
    if groups is not None:
        same = (groups[:, None] == groups[None, :]) & keep[:, None] & keep[None, :]
        g = np.abs(skew(X)[same]).max(initial=0.0)
    return d, g


# ---------------------------------------------------------------- second order
def double_vjp_full(lam, V, keep, gl, gV, Hc, lbar=None, Vbar=None):
    """VJP of (A, gl, gV) -> gA = vjp_full(...), cotangent Hc (n x n).
    Returns (A_bar, ggl, ggV).  lbar/Vbar: extra cotangents on lam_K,V_K produced
    downstream (e.g. by the Hessian of the loss); added before the second eigh VJP.
    No division by a gap inside D x D."""
    n = lam.size
    Hc = herm(Hc)
    F = fmat(lam, keep)
    K2 = keep[None, :]
    gV = np.where(K2, gV, 0)
    Q = H(V) @ Hc @ V
    X = H(V) @ gV
    S = skew(X)
    G = F * S + np.diag(np.where(keep, gl, 0)).astype(V.dtype)
    ggl = np.where(keep, np.real(np.diagonal(Q)), 0)
    ggV = np.where(K2, V @ (F * Q), 0)
    # M = V^H Vbar_total ; Vbar = 2 Hc V G - gV (F o Q) (+ downstream)
    M = 2 * Q @ G - X @ (F * Q)
    if Vbar is not None:
        M = M + H(V) @ np.where(K2, Vbar, 0)
    R = np.real(np.conj(Q) * X)
    lb = (F * F * (R - R.T)).sum(1)
    if lbar is not None:
        lb = lb + np.where(keep, lbar, 0)
    B = F * skew(M)
    B[np.arange(n), np.arange(n)] += np.where(keep, lb, 0)
    # D x D block, closed form (limit of skew(M)/gap): herm((F o Q)_DK (F o X)_DK^H)
    D = ~keep
    FQ = (F * Q)[np.ix_(D, keep)]
    FX = (F * X)[np.ix_(D, keep)]
    B[np.ix_(D, D)] = herm(FQ @ H(FX))
    return V @ B @ H(V), ggl, ggV


# ---------------------------------------------------------------- matrix functions
def divided(f, df, lam, tol=0.0):
    """First divided differences f[l_i,l_j], with df on (near-)ties."""
    d = lam[None, :] - lam[:, None]
    fl = f(lam)
    out = np.empty_like(d)
    tie = np.abs(d) <= tol
    out[~tie] = (fl[None, :] - fl[:, None])[~tie] / d[~tie]
    out[tie] = df(0.5 * (lam[None, :] + lam[:, None]))[tie]
    return out


def specfun_vjp(lam, V, D1, gB):
    """B = V f(lam) V^H, D1 = first divided differences of f (real symmetric)."""
    return V @ (D1 * (H(V) @ herm(gB) @ V)) @ H(V)


def divided_masked(f, df, lam, keep, tol=0.0):
    """f on K, 0 on D: divided differences of the masked function.
    KK: usual; KD: f(lam_j)/(lam_j-lam_i); DD: 0."""
    n = lam.size
    D1 = np.zeros((n, n))
    kk = np.ix_(keep, keep)
    D1[kk] = divided(f, df, lam[keep], tol)
    kd = np.ix_(keep, ~keep)
    D1[kd] = f(lam[keep])[:, None] / (lam[keep][:, None] - lam[~keep][None, :])
    D1[np.ix_(~keep, keep)] = D1[kd].T
    return D1


def projector_vjp(lam, V, keep, gP):
    """P = V_K V_K^H.  Exact whatever the degeneracies inside K and inside D."""
    n = lam.size
    D1 = np.zeros((n, n))
    kd = np.ix_(keep, ~keep)
    D1[kd] = 1.0 / (lam[keep][:, None] - lam[~keep][None, :])
    D1[np.ix_(~keep, keep)] = D1[kd].T
    return specfun_vjp(lam, V, D1, gP)


def double_vjp_trunc(lamK, VK, gl, gV, Hc, lbar=None, Vbar=None):
    """Kept-block-only double backward, exact for lam_D = 0.  Needs only V_K and two
    products Hc @ (n x r).  Returns (A_bar, ggl, ggV)."""
    n, r = VK.shape
    Hc = herm(Hc)
    F = fmat(lamK, np.ones(r, bool))
    PD = lambda Y: Y - VK @ (H(VK) @ Y)
    HV = Hc @ VK
    Q = H(VK) @ HV
    X = H(VK) @ gV
    U = PD(gV) / lamK[None, :]                 # V_D (F_DK o X_DK)
    Y = PD(HV) / lamK[None, :]                 # V_D (F_DK o Q_DK)
    G = F * skew(X) + np.diag(gl).astype(VK.dtype)
    FQ = F * Q
    ggl = np.real(np.diagonal(Q)).copy()
    ggV = VK @ FQ + Y
    HU = Hc @ U
    MK = 2 * (Q @ G) + H(VK) @ HU - X @ FQ
    W = 2 * HV @ G + HU - gV @ FQ
    if Vbar is not None:
        MK = MK + H(VK) @ Vbar
        W = W + Vbar
    R = np.real(np.conj(Q) * X)
    lb = (F * F * (R - R.T)).sum(1) - np.real(np.sum(np.conj(Y) * U, 0))
    if lbar is not None:
        lb = lb + lbar
    B = F * skew(MK) + np.diag(lb)
    T = 0.5 * (PD(W) - U @ Q - Y @ H(X)) / lamK[None, :]
    Ab = VK @ B @ H(VK) + T @ H(VK) + VK @ H(T) + 0.5 * (Y @ H(U) + U @ H(Y))
    return Ab, ggl, ggV


# ---------------------------------------------------------------- batched, static shape
def vjp_batched(lam, V, keep, gl, gV):
    """(B,n),(B,n,n),(B,n) bool,(B,n),(B,n,n) -> (B,n,n).  Ragged rank by mask only: no
    gather, no shape that depends on data, no host decision; 3 batched n^3 products.
    Exact for lam_D != 0.  A matrix with empty K gives an exact zero gradient."""
    n = lam.shape[-1]
    gVm = np.where(keep[..., None, :], gV, 0)
    X = H(V) @ gVm
    d = lam[..., None, :] - lam[..., :, None]
    on = (keep[..., :, None] | keep[..., None, :]) & ~np.eye(n, dtype=bool)
    F = np.where(on, 1.0 / np.where(on, d, 1.0), 0.0)     # no 0/0 is ever formed
    G = F * skew(X)
    i = np.arange(n)
    G[..., i, i] += np.where(keep, gl, 0)
    return V @ G @ H(V)
