/* Let one call below a folder fail: what SQLite, Pillow, safetensors and Python themselves ask of the
 * system. Loaded by LD_PRELOAD; see tests/calls.py.
 *
 *     cc -shared -fPIC -O2 -o failing_calls.so failing_calls.c -ldl
 *
 * Nothing is counted until fail_at() says so. Calls are counted from 0; of a write that fails half is
 * on the disk, as on one that is full.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

#define MOST_CALLS 65536

static char kinds[MOST_CALLS];
static long calls, failing = -1;
static int error_code, counting;
static char folder[PATH_MAX];

/* Start anew to count below a folder, and let a call fail; none with -1. */
void fail_at(const char *below, long call, int code) {
    snprintf(folder, sizeof folder, "%s", below);
    failing = call;
    error_code = code;
    __atomic_store_n(&calls, 0, __ATOMIC_SEQ_CST);
    __atomic_store_n(&counting, 1, __ATOMIC_SEQ_CST);
}

/* Stop, and tell how many calls there were, a letter each in `kinds_of_calls`. */
long stop_counting(void) {
    __atomic_store_n(&counting, 0, __ATOMIC_SEQ_CST);
    return calls < MOST_CALLS ? calls : MOST_CALLS;
}

const char *kinds_of_calls(void) { return kinds; }

static int is_below(const char *path) {
    size_t length = strlen(folder);
    return !strncmp(path, folder, length) && (path[length] == '/' || !path[length]);
}

/* Whether this call is the one that fails; errno is then set. */
static int fails(char kind) {
    long number = __atomic_fetch_add(&calls, 1, __ATOMIC_SEQ_CST);
    if (number < MOST_CALLS) kinds[number] = kind;
    if (number != failing) return 0;
    errno = error_code;
    return 1;
}

static int is_counting(void) { return __atomic_load_n(&counting, __ATOMIC_SEQ_CST); }

static int fails_at(char kind, int directory, const char *path) {
    if (!is_counting() || !path) return 0;
    char whole[2 * PATH_MAX];
    if (*path == '/') {
        snprintf(whole, sizeof whole, "%s", path);
    } else {
        char link[64], base[PATH_MAX] = "";
        if (directory == AT_FDCWD) snprintf(link, sizeof link, "/proc/self/cwd");
        else snprintf(link, sizeof link, "/proc/self/fd/%d", directory);
        int kept = errno;
        ssize_t length = readlink(link, base, sizeof base - 1);
        errno = kept;
        if (length < 0) return 0;
        base[length] = 0;
        snprintf(whole, sizeof whole, "%s/%s", base, path);
    }
    return is_below(whole) && fails(kind);
}

static int fails_of(char kind, int file) {
    if (!is_counting()) return 0;
    char link[64], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    int kept = errno;
    ssize_t length = readlink(link, path, sizeof path - 1);
    errno = kept;
    if (length < 0) return 0;
    path[length] = 0;
    return is_below(path) && fails(kind);
}

/* The function of the C library that this one stands before. */
#define REAL(name) ((__typeof__(&name))real(#name))
static void *real(const char *name) {
    void *function = dlsym(RTLD_NEXT, name);
    if (!function) {
        fprintf(stderr, "failing_calls: no %s\n", name);
        abort();
    }
    return function;
}

#define WRITES(flags) ((flags) & (O_WRONLY | O_RDWR | O_CREAT | O_TRUNC))
#define MODE(flags, last)                                           \
    mode_t mode = 0;                                                \
    if ((flags) & O_CREAT || ((flags) & O_TMPFILE) == O_TMPFILE) {  \
        va_list rest;                                               \
        va_start(rest, last);                                       \
        mode = va_arg(rest, mode_t);                                \
        va_end(rest);                                               \
    }

#define OPEN(name)                                                            \
    int name(const char *path, int flags, ...) {                              \
        MODE(flags, flags)                                                    \
        if (WRITES(flags) && fails_at('o', AT_FDCWD, path)) return -1;        \
        return REAL(name)(path, flags, mode);                                 \
    }
OPEN(open)
OPEN(open64)

#define OPENAT(name)                                                          \
    int name(int directory, const char *path, int flags, ...) {               \
        MODE(flags, flags)                                                    \
        if (WRITES(flags) && fails_at('o', directory, path)) return -1;       \
        return REAL(name)(directory, path, flags, mode);                      \
    }
OPENAT(openat)
OPENAT(openat64)

#define FOPEN(name)                                                           \
    FILE *name(const char *restrict path, const char *restrict how) {         \
        if (strpbrk(how, "wa+") && fails_at('o', AT_FDCWD, path)) return NULL; \
        return REAL(name)(path, how);                                         \
    }
FOPEN(fopen)
FOPEN(fopen64)

ssize_t write(int file, const void *data, size_t size) {
    if (!fails_of('w', file)) return REAL(write)(file, data, size);
    REAL(write)(file, data, size / 2);
    errno = error_code;
    return -1;
}

#define PWRITE(name, offset_type)                                                  \
    ssize_t name(int file, const void *data, size_t size, offset_type offset) {    \
        if (!fails_of('w', file)) return REAL(name)(file, data, size, offset);     \
        REAL(name)(file, data, size / 2, offset);                                  \
        errno = error_code;                                                        \
        return -1;                                                                 \
    }
PWRITE(pwrite, off_t)
PWRITE(pwrite64, off64_t)

ssize_t writev(int file, const struct iovec *parts, int count) {
    return fails_of('w', file) ? -1 : REAL(writev)(file, parts, count);
}

size_t fwrite(const void *restrict data, size_t size, size_t count, FILE *restrict file) {
    return fails_of('w', fileno(file)) ? 0 : REAL(fwrite)(data, size, count, file);
}

/* How files are copied without going through the program. */
ssize_t sendfile(int to, int from, off_t *offset, size_t size) {
    return fails_of('w', to) ? -1 : REAL(sendfile)(to, from, offset, size);
}
ssize_t sendfile64(int to, int from, off64_t *offset, size_t size) {
    return fails_of('w', to) ? -1 : REAL(sendfile64)(to, from, offset, size);
}
ssize_t copy_file_range(int from, off64_t *at, int to, off64_t *there, size_t size, unsigned flags) {
    return fails_of('w', to) ? -1 : REAL(copy_file_range)(from, at, to, there, size, flags);
}

#define OF_FILE(kind, name)                                       \
    int name(int file) {                                          \
        return fails_of(kind, file) ? -1 : REAL(name)(file);      \
    }
OF_FILE('s', fsync)
OF_FILE('s', fdatasync)

#define TRUNCATE(name, offset_type)                                         \
    int name(int file, offset_type size) {                                  \
        return fails_of('t', file) ? -1 : REAL(name)(file, size);           \
    }
TRUNCATE(ftruncate, off_t)
TRUNCATE(ftruncate64, off64_t)

#define ALLOCATE(name, offset_type)                                                       \
    int name(int file, offset_type offset, offset_type size) {                            \
        return fails_of('t', file) ? error_code : REAL(name)(file, offset, size);         \
    }
ALLOCATE(posix_fallocate, off_t)
ALLOCATE(posix_fallocate64, off64_t)

#define FROM_TO(kind, name)                                                                  \
    int name(const char *from, const char *to) {                                             \
        return fails_at(kind, AT_FDCWD, to) ? -1 : REAL(name)(from, to);                     \
    }
FROM_TO('r', rename)
FROM_TO('l', link)

int renameat(int from, const char *old, int to, const char *new) {
    return fails_at('r', to, new) ? -1 : REAL(renameat)(from, old, to, new);
}
int renameat2(int from, const char *old, int to, const char *new, unsigned flags) {
    return fails_at('r', to, new) ? -1 : REAL(renameat2)(from, old, to, new, flags);
}
int linkat(int from, const char *old, int to, const char *new, int flags) {
    return fails_at('l', to, new) ? -1 : REAL(linkat)(from, old, to, new, flags);
}

#define OF_PATH(kind, name)                                                 \
    int name(const char *path) {                                            \
        return fails_at(kind, AT_FDCWD, path) ? -1 : REAL(name)(path);      \
    }
OF_PATH('u', unlink)
OF_PATH('u', rmdir)

int unlinkat(int directory, const char *path, int flags) {
    return fails_at('u', directory, path) ? -1 : REAL(unlinkat)(directory, path, flags);
}
int mkdir(const char *path, mode_t mode) {
    return fails_at('m', AT_FDCWD, path) ? -1 : REAL(mkdir)(path, mode);
}
