// Element types: what is stored, what is computed in, and the conversions between them.
//
// float, double, complex<float>, complex<double> are computed in themselves; f16, bf16 and their
// complexes in 32 bits. The conversions are plain integer arithmetic, since the toolkit's headers
// are not at hand where kernels are compiled at run time.
#pragma once

namespace eigengrad {

struct f16 {
    unsigned short bits;
};

struct bf16 {
    unsigned short bits;
};

template <class R>
struct alignas(2 * sizeof(R)) complex {
    R re, im;
};

// The type computed in, its real type, and the type that eigenvalues are stored in beside
// eigenvectors of this type.
template <class T>
struct element;
template <>
struct element<float> {
    using scalar = float;
    using real = float;
    using stored_real = float;
};
template <>
struct element<double> {
    using scalar = double;
    using real = double;
    using stored_real = double;
};
template <>
struct element<f16> {
    using scalar = float;
    using real = float;
    using stored_real = f16;
};
template <>
struct element<bf16> {
    using scalar = float;
    using real = float;
    using stored_real = bf16;
};
template <class R>
struct element<complex<R>> {
    using real = typename element<R>::real;
    using scalar = complex<real>;
    using stored_real = R;
};
template <class T>
using scalar_of = typename element<T>::scalar;
template <class T>
using real_of = typename element<T>::real;
template <class T>
using stored_real_of = typename element<T>::stored_real;

constexpr __device__ bool is_complex(float) { return false; }
constexpr __device__ bool is_complex(double) { return false; }
template <class R>
constexpr __device__ bool is_complex(complex<R>) {
    return true;
}

// The least e of normal numbers 2^e.
__device__ inline int least_exponent(float) { return -126; }
__device__ inline int least_exponent(double) { return -1022; }

// 2^e, for normal results.
__device__ inline float power_of_two(int e, float) { return __uint_as_float(static_cast<unsigned>(e + 127) << 23); }
__device__ inline double power_of_two(int e, double) {
    return __longlong_as_double(static_cast<long long>(e + 1023) << 52);
}

// x·2^e, in two steps so that neither factor leaves the exponent range. Further below it the result
// is 0 in any case.
template <class R>
__device__ R scaled(R x, int e) {
    const int least = 2 * least_exponent(R());
    if (e < least) e = least;
    return x * power_of_two(e / 2, R()) * power_of_two(e - e / 2, R());
}

__device__ inline float widen(float x) { return x; }
__device__ inline double widen(double x) { return x; }
__device__ inline float widen(bf16 x) { return __uint_as_float(static_cast<unsigned>(x.bits) << 16); }
__device__ inline float widen(f16 x) {
    const unsigned sign = (x.bits & 0x8000u) << 16, exponent = (x.bits >> 10) & 31, mantissa = x.bits & 0x3ff;
    if (exponent == 31) return __uint_as_float(sign | 0x7f800000u | mantissa << 13);
    const float significand = static_cast<float>(exponent ? mantissa | 0x400 : mantissa);
    const float magnitude = significand * power_of_two(static_cast<int>(exponent ? exponent : 1) - 25, 0.0f);
    return __uint_as_float(sign | __float_as_uint(magnitude));
}
template <class R>
__device__ complex<real_of<R>> widen(complex<R> x) {
    return {widen(x.re), widen(x.im)};
}

// The nearest number of type T, ties to even; infinity beyond its range.
template <class T>
struct narrow {
    __device__ static T from(T x) { return x; }
};
template <>
struct narrow<bf16> {
    __device__ static bf16 from(float x) {
        const unsigned u = __float_as_uint(x);
        // a quiet NaN
        if ((u & 0x7fffffffu) > 0x7f800000u) return {static_cast<unsigned short>(u >> 16 | 0x40)};
        return {static_cast<unsigned short>((u + 0x7fff + (u >> 16 & 1)) >> 16)};
    }
};
template <>
struct narrow<f16> {
    __device__ static f16 from(float x) {
        const unsigned u = __float_as_uint(x), sign = u >> 16 & 0x8000u, magnitude = u & 0x7fffffffu;
        unsigned half;
        if (magnitude > 0x7f800000u) {
            half = 0x7e00; // a quiet NaN
        } else if (magnitude >= 0x477ff000u) {
            half = 0x7c00; // from 65520 on infinity is nearest
        } else if (magnitude >= 0x38800000u) {
            half = (magnitude + 0xfff + (magnitude >> 13 & 1) - 0x38000000u) >> 13;
        } else {
            // the sum rounds to multiples of 2^-24
            half = __float_as_uint(__uint_as_float(magnitude) + 0.5f) - 0x3f000000u;
        }
        return {static_cast<unsigned short>(sign | half)};
    }
};
template <class R>
struct narrow<complex<R>> {
    __device__ static complex<R> from(complex<real_of<R>> x) { return {narrow<R>::from(x.re), narrow<R>::from(x.im)}; }
};

template <class R>
__device__ R re(complex<R> x) { return x.re; }
template <class R>
__device__ R im(complex<R> x) { return x.im; }
__device__ inline float re(float x) { return x; }
__device__ inline double re(double x) { return x; }
__device__ inline float im(float) { return 0; }
__device__ inline double im(double) { return 0; }

// re + i·im; real types drop the imaginary part.
template <class T>
struct make {
    __device__ static T from(T real, T) { return real; }
};
template <class R>
struct make<complex<R>> {
    __device__ static complex<R> from(R real, R imaginary) { return {real, imaginary}; }
};

template <class R>
__device__ complex<R> operator+(complex<R> x, complex<R> y) { return {x.re + y.re, x.im + y.im}; }
template <class R>
__device__ complex<R> operator-(complex<R> x, complex<R> y) { return {x.re - y.re, x.im - y.im}; }
template <class T>
__device__ T conj(T x) { return make<T>::from(re(x), -im(x)); }
template <class T>
__device__ T times(T x, real_of<T> by) { return make<T>::from(re(x) * by, im(x) * by); }
// sum + x·y.
template <class R>
__device__ R add_product(R sum, R x, R y) { return sum + x * y; }
template <class R>
__device__ complex<R> add_product(complex<R> sum, complex<R> x, complex<R> y) {
    return {sum.re + x.re * y.re - x.im * y.im, sum.im + x.re * y.im + x.im * y.re};
}
// What is read of a Hermitian matrix: a triangle, or the mean of both, ½(A + Aᴴ). `part.rs` has the
// numbers.
enum read { READ_LOWER, READ_UPPER, READ_MEAN };

// An entry of the mean: of that at its place, and that at the mirrored one. Halves are added, since
// their sum does not overflow.
template <class T>
__device__ T mean(T x, T mirrored) {
    using R = decltype(re(x));
    const R half = R(0.5);
    return make<T>::from(half * re(x) + half * re(mirrored), half * im(x) - half * im(mirrored));
}

// conj(x)·y, its real and its imaginary part added to a sum.
template <class T>
__device__ T add_adjoint_product(T sum, T x, T y) {
    using R = real_of<T>;
    const R real = re(sum) + re(x) * re(y) + im(x) * im(y);
    const R imaginary = im(sum) + re(x) * im(y) - im(x) * re(y);
    return make<T>::from(real, imaginary);
}
template <class R>
__device__ R larger(R x, R y) { return x > y ? x : y; }
template <class R>
__device__ R smaller(R x, R y) { return x < y ? x : y; }
__device__ inline float magnitude(float x) { return fabsf(x); }
__device__ inline double magnitude(double x) { return fabs(x); }
// max(|re|, |im|).
template <class T>
__device__ real_of<T> size(T x) { return larger(magnitude(re(x)), magnitude(im(x))); }
template <class T>
__device__ real_of<T> square(T x) { return re(x) * re(x) + im(x) * im(x); }
// x − x is 0 for finite numbers alone.
template <class T>
__device__ bool finite(T x) { return re(x) - re(x) == 0 && im(x) - im(x) == 0; }
__device__ inline float square_root(float x) { return sqrtf(x); }
__device__ inline double square_root(double x) { return sqrt(x); }

// 1/x to 20 bits. Subnormal numbers are taken as 0, whose reciprocal is infinite.
__device__ inline float estimated_reciprocal(float x) {
#ifdef EIGENGRAD_EMULATED
    return 1 / x * (1 + 0x1p-20f);
#else
    asm("rcp.approx.ftz.f32 %0, %0;" : "+f"(x));
    return x;
#endif
}
__device__ inline double estimated_reciprocal(double x) {
#ifdef EIGENGRAD_EMULATED
    return 1 / x * (1 + 0x1p-20);
#else
    asm("rcp.approx.ftz.f64 %0, %0;" : "+d"(x));
    return x;
#endif
}

// 1/x within an ulp or two, without a branch, by steps of Newton's. That of 0 is not finite.
__device__ inline float reciprocal(float x) {
    const float y = estimated_reciprocal(x);
    return fmaf(y, fmaf(-x, y, 1.0f), y);
}
__device__ inline double reciprocal(double x) {
    double y = estimated_reciprocal(x);
    y = fma(y, fma(-x, y, 1.0), y);
    return fma(y, fma(-x, y, 1.0), y);
}

template <class R>
struct limits;
template <>
struct limits<float> {
    __device__ static float infinity() { return __uint_as_float(0x7f800000u); }
    __device__ static float largest() { return __uint_as_float(0x7f7fffffu); }
    __device__ static float nan() { return __uint_as_float(0x7fc00000u); }
    __device__ static float least_normal() { return __uint_as_float(0x00800000u); }
    __device__ static float epsilon() { return __uint_as_float(0x34000000u); }
};
template <>
struct limits<double> {
    __device__ static double infinity() { return __longlong_as_double(0x7ff0000000000000ll); }
    __device__ static double largest() { return __longlong_as_double(0x7fefffffffffffffll); }
    __device__ static double nan() { return __longlong_as_double(0x7ff8000000000000ll); }
    __device__ static double least_normal() { return __longlong_as_double(0x0010000000000000ll); }
    __device__ static double epsilon() { return __longlong_as_double(0x3cb0000000000000ll); }
};

// e with 2^e ≤ |x| < 2^(e+1), for finite x ≠ 0; subnormal numbers are scaled to normal ones first.
__device__ inline int biased_exponent(float x) { return __float_as_uint(x) >> 23 & 255; }
__device__ inline int biased_exponent(double x) { return static_cast<int>(__double_as_longlong(x) >> 52 & 2047); }
__device__ inline int binary_exponent(float x) {
    const int biased = biased_exponent(x);
    return (biased ? biased : biased_exponent(x * 16777216.0f) - 24) - 127;
}
__device__ inline int binary_exponent(double x) {
    const int biased = biased_exponent(x);
    return (biased ? biased : biased_exponent(x * 18014398509481984.0) - 54) - 1023;
}

} // namespace eigengrad
