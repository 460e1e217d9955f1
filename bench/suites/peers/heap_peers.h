// SPDX-License-Identifier: MIT
// Allocators of Debian 12 as heaps: called through pointers that the loader filled in, which is
// what a call through a program's table of imports costs.
//
// Rules for callers, beyond those of heap.h
//   handles      all heaps of one library are the same one, which the process has; any thread may
//                use it, and `join` gives the same handle
//   memory       comes from the operating system, not from what is handed over at init: objects
//                that nobody frees stay allocated when the heap's memory is given to somebody else
//   statistics   unknown: all 0
//   errors       a double or foreign free is the library's to notice, or not
#ifndef HEAP_PEERS_H
#define HEAP_PEERS_H

#include "compiler.h"
#include "heap.h"
#include "library.h"

#define HEAP_PEERS(X)                                                                              \
    X(glibc)                                                                                       \
    X(tcmalloc)                                                                                    \
    X(mimalloc)                                                                                    \
    X(jemalloc)                                                                                    \
    X(tbbmalloc)                                                                                   \
    X(scudo)
#define HEAP_PEERS_COUNT 6

#define HEAP_PEER_WHAT_glibc     "malloc of the C library, as packaged"
#define HEAP_PEER_WHAT_tcmalloc  "gperftools' tcmalloc_minimal, as packaged"
#define HEAP_PEER_WHAT_mimalloc  "mimalloc, as packaged"
#define HEAP_PEER_WHAT_jemalloc  "jemalloc, as packaged"
#define HEAP_PEER_WHAT_tbbmalloc "oneTBB's scalable_malloc, as packaged"
#define HEAP_PEER_WHAT_scudo     "LLVM's hardened Scudo, as packaged: it checks what others do not"

// The two functions of a library; NULL while it is not loaded. Filled in at start, once.
struct heap_peer {
    void *(*allocate)(size_t size);
    void (*release)(void *pointer);
};

// Rows are listed, not measured: those of libraries that are not here, too.
extern bool heap_peers_only_listed;

extern struct library heap_peers_libraries[HEAP_PEERS_COUNT];

enum status heap_peer_init(void *heap, void *memory, size_t length);
void heap_peer_statistics(const void *heap, struct heap_statistics *statistics);
bool heap_peer_check(const void *heap);
void *heap_peer_join(void *heap, void *memory);
void heap_peer_leave(void *handle);

#define HEAP_PEER(v)                                                                               \
    extern struct heap_peer heap_peer_##v;                                                         \
                                                                                                   \
    ALWAYS_INLINE void *heap_##v##_allocate(void *heap, size_t size)                               \
    {                                                                                              \
        (void)heap;                                                                                \
        return heap_peer_##v.allocate(size);                                                       \
    }                                                                                              \
                                                                                                   \
    ALWAYS_INLINE void heap_##v##_release(void *heap, void *pointer, size_t size)                  \
    {                                                                                              \
        (void)heap;                                                                                \
        (void)size;                                                                                \
        heap_peer_##v.release(pointer);                                                            \
    }                                                                                              \
                                                                                                   \
    static const struct heap_ops heap_##v##_ops = {                                                \
        .about = {.name = #v, .what = HEAP_PEER_WHAT_##v, .role = VARIANT_PEER},                   \
        .state_bytes = CACHE_LINE,                                                                 \
        .largest = PTRDIFF_MAX,                                                                    \
        .init = heap_peer_init,                                                                    \
        .allocate = heap_##v##_allocate,                                                           \
        .release = heap_##v##_release,                                                             \
        .statistics = heap_peer_statistics,                                                        \
        .check = heap_peer_check,                                                                  \
        .join = heap_peer_join,                                                                    \
        .leave = heap_peer_leave,                                                                  \
    };

HEAP_PEERS(HEAP_PEER)

#endif
