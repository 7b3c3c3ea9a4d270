/* Calls to the system that fail on order, for LD_PRELOAD: what file systems and disks say that are not at hand.

   DISK="link=1 flock=38 fdatasync=5@0": link always fails with errno 1, flock with 38, the first fdatasync alone with 5. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>

static int fails(const char *name, atomic_int *calls) {
    const char *orders = getenv("DISK"), *found = orders;
    size_t length = strlen(name);
    int number = atomic_fetch_add(calls, 1);
    while (found && (found = strstr(found, name))) {
        if ((found == orders || found[-1] == ' ') && found[length] == '=') {
            char *end;
            int code = (int)strtol(found + length + 1, &end, 10);
            if (*end == '@' && atoi(end + 1) != number) return 0;
            errno = code;
            return code;
        }
        found += length;
    }
    return 0;
}

#define CALL(name, parameters, arguments)                                 \
    int name parameters {                                                 \
        static atomic_int calls;                                          \
        static int(*real) parameters;                                     \
        if (fails(#name, &calls)) return -1;                              \
        if (!real) real = (int(*) parameters)dlsym(RTLD_NEXT, #name);     \
        return real arguments;                                            \
    }

CALL(link, (const char *one, const char *two), (one, two))
CALL(chmod, (const char *path, mode_t mode), (path, mode))
CALL(flock, (int file, int operation), (file, operation))
CALL(fdatasync, (int file), (file))
CALL(renameat2, (int a, const char *one, int b, const char *two, unsigned flags), (a, one, b, two, flags))
CALL(fallocate64, (int file, int mode, off64_t start, off64_t size), (file, mode, start, size))
CALL(mkdir, (const char *path, mode_t mode), (path, mode))

int fsync(int file) {
    static atomic_int calls, folders;
    static int (*real)(int);
    struct stat found;
    int folder = !fstat(file, &found) && S_ISDIR(found.st_mode);
    if (folder ? fails("fsync_folder", &folders) : fails("fsync", &calls)) return -1;
    if (!real) real = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
    return real(file);
}

/* glibc's own writes to every page where a file system cannot reserve, and so must not be called there */
int posix_fallocate64(int file, off64_t start, off64_t size) {
    static int (*real)(int, off64_t, off64_t);
    static atomic_int calls;
    if (fails("posix_fallocate64", &calls)) {
        fputs("posix_fallocate was called on a file system that cannot reserve\n", stderr);
        abort();
    }
    if (!real) real = (int (*)(int, off64_t, off64_t))dlsym(RTLD_NEXT, "posix_fallocate64");
    return real(file, start, size);
}
