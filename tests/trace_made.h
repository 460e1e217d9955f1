// SPDX-License-Identifier: MIT
// A trace that a test makes: opened, taken, saved, held against a golden file. With
// TICKMARK_TRACES=FOLDER every one that is saved is written there: tests/trace reads them with
// decoders of its own.
#ifndef TRACE_MADE_H
#define TRACE_MADE_H

#include <check.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "perfetto.h"

// Of cases that make none: who wants the traces only leaves these out.
#define NO_TRACES "no-traces"

#define MADE_MOST        (8u << 20)
#define MADE_CHUNKS_MOST 1024u
#define GOLDEN_MOST      (1u << 16)

static struct {
    uint8_t bytes[MADE_MOST];
    size_t length, chunks;
    size_t ends[MADE_CHUNKS_MOST]; // of each chunk
} out;
static struct perfetto perfetto;
static struct perfetto_memory perfetto_memory;

static inline void made_take(void *context, const void *packets, size_t length)
{
    (void)context;
    ck_assert_uint_le(out.length + length, MADE_MOST);
    ck_assert_uint_lt(out.chunks, MADE_CHUNKS_MOST);
    memcpy(out.bytes + out.length, packets, length);
    out.length += length;
    out.ends[out.chunks++] = out.length;
}

static inline void made_open(bool compress, uint64_t hz, uint32_t cpus, uint64_t ticks)
{
    const struct perfetto_system system = {.name = "Tickmark",
                                           .release = "0badcafe",
                                           .machine = "x86_64",
                                           .machine_name = "a test",
                                           .cpus = cpus,
                                           .ticks = ticks};
    out.length = out.chunks = 0;
    perfetto_init(&perfetto, &perfetto_memory, compress, hz,
                  (struct perfetto_sink){NULL, made_take});
    perfetto_open(&perfetto, &system);
}

// A file of that name and kind where traces are wanted; NULL: nowhere.
static inline FILE *made_create(const char *name, const char *kind)
{
    char path[PATH_MAX];
    const char *folder = getenv("TICKMARK_TRACES");
    if (folder == NULL)
        return NULL;
    snprintf(path, sizeof(path), "%s/%s.%s", folder, name, kind);
    FILE *file = fopen(path, "wb");
    ck_assert_ptr_nonnull(file);
    return file;
}

static inline void made_save(const char *name)
{
    FILE *file = made_create(name, "perfetto-trace");
    if (file == NULL)
        return;
    ck_assert_uint_eq(fwrite(out.bytes, 1, out.length, file), out.length);
    fclose(file);
}

static inline void made_compare_golden(const char *name)
{
    static uint8_t golden[GOLDEN_MOST];
    char path[PATH_MAX];
    made_save(name);
    snprintf(path, sizeof(path), "tests/trace/golden/%s.perfetto-trace", name);
    FILE *file = fopen(path, "rb");
    ck_assert_msg(file != NULL, "%s is missing: TICKMARK_TRACES=tests/trace/golden makes it", path);
    const size_t length = fread(golden, 1, sizeof(golden), file);
    fclose(file);
    for (size_t i = 0; i < length && i < out.length; i++)
        ck_assert_msg(out.bytes[i] == golden[i], "%s differs at byte %zu: %02x, golden %02x", name,
                      i, out.bytes[i], golden[i]);
    ck_assert_uint_eq(out.length, length);
}

#endif
