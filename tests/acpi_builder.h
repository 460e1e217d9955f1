// SPDX-License-Identifier: MIT
// Builds ACPI tables in a small physical memory for tests, and reads them from a copy of exactly
// that length, so that a sanitizer sees every read beyond it. One thread.
#ifndef ACPI_BUILDER_H
#define ACPI_BUILDER_H

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "acpi.h"
#include "compiler.h"

#define BUILD_BASE   0xf0000u // where a BIOS keeps such things: the search finds it
#define BUILD_BYTES  8192u
#define BUILD_TABLES 80u
#define HEARD_MOST   64u

struct build {
    uint8_t bytes[BUILD_BYTES];
    uint64_t used;
    uint64_t tables[BUILD_TABLES]; // addresses the root tables will have
    unsigned count;
};

// Offsets of fields of every table, and of the root pointer.
#define AT_LENGTH   4
#define AT_REVISION 8
#define AT_CHECKSUM 9
#define AT_XSDT     24
#define AT_RSDT     16

static char heard[HEARD_MOST][ACPI_LINE_BYTES];
static unsigned heard_count;

static void hear(void *context, const char *line)
{
    (void)context;
    ck_assert_uint_lt(strlen(line), ACPI_LINE_BYTES);
    if (heard_count < HEARD_MOST)
        strcpy(heard[heard_count++], line);
}

// True if a line of the log has `part` in it.
static inline bool was_said(const char *part)
{
    for (unsigned i = 0; i < heard_count; i++) {
        if (strstr(heard[i], part) != NULL)
            return true;
    }
    return false;
}

static inline struct acpi_log listener(void)
{
    heard_count = 0;
    return (struct acpi_log){hear, NULL, 0};
}

static inline void put(struct build *build, uint64_t value, unsigned bytes)
{
    if (build->used + bytes > BUILD_BYTES)
        ck_abort_msg("the test's own memory is too small");
    for (unsigned i = 0; i < bytes; i++)
        build->bytes[build->used++] = (uint8_t)(i < 8 ? value >> 8 * i : 0);
}

static inline void put_at(struct build *build, uint64_t at, uint64_t value, unsigned bytes)
{
    const uint64_t used = build->used;
    build->used = at;
    put(build, value, bytes);
    build->used = used;
}

static inline void put_text(struct build *build, const char *text)
{
    for (size_t i = 0; i < strlen(text); i++)
        put(build, (uint8_t)text[i], 1);
}

// Makes [at, at + length) add up to 0 through the byte at `check`.
static inline void add_up(struct build *build, uint64_t at, uint64_t length, uint64_t check)
{
    build->bytes[check] = 0;
    for (uint64_t i = at; i < at + length; i++)
        build->bytes[check] = (uint8_t)(build->bytes[check] - (i == check ? 0 : build->bytes[i]));
}

// Repairs the checksum of the table at an offset after a change; its length must be right.
static inline void seal(struct build *build, uint64_t at)
{
    uint32_t length;
    memcpy(&length, build->bytes + at + AT_LENGTH, sizeof(length));
    add_up(build, at, length, at + AT_CHECKSUM);
}

// Begins a table; returns its offset.
static inline uint64_t begin_table(struct build *build, const char *signature, uint8_t revision)
{
    build->used = align_up(build->used, 16);
    const uint64_t at = build->used;
    put_text(build, signature);
    put(build, 0, 4);
    put(build, revision, 1);
    put(build, 0, 1);
    put_text(build, "OEM   ");
    put_text(build, "TABLE   ");
    put(build, 1, 4);
    put_text(build, "MAKE");
    put(build, 1, 4);
    return at;
}

// Ends it, and notes it for the root tables.
static inline void end_table(struct build *build, uint64_t at)
{
    put_at(build, at + AT_LENGTH, build->used - at, 4);
    seal(build, at);
    if (build->count == BUILD_TABLES)
        ck_abort_msg("more tables than the test has room for");
    build->tables[build->count++] = BUILD_BASE + at;
}

static inline struct acpi_bytes table_at(const struct build *build, uint64_t at)
{
    uint32_t length;
    memcpy(&length, build->bytes + at + AT_LENGTH, sizeof(length));
    return (struct acpi_bytes){build->bytes + at, length};
}

// The table's bytes in an allocation of their own. The caller frees it.
static inline struct acpi_bytes alone(const struct build *build, uint64_t at)
{
    const struct acpi_bytes table = table_at(build, at);
    uint8_t *copy = malloc(table.length);
    ck_assert_ptr_nonnull(copy);
    memcpy(copy, table.bytes, table.length);
    return (struct acpi_bytes){copy, table.length};
}

// A root table with the tables so far; returns its address.
static inline uint64_t put_root(struct build *build, const char *signature, unsigned pointer_bytes)
{
    const unsigned count = build->count;
    const uint64_t at = begin_table(build, signature, 1);
    for (unsigned i = 0; i < count; i++)
        put(build, build->tables[i], pointer_bytes);
    end_table(build, at);
    build->count = count; // it is no table of its own
    return BUILD_BASE + at;
}

// A root pointer of ACPI 2.0, or of 1.0 if there is no `xsdt`; returns its address.
static inline uint64_t put_rsdp(struct build *build, uint64_t xsdt, uint64_t rsdt)
{
    build->used = align_up(build->used, 16);
    const uint64_t at = build->used;
    put_text(build, "RSD PTR ");
    put(build, 0, 1);
    put_text(build, "OEM   ");
    put(build, xsdt != 0 ? 2 : 0, 1);
    put(build, rsdt, 4);
    add_up(build, at, 20, at + 8);
    if (xsdt != 0) {
        put(build, 36, 4);
        put(build, xsdt, 8);
        put(build, 0, 4);
        add_up(build, at, 36, at + 32);
    }
    return BUILD_BASE + at;
}

// Both root tables and a root pointer of ACPI 2.0; returns its address.
static inline uint64_t put_roots(struct build *build)
{
    const uint64_t rsdt = put_root(build, "RSDT", 4);
    const uint64_t xsdt = put_root(build, "XSDT", 8);
    return put_rsdp(build, xsdt, rsdt);
}

static inline void read_build(const struct build *build, struct acpi_info *info, uint64_t rsdp)
{
    uint8_t *copy = malloc(build->used > 0 ? build->used : 1);
    ck_assert_ptr_nonnull(copy);
    memcpy(copy, build->bytes, build->used);
    const struct boot_memory memory = {.bytes = copy, .base = BUILD_BASE, .length = build->used};
    heard_count = 0;
    acpi_read(info, memory, rsdp, hear, NULL);
    free(copy);
}

// ---- whole tables ------------------------------------------------------------------------------

static inline void put_register(struct build *build, uint8_t space, uint8_t bits, uint64_t address)
{
    put(build, space, 1);
    put(build, bits, 1);
    put(build, 0, 2);
    put(build, address, 8);
}

static inline uint64_t begin_madt(struct build *build)
{
    const uint64_t at = begin_table(build, "APIC", 3);
    put(build, 0xfee00000, 4);
    put(build, 1, 4);
    return at;
}

static inline void put_xapic(struct build *build, uint8_t uid, uint8_t id, uint32_t flags)
{
    put(build, 0x0800, 2);
    put(build, uid, 1);
    put(build, id, 1);
    put(build, flags, 4);
}

static inline void put_x2apic(struct build *build, uint32_t uid, uint32_t id, uint32_t flags)
{
    put(build, 0x1009, 4);
    put(build, id, 4);
    put(build, flags, 4);
    put(build, uid, 4);
}

static inline void put_ioapic(struct build *build, uint8_t id, uint32_t address, uint32_t gsi)
{
    put(build, 0x0c01, 2);
    put(build, id, 2);
    put(build, address, 4);
    put(build, gsi, 4);
}

static inline void put_override(struct build *build, uint8_t bus, uint8_t irq, uint32_t gsi,
                                uint16_t flags)
{
    put(build, 0x0a02, 2);
    put(build, bus, 1);
    put(build, irq, 1);
    put(build, gsi, 4);
    put(build, flags, 2);
}

static inline uint64_t begin_srat(struct build *build, uint8_t revision)
{
    const uint64_t at = begin_table(build, "SRAT", revision);
    put(build, 1, 4);
    put(build, 0, 8);
    return at;
}

static inline void put_cpu_of(struct build *build, uint32_t domain, uint8_t id, uint32_t flags)
{
    put(build, 0x1000, 2);
    put(build, domain & 0xff, 1);
    put(build, id, 1);
    put(build, flags, 4);
    put(build, 0, 1);
    put(build, domain >> 8, 3);
    put(build, 0, 4);
}

static inline void put_x2cpu_of(struct build *build, uint32_t domain, uint32_t id, uint32_t flags)
{
    put(build, 0x1802, 4);
    put(build, domain, 4);
    put(build, id, 4);
    put(build, flags, 4);
    put(build, 0, 8);
}

static inline void put_memory_of(struct build *build, uint32_t domain, uint64_t start,
                                 uint64_t length, uint32_t flags)
{
    put(build, 0x2801, 2);
    put(build, domain, 4);
    put(build, 0, 2);
    put(build, start, 8);
    put(build, length, 8);
    put(build, 0, 4);
    put(build, flags, 4);
    put(build, 0, 8);
}

#endif
