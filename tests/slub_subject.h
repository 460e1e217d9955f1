// SPDX-License-Identifier: MIT
// A SLUB over arenas of its own, one for each node, with sources of pages that count and can be
// told to fail. For tests; memory comes from malloc, so that sanitisers see what leaves it.
#ifndef SLUB_SUBJECT_H
#define SLUB_SUBJECT_H

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "buddy.h"
#include "compiler.h"
#include "slub.h"
#include "test_platform.h"

#define SUBJECT_ORDER 8

// An assertion for long loops: one of Check's writes to a file each time.
#define EXPECT(condition)                                                                          \
    do {                                                                                           \
        if (!(condition))                                                                          \
            ck_abort_msg("expected: %s", #condition);                                              \
    } while (0)

// A node's pages: a buddy behind a lock.
struct source {
    struct spinlock lock;
    struct buddy buddy;
    void *memory, *metadata;
    uint64_t calls;     // of allocate
    uint64_t fail_at;   // the call that fails, counted from 0; UINT64_MAX: none
    bool fail_for_good; // and all after it
    bool closed;        // all fail
};

struct subject {
    struct slub *slub;
    struct slub_cpu *cpus;
    struct source sources[NUMA_NODES_MOST];
    unsigned nodes;
    uint8_t *arena; // of all nodes, one behind the other
    uint64_t node_bytes;
    struct slub_depot *depots;
    void *metadata;
};

static inline bool source_allocate(void *context, unsigned order, uintptr_t *address)
{
    struct source *source = context;
    spinlock_acquire(&source->lock);
    const uint64_t call = source->calls++;
    const bool refused = source->closed || call == source->fail_at ||
                         (source->fail_for_good && call > source->fail_at);
    const bool found = !refused && buddy_allocate(&source->buddy, order, address);
    spinlock_release(&source->lock);
    return found;
}

static inline void source_release(void *context, uintptr_t address, unsigned order)
{
    struct source *source = context;
    spinlock_acquire(&source->lock);
    const enum status status = buddy_free(&source->buddy, address, order);
    spinlock_release(&source->lock);
    if (status != STATUS_OK)
        abort();
}

// Pages that the SLUB has of all nodes.
static inline uint64_t subject_pages(const struct subject *subject)
{
    uint64_t pages = 0;
    for (unsigned i = 0; i < subject->nodes; i++)
        pages +=
            subject->sources[i].buddy.frames_allocated - subject->sources[i].buddy.frames_freed;
    return pages;
}

// `nodes` of node_bytes each, `cpus` CPUs; settings and numa as slub_setup has them.
static inline void subject_open(struct subject *s, unsigned nodes, uint64_t node_bytes,
                                unsigned cpus, const struct slub_settings *settings,
                                const struct numa *numa)
{
    struct slub_range ranges[NUMA_NODES_MOST];
    memset(s, 0, sizeof *s);
    s->nodes = nodes;
    s->node_bytes = node_bytes;
    // Blocks are aligned to their size in the address space.
    s->arena = aligned_alloc(PAGE_SIZE << SUBJECT_ORDER,
                             align_up(nodes * node_bytes, PAGE_SIZE << SUBJECT_ORDER));
    s->slub = aligned_alloc(CACHE_LINE, align_up(sizeof(struct slub), CACHE_LINE));
    s->cpus = aligned_alloc(CACHE_LINE, cpus * sizeof(struct slub_cpu));
    memset(s->slub, 0xee, sizeof(struct slub)); // whatever lay there before must not matter
    memset(s->cpus, 0xee, cpus * sizeof(struct slub_cpu));
    memset(s->arena, 0xee, nodes * node_bytes);
    for (unsigned i = 0; i < nodes; i++) {
        struct source *source = &s->sources[i];
        const uintptr_t start = (uintptr_t)s->arena + i * node_bytes;
        const size_t bytes = buddy_metadata_bytes(start, node_bytes, SUBJECT_ORDER);
        source->metadata = malloc(bytes);
        source->fail_at = UINT64_MAX;
        if (buddy_init(&source->buddy, start, node_bytes, SUBJECT_ORDER, source->metadata, bytes) !=
                STATUS_OK ||
            buddy_add(&source->buddy, start, node_bytes) != STATUS_OK)
            abort();
        ranges[i] = (struct slub_range){.start = start,
                                        .length = node_bytes,
                                        .pages = {source, source_allocate, source_release}};
    }
    const size_t bytes = align_up(slub_metadata_bytes(ranges, nodes), CACHE_LINE);
    s->metadata = aligned_alloc(CACHE_LINE, bytes);
    s->depots = aligned_alloc(CACHE_LINE, nodes * SLUB_CACHES_MOST * sizeof(struct slub_depot));
    memset(s->depots, 0xee, nodes * SLUB_CACHES_MOST * sizeof(struct slub_depot));
    memset(s->metadata, 0xee, bytes);
    const struct slub_setup setup = {.settings = settings,
                                     .ranges = ranges,
                                     .node_count = nodes,
                                     .numa = numa,
                                     .cpus = s->cpus,
                                     .cpu_count = cpus,
                                     .depots = s->depots,
                                     .metadata = s->metadata,
                                     .metadata_bytes = bytes};
    if (slub_init(s->slub, &setup) != STATUS_OK)
        abort();
}

static inline void subject_close(struct subject *s)
{
    for (unsigned i = 0; i < s->nodes; i++)
        free(s->sources[i].metadata);
    free(s->arena);
    free(s->slub);
    free(s->cpus);
    free(s->depots);
    free(s->metadata);
}

// Nothing is out: all memory comes back, and every count is balanced.
static inline void subject_expect_all_back(struct subject *s)
{
    struct slub_totals totals;
    slub_flush(s->slub);
    slub_trim(s->slub);
    EXPECT(slub_check(s->slub));
    slub_statistics(s->slub, &totals);
    EXPECT(totals.objects.allocations == totals.objects.frees);
    EXPECT(totals.bytes_allocated == totals.bytes_freed);
    EXPECT(totals.pages_taken == totals.pages_returned);
    EXPECT(totals.objects.cached == 0);
    EXPECT(subject_pages(s) == 0);
}

// Runs `deed` in a process of its own, which must die of a panic that says `line`.
static inline void expect_panic(void (*deed)(void *argument), void *argument, const char *line)
{
    int ends[2];
    char said[512] = {0}, *text = NULL;
    size_t used = 0;
    ck_assert_int_eq(pipe(ends), 0);
    fflush(NULL);
    const pid_t child = fork();
    if (child == 0) {
        dup2(ends[1], STDERR_FILENO);
        deed(argument);
        _exit(0);
    }
    close(ends[1]);
    for (ssize_t n; (n = read(ends[0], said + used, sizeof said - 1 - used)) > 0;)
        used += (size_t)n;
    close(ends[0]);
    int status = 0;
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_msg(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT, "no panic, but: %s", said);
    text = strstr(said, ": "); // behind file and line
    ck_assert_ptr_nonnull(text);
    text += 2;
    text[strcspn(text, "\n")] = '\0';
    ck_assert_str_eq(text, line);
}

#endif
