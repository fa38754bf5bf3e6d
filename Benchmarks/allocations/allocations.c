// Counts what a program allocates: loaded with LD_PRELOAD, it adds every call of malloc, calloc, realloc and the
// functions for aligned memory, and the bytes asked for, to two counters in the file ALLOCATIONS_FILE, which another
// program may read at any time. A realloc counts as an allocation, because it may be one; free counts nothing.
//
// The file holds two 64-bit numbers in the machine's byte order: calls, bytes. It is made by whoever wants to read it.
// What is allocated before the file is open is not counted. The work itself is done by the functions of the C library,
// under the names that glibc keeps for this.

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);

typedef struct {
    _Atomic uint64_t calls, bytes;
} Counters;

static Counters nowhere;
static Counters *_Atomic counters = &nowhere;

__attribute__((constructor)) static void open_file(void) {
    const char *path = getenv("ALLOCATIONS_FILE");
    int descriptor = path == NULL ? -1 : open(path, O_RDWR | O_CLOEXEC);
    if (descriptor < 0) return;
    void *shared = mmap(NULL, sizeof(Counters), PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
    close(descriptor);
    if (shared != MAP_FAILED) counters = shared;
}

static void count(size_t bytes) {
    Counters *to = atomic_load_explicit(&counters, memory_order_relaxed);
    atomic_fetch_add_explicit(&to->calls, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&to->bytes, bytes, memory_order_relaxed);
}

void *malloc(size_t bytes) {
    count(bytes);
    return __libc_malloc(bytes);
}

void *calloc(size_t number, size_t bytes) {
    count(number * bytes);
    return __libc_calloc(number, bytes);
}

void *realloc(void *old, size_t bytes) {
    count(bytes);
    return __libc_realloc(old, bytes);
}

void *reallocarray(void *old, size_t number, size_t bytes) {
    size_t total;
    if (__builtin_mul_overflow(number, bytes, &total)) {
        errno = ENOMEM;
        return NULL;
    }
    return realloc(old, total);
}

void *memalign(size_t alignment, size_t bytes) {
    count(bytes);
    return __libc_memalign(alignment, bytes);
}

void *aligned_alloc(size_t alignment, size_t bytes) { return memalign(alignment, bytes); }

int posix_memalign(void **result, size_t alignment, size_t bytes) {
    if (alignment % sizeof(void *) != 0 || alignment == 0 || (alignment & (alignment - 1)) != 0) return EINVAL;
    void *allocated = memalign(alignment, bytes);
    if (allocated == NULL) return ENOMEM;
    *result = allocated;
    return 0;
}
