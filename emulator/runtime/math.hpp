// CUDA's mathematical functions, integer intrinsics, bit casts, cached loads and atomics, in the global namespace.
#pragma once

// double name(double), float name(float), float namef(float); the same of two.
#define EG_UNARY(name)                                                                                                \
    extern "C" double name(double) noexcept;                                                                          \
    extern "C" float name##f(float) noexcept;                                                                         \
    inline float name(float x) { return __builtin_##name##f(x); }
#define EG_BINARY(name)                                                                                               \
    extern "C" double name(double, double) noexcept;                                                                  \
    extern "C" float name##f(float, float) noexcept;                                                                  \
    inline float name(float x, float y) { return __builtin_##name##f(x, y); }                                         \
    inline double name(float x, double y) { return name(static_cast<double>(x), y); }                                 \
    inline double name(double x, float y) { return name(x, static_cast<double>(y)); }
EG_UNARY(sqrt) EG_UNARY(cbrt) EG_UNARY(fabs) EG_UNARY(exp) EG_UNARY(exp2) EG_UNARY(expm1) EG_UNARY(log) EG_UNARY(log2) EG_UNARY(log10)
EG_UNARY(log1p) EG_UNARY(sin) EG_UNARY(cos) EG_UNARY(tan) EG_UNARY(asin) EG_UNARY(acos) EG_UNARY(atan) EG_UNARY(sinh) EG_UNARY(cosh)
EG_UNARY(tanh) EG_UNARY(floor) EG_UNARY(ceil) EG_UNARY(trunc) EG_UNARY(round) EG_UNARY(rint) EG_UNARY(nearbyint) EG_UNARY(logb)
EG_UNARY(erf) EG_UNARY(erfc)
EG_BINARY(fmax) EG_BINARY(fmin) EG_BINARY(hypot) EG_BINARY(copysign) EG_BINARY(pow) EG_BINARY(atan2) EG_BINARY(fmod) EG_BINARY(fdim)
EG_BINARY(nextafter) EG_BINARY(remainder)
#undef EG_UNARY
#undef EG_BINARY

extern "C" double fma(double, double, double) noexcept;
extern "C" float fmaf(float, float, float) noexcept;
inline float fma(float x, float y, float z) { return __builtin_fmaf(x, y, z); }
extern "C" double ldexp(double, int) noexcept;
extern "C" float ldexpf(float, int) noexcept;
inline float ldexp(float x, int e) { return __builtin_ldexpf(x, e); }
extern "C" double scalbn(double, int) noexcept;
extern "C" float scalbnf(float, int) noexcept;
inline float scalbn(float x, int e) { return __builtin_scalbnf(x, e); }
extern "C" int ilogb(double) noexcept;
extern "C" int ilogbf(float) noexcept;
inline int ilogb(float x) { return __builtin_ilogbf(x); }
extern "C" double frexp(double, int*) noexcept;
extern "C" float frexpf(float, int*) noexcept;
inline float frexp(float x, int* e) { return __builtin_frexpf(x, e); }
extern "C" void sincos(double, double*, double*) noexcept;
extern "C" void sincosf(float, float*, float*) noexcept;
inline void sincos(float x, float* s, float* c) { sincosf(x, s, c); }
inline double rsqrt(double x) { return 1 / __builtin_sqrt(x); }
inline float rsqrtf(float x) { return 1 / __builtin_sqrtf(x); }
inline float rsqrt(float x) { return rsqrtf(x); }
inline bool isfinite(double x) { return __builtin_isfinite(x); }
inline bool isfinite(float x) { return __builtin_isfinite(x); }
inline bool isnan(double x) { return __builtin_isnan(x); }
inline bool isnan(float x) { return __builtin_isnan(x); }
inline bool isinf(double x) { return __builtin_isinf(x); }
inline bool isinf(float x) { return __builtin_isinf(x); }
inline bool signbit(double x) { return __builtin_signbit(x); }
inline bool signbit(float x) { return __builtin_signbit(x); }

inline int abs(int x) { return x < 0 ? -x : x; }
inline long abs(long x) { return x < 0 ? -x : x; }
inline long long abs(long long x) { return x < 0 ? -x : x; }
inline double abs(double x) { return __builtin_fabs(x); }
inline float abs(float x) { return __builtin_fabsf(x); }
#define EG_ORDER(T)                                                                                                   \
    inline T max(T x, T y) { return x > y ? x : y; }                                                                  \
    inline T min(T x, T y) { return x < y ? x : y; }
EG_ORDER(int) EG_ORDER(unsigned) EG_ORDER(long) EG_ORDER(unsigned long) EG_ORDER(long long) EG_ORDER(unsigned long long)
#undef EG_ORDER
inline unsigned max(int x, unsigned y) { return max(static_cast<unsigned>(x), y); }
inline unsigned max(unsigned x, int y) { return max(x, static_cast<unsigned>(y)); }
inline unsigned min(int x, unsigned y) { return min(static_cast<unsigned>(x), y); }
inline unsigned min(unsigned x, int y) { return min(x, static_cast<unsigned>(y)); }
inline float max(float x, float y) { return __builtin_fmaxf(x, y); }
inline float min(float x, float y) { return __builtin_fminf(x, y); }
inline double max(double x, double y) { return __builtin_fmax(x, y); }
inline double min(double x, double y) { return __builtin_fmin(x, y); }
inline double max(float x, double y) { return __builtin_fmax(x, y); }
inline double max(double x, float y) { return __builtin_fmax(x, y); }
inline double min(float x, double y) { return __builtin_fmin(x, y); }
inline double min(double x, float y) { return __builtin_fmin(x, y); }

// Rounded once, to nearest: never contracted into an fma, which -ffp-contract=off sees to here.
inline float __fadd_rn(float x, float y) { return x + y; }
inline float __fsub_rn(float x, float y) { return x - y; }
inline float __fmul_rn(float x, float y) { return x * y; }
inline float __fdiv_rn(float x, float y) { return x / y; }
inline float __fmaf_rn(float x, float y, float z) { return __builtin_fmaf(x, y, z); }
inline float __fsqrt_rn(float x) { return __builtin_sqrtf(x); }
inline float __frcp_rn(float x) { return 1 / x; }
inline float __fdividef(float x, float y) { return x / y; }
inline double __dadd_rn(double x, double y) { return x + y; }
inline double __dsub_rn(double x, double y) { return x - y; }
inline double __dmul_rn(double x, double y) { return x * y; }
inline double __ddiv_rn(double x, double y) { return x / y; }
inline double __fma_rn(double x, double y, double z) { return __builtin_fma(x, y, z); }
inline double __dsqrt_rn(double x) { return __builtin_sqrt(x); }
inline double __drcp_rn(double x) { return 1 / x; }

inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __popcll(unsigned long long x) { return __builtin_popcountll(x); }
inline int __clz(int x) { return x ? __builtin_clz(x) : 32; }
inline int __clzll(long long x) { return x ? __builtin_clzll(x) : 64; }
inline int __ffs(int x) { return __builtin_ffs(x); }
inline int __ffsll(long long x) { return __builtin_ffsll(x); }
inline unsigned __brev(unsigned x) {
    unsigned y = 0;
    for (int i = 0; i < 32; ++i) y |= (x >> i & 1u) << (31 - i);
    return y;
}
inline int __mulhi(int x, int y) { return static_cast<int>(static_cast<long long>(x) * y >> 32); }
inline unsigned __umulhi(unsigned x, unsigned y) { return static_cast<unsigned>(static_cast<unsigned long long>(x) * y >> 32); }
inline int __mul24(int x, int y) { return x * y; }

template <class To, class From>
To eg_bits(From x) {
    static_assert(sizeof(To) == sizeof(From), "a bit cast keeps the size");
    To to;
    __builtin_memcpy(&to, &x, sizeof to);
    return to;
}
inline unsigned __float_as_uint(float x) { return eg_bits<unsigned>(x); }
inline float __uint_as_float(unsigned x) { return eg_bits<float>(x); }
inline int __float_as_int(float x) { return eg_bits<int>(x); }
inline float __int_as_float(int x) { return eg_bits<float>(x); }
inline long long __double_as_longlong(double x) { return eg_bits<long long>(x); }
inline double __longlong_as_double(long long x) { return eg_bits<double>(x); }
inline int __double2hiint(double x) { return static_cast<int>(__double_as_longlong(x) >> 32); }
inline int __double2loint(double x) { return static_cast<int>(__double_as_longlong(x)); }
inline double __hiloint2double(int high, int low) {
    return __longlong_as_double(static_cast<long long>(static_cast<unsigned long long>(static_cast<unsigned>(high)) << 32 |
                                                       static_cast<unsigned>(low)));
}

template <class T> T __ldg(const T* x) { return *x; }
template <class T> T __ldca(const T* x) { return *x; }
template <class T> T __ldcg(const T* x) { return *x; }
template <class T> T __ldcs(const T* x) { return *x; }
template <class T> T __ldlu(const T* x) { return *x; }
template <class T> T __ldcv(const T* x) { return *x; }
template <class T> void __stcg(T* x, T value) { *x = value; }
template <class T> void __stcs(T* x, T value) { *x = value; }
template <class T> void __stwb(T* x, T value) { *x = value; }
template <class T> void __stwt(T* x, T value) { *x = value; }

template <class T, class F>
T eg_atomic(T* at, F next) {
    T old, fresh;
    __atomic_load(at, &old, __ATOMIC_RELAXED);
    do fresh = next(old);
    while (!__atomic_compare_exchange(at, &old, &fresh, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED));
    return old;
}
template <class T> struct eg_same { using type = T; };
template <class T> using eg_value = typename eg_same<T>::type;
template <class T> T atomicAdd(T* at, eg_value<T> x) { return eg_atomic(at, [x](T old) { return old + x; }); }
template <class T> T atomicSub(T* at, eg_value<T> x) { return eg_atomic(at, [x](T old) { return old - x; }); }
template <class T> T atomicMax(T* at, eg_value<T> x) { return eg_atomic(at, [x](T old) { return old > x ? old : x; }); }
template <class T> T atomicMin(T* at, eg_value<T> x) { return eg_atomic(at, [x](T old) { return old < x ? old : x; }); }
template <class T> T atomicAnd(T* at, eg_value<T> x) { return eg_atomic(at, [x](T old) { return old & x; }); }
template <class T> T atomicOr(T* at, eg_value<T> x) { return eg_atomic(at, [x](T old) { return old | x; }); }
template <class T> T atomicXor(T* at, eg_value<T> x) { return eg_atomic(at, [x](T old) { return old ^ x; }); }
template <class T> T atomicExch(T* at, eg_value<T> x) { return eg_atomic(at, [x](T) { return x; }); }
template <class T> T atomicCAS(T* at, eg_value<T> is, eg_value<T> x) {
    return eg_atomic(at, [is, x](T old) { return old == is ? x : old; });
}
