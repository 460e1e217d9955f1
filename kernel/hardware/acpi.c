// SPDX-License-Identifier: MIT
#include "acpi.h"

#include "acpi_parts.h"
#include "acpi_root.h"
#include "bytes.h"
#include "format.h"
#include "string.h"

// The head of every table: ACPI 6.5, 5.2.6.
#define TABLE_LENGTH   4
#define TABLE_REVISION 8
#define TABLE_OEM      10
#define OEM_BYTES      6u

// The tables that are read, in this order: SRAT needs the CPUs, SLIT the nodes.
enum kind { FADT, MADT, SRAT, SLIT, MCFG, HPET, SPCR, DBG2, KINDS };
static const struct {
    char signature[5];
    uint32_t least; // bytes
} kinds[KINDS] = {
    [FADT] = {"FACP", ACPI_FADT_LEAST}, [MADT] = {"APIC", ACPI_MADT_LEAST},
    [SRAT] = {"SRAT", ACPI_SRAT_LEAST}, [SLIT] = {"SLIT", ACPI_SLIT_LEAST},
    [MCFG] = {"MCFG", ACPI_MCFG_LEAST}, [HPET] = {"HPET", ACPI_HPET_LEAST},
    [SPCR] = {"SPCR", ACPI_SPCR_LEAST}, [DBG2] = {"DBG2", ACPI_DBG2_LEAST},
};

// What a reading needs while it lasts.
struct reading {
    struct acpi_info *info;
    const struct boot_memory *memory;
    struct acpi_log log;
    struct acpi_bytes found[KINDS];     // bytes are NULL for those not found
    struct acpi_table *table_of[KINDS]; // where their status goes
};

// ---- one table ---------------------------------------------------------------------------------

// Copies `length` characters, what is not printable as a question mark, and cuts blanks at the end.
static void copy_text(char *text, const uint8_t *bytes, unsigned length)
{
    for (unsigned i = 0; i < length; i++)
        text[i] = bytes[i] >= ' ' && bytes[i] <= '~' ? (char)bytes[i] : bytes[i] == 0 ? ' ' : '?';
    while (length > 0 && text[length - 1] == ' ')
        length--;
    text[length] = '\0';
}

// Fills `table` but for what its kind demands, and `bytes` if all of it is there.
static void look_at(const struct boot_memory *memory, uint64_t address, struct acpi_table *table,
                    struct acpi_bytes *bytes)
{
    const uint8_t *head = boot_memory_at(memory, address, ACPI_HEADER_BYTES);
    *table = (struct acpi_table){.address = address, .signature = "????"};
    *bytes = (struct acpi_bytes){0};
    table->status = ACPI_TABLE_UNREADABLE;
    if (head == NULL)
        return;
    copy_text(table->signature, head, 4);
    copy_text(table->oem, head + TABLE_OEM, OEM_BYTES);
    table->length = bytes_u32(head + TABLE_LENGTH);
    table->revision = head[TABLE_REVISION];
    if (table->length < ACPI_HEADER_BYTES || table->length > ACPI_TABLE_BYTES_MOST) {
        table->status = ACPI_TABLE_LENGTH;
        return;
    }
    if (!boot_memory_holds(memory, address, table->length))
        return;
    table->status = ACPI_TABLE_CHECKSUM;
    if (acpi_sum(head, table->length) != 0)
        return;
    *bytes = (struct acpi_bytes){head, table->length};
    table->status = ACPI_TABLE_UNKNOWN;
}

static void tell(struct acpi_log *log, const struct acpi_table *table)
{
    char text[ACPI_LINE_BYTES];
    acpi_table_text(table, text, sizeof(text));
    acpi_problem(log, "%s", text);
}

// Appends a table to the list; NULL if that is full.
static struct acpi_table *list(struct acpi_info *info, const struct acpi_table *table)
{
    if (info->table_count == ACPI_TABLES_MOST) {
        info->tables_left_out++;
        return NULL;
    }
    info->tables[info->table_count] = *table;
    return &info->tables[info->table_count++];
}

// Remembers a whole table if it is the first of a kind that is read.
static void sort_in(struct reading *reading, struct acpi_table *table,
                    const struct acpi_bytes *bytes)
{
    for (unsigned kind = 0; kind < KINDS; kind++) {
        if (!string_equal(table->signature, kinds[kind].signature))
            continue;
        if (reading->found[kind].bytes != NULL) {
            table->status = ACPI_TABLE_TWICE;
        } else if (bytes->length < kinds[kind].least) {
            table->status = ACPI_TABLE_LENGTH;
        } else {
            table->status = ACPI_TABLE_OK;
            reading->found[kind] = *bytes;
            reading->table_of[kind] = table;
        }
    }
}

static void take_table(struct reading *reading, uint64_t address)
{
    struct acpi_table looked_at;
    struct acpi_bytes bytes;
    look_at(reading->memory, address, &looked_at, &bytes);
    struct acpi_table *table = list(reading->info, &looked_at);
    if (table == NULL)
        return;
    if (bytes.bytes != NULL)
        sort_in(reading, table, &bytes);
    if (table->status > ACPI_TABLE_UNKNOWN)
        tell(&reading->log, table);
}

// ---- the root table ----------------------------------------------------------------------------

// The pointers of an XSDT have 8 bytes, those of a RSDT 4: ACPI 6.5, 5.2.7 and 5.2.8.
static bool read_root(struct reading *reading, uint64_t address, const char *signature,
                      unsigned pointer_bytes)
{
    struct acpi_table root;
    struct acpi_bytes bytes;
    look_at(reading->memory, address, &root, &bytes);
    const bool named = string_equal(root.signature, signature);
    if (bytes.bytes != NULL && named)
        root.status = (root.length - ACPI_HEADER_BYTES) % pointer_bytes == 0 ? ACPI_TABLE_OK
                                                                             : ACPI_TABLE_LENGTH;
    list(reading->info, &root);
    if (root.status != ACPI_TABLE_OK) {
        if (root.status == ACPI_TABLE_UNKNOWN)
            acpi_problem(&reading->log, "no %s stands at %lx", signature, address);
        else
            tell(&reading->log, &root);
        return false;
    }
    unsigned empty = 0;
    for (uint32_t at = ACPI_HEADER_BYTES; at < bytes.length; at += pointer_bytes) {
        const uint8_t *pointer = bytes.bytes + at;
        const uint64_t target = pointer_bytes == 8 ? bytes_u64(pointer) : bytes_u32(pointer);
        if (target != 0)
            take_table(reading, target);
        else
            empty++;
    }
    if (empty > 0)
        acpi_problem(&reading->log, "%u pointers of the %s are empty", empty, signature);
    if (reading->info->tables_left_out > 0)
        acpi_problem(&reading->log, "%u tables are left out: there are more than %u",
                     reading->info->tables_left_out, ACPI_TABLES_MOST);
    return true;
}

static void find_tables(struct reading *reading, uint64_t told)
{
    struct acpi_root root;
    if (told != 0 && !acpi_root_at(reading->memory, told, &root)) {
        acpi_problem(&reading->log, "no root pointer at %lx, where one was said to be", told);
        told = 0;
    }
    if (told == 0 && !acpi_root_search(reading->memory, &root)) {
        acpi_problem(&reading->log, "no root pointer: no table is read, one CPU is assumed");
        return;
    }
    reading->info->rsdp = root.address;
    if (root.broken)
        acpi_problem(&reading->log, "the later half of the root pointer at %lx is broken",
                     root.address);
    if (root.xsdt != 0 && read_root(reading, root.xsdt, "XSDT", 8))
        return;
    if (root.rsdt == 0)
        acpi_problem(&reading->log, "no root table");
    else
        read_root(reading, root.rsdt, "RSDT", 4);
}

// ---- everything --------------------------------------------------------------------------------

static bool read_kind(struct reading *reading, enum kind kind)
{
    struct acpi_info *info = reading->info;
    const struct acpi_bytes *bytes = &reading->found[kind];
    struct acpi_log *log = &reading->log;
    switch (kind) {
    case FADT:
        return acpi_fadt_read(&info->devices, bytes, log);
    case MADT:
        return acpi_cpus_read(&info->cpus, bytes, log);
    case SRAT:
        return acpi_srat_read(&info->numa, &info->domains, &info->cpus, bytes, log);
    case SLIT:
        return acpi_slit_read(&info->numa, &info->domains, bytes, log);
    case MCFG:
        return acpi_mcfg_read(&info->devices, bytes, log);
    case HPET:
        return acpi_hpet_read(&info->devices, bytes, log);
    case SPCR:
        return acpi_spcr_read(&info->devices, bytes, log);
    default:
        return acpi_dbg2_read(&info->devices, bytes, log);
    }
}

void acpi_read(struct acpi_info *info, struct boot_memory memory, uint64_t rsdp,
               void (*log)(void *context, const char *line), void *context)
{
    struct reading reading = {.info = info, .memory = &memory, .log = {log, context, 0}};
    *info = (struct acpi_info){0};
    acpi_cpus_init(&info->cpus);
    numa_init(&info->numa);
    find_tables(&reading, rsdp);
    for (unsigned kind = 0; kind < KINDS; kind++) {
        if (reading.found[kind].bytes != NULL && !read_kind(&reading, kind))
            reading.table_of[kind]->status = ACPI_TABLE_CONTENT;
    }
    if (info->rsdp != 0 && reading.found[MADT].bytes == NULL)
        acpi_problem(&reading.log, "no table of the CPUs (APIC): one is assumed");
    info->problems = reading.log.problems;
}

// ---- text --------------------------------------------------------------------------------------

const char *acpi_table_status_text(enum acpi_table_status status)
{
    static const char *const texts[ACPI_TABLE_STATUSES] = {
        [ACPI_TABLE_OK] = "ok",
        [ACPI_TABLE_UNKNOWN] = "unknown",
        [ACPI_TABLE_TWICE] = "is there twice",
        [ACPI_TABLE_UNREADABLE] = "unreadable",
        [ACPI_TABLE_LENGTH] = "wrong length",
        [ACPI_TABLE_CHECKSUM] = "wrong checksum",
        [ACPI_TABLE_CONTENT] = "broken inside",
    };
    return status < ACPI_TABLE_STATUSES ? texts[status] : "?";
}

size_t acpi_table_text(const struct acpi_table *table, char *buffer, size_t capacity)
{
    return format(buffer, capacity, "%s at %lx, %u bytes, revision %u, %s: %s", table->signature,
                  table->address, table->length, table->revision, table->oem,
                  acpi_table_status_text(table->status));
}

size_t acpi_tables_text(const struct acpi_info *info, char *buffer, size_t capacity)
{
    size_t length = format(buffer, capacity, "%s", "");
    for (unsigned i = 0; i < info->table_count; i++) {
        const struct acpi_table *table = &info->tables[i];
        if (table->status <= ACPI_TABLE_TWICE || table->status == ACPI_TABLE_CONTENT)
            length += format(buffer + length, capacity - length, "%s%s", length > 0 ? "," : "",
                             table->signature);
    }
    return length;
}
