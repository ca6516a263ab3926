// The hooks that g++ calls before each access under -fsanitize=thread. They are here, since its own library cannot follow our stacks.
// A volatile access is one whose race the kernel accounts for: nobody is told of it.
#pragma once

#ifdef __SANITIZE_THREAD__
#define EG_HOOK __attribute__((no_sanitize("thread"), noinline, used))
#define EG_ACCESS(name, bytes, writes) \
    EG_HOOK void __tsan_##name(void* at) { eg_host->access(at, bytes, writes, __builtin_return_address(0)); }
#define EG_ACCESSES(bytes)                    \
    EG_ACCESS(read##bytes, bytes, 0)           \
    EG_ACCESS(write##bytes, bytes, 1)          \
    EG_ACCESS(unaligned_read##bytes, bytes, 0) \
    EG_ACCESS(unaligned_write##bytes, bytes, 1) \
    EG_HOOK void __tsan_volatile_read##bytes(void*) {} \
    EG_HOOK void __tsan_volatile_write##bytes(void*) {}
extern "C" {
EG_HOOK void __tsan_init() {}
EG_HOOK void __tsan_func_entry(void*) {}
EG_HOOK void __tsan_func_exit() {}
EG_HOOK void __tsan_atomic_thread_fence(int) {}
EG_HOOK void __tsan_vptr_update(void**, void*) {}
EG_HOOK void __tsan_read_range(void* at, size_t bytes) { eg_host->access(at, bytes, 0, __builtin_return_address(0)); }
EG_HOOK void __tsan_write_range(void* at, size_t bytes) { eg_host->access(at, bytes, 1, __builtin_return_address(0)); }
EG_ACCESSES(1)
EG_ACCESSES(2)
EG_ACCESSES(4)
EG_ACCESSES(8)
EG_ACCESSES(16)
}
#undef EG_ACCESSES
#undef EG_ACCESS
#undef EG_HOOK
#endif
