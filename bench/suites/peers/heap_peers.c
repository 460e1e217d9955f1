// SPDX-License-Identifier: MIT
#include "heap_peers.h"

#include <dlfcn.h>
#include <gnu/libc-version.h>
#include <stdio.h>
#include <string.h>

bool heap_peers_only_listed;

// ---- as heaps -----------------------------------------------------------------------------------

enum status heap_peer_init(void *heap, void *memory, size_t length)
{
    (void)heap;
    (void)memory;
    (void)length;
    return STATUS_OK;
}

void heap_peer_statistics(const void *heap, struct heap_statistics *statistics)
{
    (void)heap;
    *statistics = (struct heap_statistics){0};
}

bool heap_peer_check(const void *heap)
{
    (void)heap;
    return true; // checksums and the objects' own marks say whether it worked
}

void *heap_peer_join(void *heap, void *memory)
{
    (void)memory;
    return heap;
}

void heap_peer_leave(void *handle)
{
    (void)handle;
}

// ---- as libraries -------------------------------------------------------------------------------

// The plain free of each, though some have one that takes the size as well: what is compared is the
// interface of malloc.
#define BIND(v, allocate_, release_)                                                               \
    struct heap_peer heap_peer_##v;                                                                \
                                                                                                   \
    static const char *bind_##v(void *handle)                                                      \
    {                                                                                              \
        struct heap_peer found;                                                                    \
        *(void **)&found.allocate = dlsym(handle, allocate_);                                      \
        *(void **)&found.release = dlsym(handle, release_);                                        \
        if (found.allocate == NULL)                                                                \
            return allocate_;                                                                      \
        if (found.release == NULL)                                                                 \
            return release_;                                                                       \
        heap_peer_##v = found;                                                                     \
        return NULL;                                                                               \
    }

BIND(glibc, "malloc", "free")
BIND(tcmalloc, "tc_malloc", "tc_free")
BIND(mimalloc, "mi_malloc", "mi_free")
BIND(jemalloc, "malloc", "free")
BIND(tbbmalloc, "scalable_malloc", "scalable_free")
BIND(scudo, "malloc", "free")

static void tell_glibc(void *handle, const char *path, char *text, size_t capacity)
{
    (void)handle;
    (void)path;
    snprintf(text, capacity, "%s", gnu_get_libc_version());
}

static void tell_tcmalloc(void *handle, const char *path, char *text, size_t capacity)
{
    const char *(*tc_version)(int *major, int *minor, const char **patch);
    int major, minor;
    const char *patch;
    (void)path;
    *(void **)&tc_version = dlsym(handle, "tc_version");
    if (tc_version != NULL && tc_version(&major, &minor, &patch) != NULL)
        snprintf(text, capacity, "%d.%d%s", major, minor, patch);
}

// 209 is 2.0.9.
static void tell_mimalloc(void *handle, const char *path, char *text, size_t capacity)
{
    int (*mi_version)(void);
    (void)path;
    *(void **)&mi_version = dlsym(handle, "mi_version");
    const int version = mi_version != NULL ? mi_version() : 0;
    if (version > 0)
        snprintf(text, capacity, "%d.%d.%d", version / 100, version / 10 % 10, version % 10);
}

static void tell_jemalloc(void *handle, const char *path, char *text, size_t capacity)
{
    int (*mallctl)(const char *name, void *old, size_t *length, void *new, size_t new_length);
    const char *version;
    size_t length = sizeof(version);
    (void)path;
    *(void **)&mallctl = dlsym(handle, "mallctl");
    if (mallctl != NULL && mallctl("version", &version, &length, NULL, 0) == 0)
        snprintf(text, capacity, "%s", version);
}

// It has no version of its own: that of the compiler whose folder it lies in.
static void tell_scudo(void *handle, const char *path, char *text, size_t capacity)
{
    const char *const folder = strstr(path, "/clang/");
    (void)handle;
    if (folder != NULL)
        snprintf(text, capacity, "LLVM %.*s", (int)strcspn(folder + 7, "/"), folder + 7);
}

#define SCUDO "/usr/lib/llvm-*/lib/clang/*/lib/linux/libclang_rt.scudo_standalone-x86_64.so"

// In this order. libstdc++ takes the `operator new` of the library that brings it along first; of
// these only tcmalloc uses libstdc++ for more than its operators.
struct library heap_peers_libraries[HEAP_PEERS_COUNT] = {
    {.name = "glibc", .file = "libc.so.6", .own = true, .bind = bind_glibc, .tell = tell_glibc},
    {.name = "tcmalloc",
     .file = "libtcmalloc_minimal.so.4",
     .bind = bind_tcmalloc,
     .tell = tell_tcmalloc},
    {.name = "mimalloc", .file = "libmimalloc.so.2", .bind = bind_mimalloc, .tell = tell_mimalloc},
    {.name = "jemalloc", .file = "libjemalloc.so.2", .bind = bind_jemalloc, .tell = tell_jemalloc},
    {.name = "tbbmalloc",
     .file = "libtbbmalloc.so.2",
     .bind = bind_tbbmalloc,
     .tell = library_tell_file},
    {.name = "scudo", .file = SCUDO, .bind = bind_scudo, .tell = tell_scudo},
};
