// What CUDA C++ has without any include, for g++ on the host: qualifiers, built-in variables, vector types, barriers, shuffles.
//
// Every thread of a block runs on a stack of its own, and every function here that waits goes through `eg_host`, the scheduler in the
// emulator, which stops the calling thread until those that it waits for are there. No header is included: compile time is the budget.
#pragma once

#define __CUDACC__ 1
#define __CUDACC_RTC__ 1
#define EIGENGRAD_EMULATED 1

#define __host__
#define __device__
#define __global__
#define __constant__
#define __grid_constant__
#define __shared__ static thread_local
#define __forceinline__ inline __attribute__((always_inline))
#define __noinline__ __attribute__((noinline))
#define __align__(bytes) __attribute__((aligned(bytes)))
#define __launch_bounds__(...)
#define __maxnreg__(...)

using size_t = decltype(sizeof 0);
using ptrdiff_t = decltype((char*)0 - (char*)0);
using uintptr_t = size_t;
using uchar = unsigned char;
using ushort = unsigned short;
using uint = unsigned int;
extern "C" void* memcpy(void*, const void*, size_t) noexcept;
extern "C" void* memset(void*, int, size_t) noexcept;
extern "C" int printf(const char*, ...);

#define EG_VECTOR(name, number, bytes2, bytes4)                                                                       \
    struct name##1 { number x; };                                                                                     \
    struct alignas(bytes2) name##2 { number x, y; };                                                                  \
    struct name##3 { number x, y, z; };                                                                               \
    struct alignas(bytes4) name##4 { number x, y, z, w; };                                                            \
    inline name##1 make_##name##1(number x) { return {x}; }                                                           \
    inline name##2 make_##name##2(number x, number y) { return {x, y}; }                                              \
    inline name##3 make_##name##3(number x, number y, number z) { return {x, y, z}; }                                 \
    inline name##4 make_##name##4(number x, number y, number z, number w) { return {x, y, z, w}; }
EG_VECTOR(char, signed char, 2, 4)
EG_VECTOR(uchar, unsigned char, 2, 4)
EG_VECTOR(short, short, 4, 8)
EG_VECTOR(ushort, unsigned short, 4, 8)
EG_VECTOR(int, int, 8, 16)
EG_VECTOR(uint, unsigned, 8, 16)
EG_VECTOR(long, long, 16, 16)
EG_VECTOR(ulong, unsigned long, 16, 16)
EG_VECTOR(longlong, long long, 16, 16)
EG_VECTOR(ulonglong, unsigned long long, 16, 16)
EG_VECTOR(float, float, 8, 16)
EG_VECTOR(double, double, 16, 16)
#undef EG_VECTOR

struct dim3 {
    unsigned x, y, z;
    constexpr dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
    constexpr dim3(uint3 v) : x(v.x), y(v.y), z(v.z) {}
};

// As in src/fiber.rs.
struct eg_block {
    uint3 block;
    dim3 threads, blocks;
    void* dynamic; // shared memory of the size that the launch gives
};
struct eg_thread {
    uint3 thread;
    const eg_block* in;
};

// As in src/kernel.rs.
struct eg_host_functions {
    // Waits for the block; how many gave a predicate that is not zero.
    unsigned (*block)(unsigned predicate, int line, const char* file);
    // Waits for the lanes of the mask; the value of lane `source`, or for 32 which lanes gave one that is not zero.
    unsigned long long (*warp)(unsigned mask, unsigned long long value, unsigned source, int line, const char* file);
    unsigned (*alive)();
    // Writes 16 bytes when the calling thread awaits its copies.
    void (*copy)(void* to, unsigned long long low, unsigned long long high);
    void (*await_copies)();
    void (*fail)(const char* text, int line, const char* file);
    // Tells of an access that is about to happen, where races are looked for.
    void (*access)(const void* at, size_t bytes, int writes, const void* code);
};
static const eg_host_functions* eg_host = nullptr;
// The one thread-local variable that is not __shared__; the emulator keeps it when it fills the others with NaN patterns.
static thread_local const eg_thread* eg_self = nullptr;

#define threadIdx (eg_self->thread)
#define blockIdx (eg_self->in->block)
#define blockDim (eg_self->in->threads)
#define gridDim (eg_self->in->blocks)
constexpr int warpSize = 32;

#define EG_SITE int line = __builtin_LINE(), const char* file = __builtin_FILE()

inline void __syncthreads(EG_SITE) { eg_host->block(0, line, file); }
inline int __syncthreads_count(int predicate, EG_SITE) { return static_cast<int>(eg_host->block(predicate != 0, line, file)); }
inline int __syncthreads_or(int predicate, EG_SITE) { return eg_host->block(predicate != 0, line, file) != 0; }
inline int __syncthreads_and(int predicate, EG_SITE) { return eg_host->block(predicate == 0, line, file) == 0; }
// The one wait for lanes that orders memory: source 33.
inline void __syncwarp(unsigned mask = 0xffffffffu, EG_SITE) { eg_host->warp(mask, 0, 33, line, file); }
inline unsigned __ballot_sync(unsigned mask, int predicate, EG_SITE) {
    return static_cast<unsigned>(eg_host->warp(mask, predicate != 0, 32, line, file));
}
inline int __any_sync(unsigned mask, int predicate, EG_SITE) { return eg_host->warp(mask, predicate != 0, 32, line, file) != 0; }
inline int __all_sync(unsigned mask, int predicate, EG_SITE) { return eg_host->warp(mask, predicate == 0, 32, line, file) == 0; }
inline unsigned __activemask() { return eg_host->alive(); }
// Until they are awaited, NaN patterns are where copies go.
inline void __pipeline_memcpy_async(void* to, const void* from, size_t bytes, size_t zeros = 0, EG_SITE) {
    if (bytes != 16 || (zeros != 0 && zeros != 16)) eg_host->fail("16 bytes are copied at once, or zeros", line, file);
    unsigned long long low = 0, high = 0, nan = ~0ull;
    if (zeros == 0) {
        __builtin_memcpy(&low, from, 8);
        __builtin_memcpy(&high, static_cast<const char*>(from) + 8, 8);
    }
    __builtin_memcpy(to, &nan, 8);
    __builtin_memcpy(static_cast<char*>(to) + 8, &nan, 8);
    eg_host->copy(to, low, high);
}
// All of this thread's.
inline void __pipeline_wait_prior(int) { eg_host->await_copies(); }
[[noreturn]] inline void __trap(EG_SITE) {
    eg_host->fail("__trap", line, file);
    __builtin_unreachable();
}
#define assert(condition) ((condition) ? (void)0 : eg_host->fail("assertion failed: " #condition, __LINE__, __FILE__))

inline unsigned eg_lane() {
    const dim3 threads = blockDim;
    return ((threadIdx.z * threads.y + threadIdx.y) * threads.x + threadIdx.x) % 32;
}
template <class T>
T eg_shuffle(unsigned mask, T value, unsigned source, int line, const char* file) {
    static_assert(sizeof(T) == 4 || sizeof(T) == 8, "shuffles exchange 32 or 64 bits");
    unsigned long long bits = 0;
    __builtin_memcpy(&bits, &value, sizeof value);
    bits = eg_host->warp(mask, bits, source, line, file);
    __builtin_memcpy(&value, &bits, sizeof value);
    return value;
}
// A lane from outside the segment of `width` lanes gives the caller its own value.
template <class T>
T __shfl_sync(unsigned mask, T value, int source, int width = 32, EG_SITE) {
    const unsigned lane = eg_lane(), first = lane & ~(width - 1u);
    return eg_shuffle(mask, value, first + (source & (width - 1u)), line, file);
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int lanes, int width = 32, EG_SITE) {
    const unsigned lane = eg_lane(), source = lane ^ lanes, end = (lane & ~(width - 1u)) + width;
    return eg_shuffle(mask, value, source < end ? source : lane, line, file);
}
template <class T>
T __shfl_up_sync(unsigned mask, T value, unsigned by, int width = 32, EG_SITE) {
    const unsigned lane = eg_lane(), within = lane & (width - 1u);
    return eg_shuffle(mask, value, within >= by ? lane - by : lane, line, file);
}
template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned by, int width = 32, EG_SITE) {
    const unsigned lane = eg_lane(), within = lane & (width - 1u);
    return eg_shuffle(mask, value, within + by < static_cast<unsigned>(width) ? lane + by : lane, line, file);
}
#undef EG_SITE

inline void __threadfence() { __atomic_thread_fence(__ATOMIC_SEQ_CST); }
inline void __threadfence_block() { __atomic_thread_fence(__ATOMIC_SEQ_CST); }
inline void __threadfence_system() { __atomic_thread_fence(__ATOMIC_SEQ_CST); }
inline void __nanosleep(unsigned) {}
inline long long clock64() { return 0; }
