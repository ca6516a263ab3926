// How the emulator calls a kernel: its parameters copied when it is launched, its body once for each thread.
#pragma once

// Of what runs outside a launch.
#define EG_OUTSIDE __attribute__((no_sanitize("thread")))

// As in src/kernel.rs.
struct eg_kernel {
    const char* name;       // as nvrtcGetLoweredName gives it
    const char* expression; // as nvrtcAddNameExpression took it
    unsigned bytes;         // that the parameters take
    unsigned long long pointers; // which of the first 64 parameters are pointers
    void (*copy)(void* to, void** parameters);
    void (*run)(void* parameters);
};

template <class T>
constexpr bool eg_is_pointer = false;
template <class T>
constexpr bool eg_is_pointer<T*> = true;

template <auto Function>
struct eg_call;

template <class... A, void (*Function)(A...)>
struct eg_call<Function> {
    static_assert((__is_trivially_copyable(A) && ...), "a kernel's parameters are copied as bytes");

    template <int... I>
    struct indices {};
    template <int N, int... I>
    struct up_to : up_to<N - 1, N - 1, I...> {};
    template <int... I>
    struct up_to<0, I...> {
        using type = indices<I...>;
    };
    using all = typename up_to<sizeof...(A)>::type;

    struct layout {
        unsigned offset[sizeof...(A) + 1], bytes;
        unsigned long long pointers;
        constexpr layout() : offset(), bytes(0), pointers(0) {
            constexpr unsigned size[] = {sizeof(A)..., 0}, align[] = {alignof(A)..., 1};
            constexpr bool pointer[] = {eg_is_pointer<A>..., false};
            for (unsigned i = 0; i < sizeof...(A); ++i) {
                bytes = (bytes + align[i] - 1) / align[i] * align[i];
                offset[i] = bytes;
                bytes += size[i];
                if (i < 64 && pointer[i]) pointers |= 1ull << i;
            }
        }
    };
    static constexpr layout at{};

    EG_OUTSIDE static void copy(void* to, void** parameters) { copy_each(static_cast<char*>(to), parameters, all()); }
    template <int... I>
    EG_OUTSIDE static void copy_each(char* to, void** parameters, indices<I...>) {
        (__builtin_memcpy(to + at.offset[I], parameters[I], sizeof(A)), ...);
    }
    static void run(void* parameters) { run_each(static_cast<char*>(parameters), all()); }
    template <int... I>
    static void run_each([[maybe_unused]] char* parameters, indices<I...>) {
        Function(*reinterpret_cast<A*>(parameters + at.offset[I])...);
    }
    static constexpr eg_kernel described(const char* name, const char* expression) {
        return {name, expression, at.bytes, at.pointers, copy, run};
    }
};

extern "C" {
EG_OUTSIDE __attribute__((visibility("default"), used)) inline const eg_thread** eigengrad_emulator_self(const eg_host_functions* host) {
    eg_host = host;
    return &eg_self;
}
}
