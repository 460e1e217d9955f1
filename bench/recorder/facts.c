// SPDX-License-Identifier: MIT
#include "facts.h"

#include <dirent.h>
#include <dwarf.h>
#include <elfutils/libdw.h>
#include <elfutils/libdwelf.h>
#include <errno.h>
#include <fcntl.h>
#include <gelf.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "process.h"

#define UNITS_MOST 4096u // compilation units looked at for their flags

static void set(struct facts *facts, const char *key, const void *value, size_t length)
{
    char clean[FACT_MOST + 1];
    text_clean(clean, sizeof(clean), value, length);
    facts_set(facts, key, clean[0] != '\0' ? clean : "unknown");
}

// ---- the image ---------------------------------------------------------------------------------

static Elf *open_elf(const char *image, int *fd)
{
    elf_version(EV_CURRENT);
    *fd = open(image, O_RDONLY | O_CLOEXEC);
    return *fd < 0 ? NULL : elf_begin(*fd, ELF_C_READ, NULL);
}

static void close_elf(Elf *elf, int fd)
{
    elf_end(elf);
    if (fd >= 0)
        close(fd);
}

size_t facts_build_id(const char *image, uint8_t *bytes, size_t capacity, char *why,
                      size_t why_capacity)
{
    int fd;
    const void *id = NULL;
    Elf *elf = open_elf(image, &fd);
    const bool is_elf = elf != NULL && elf_kind(elf) == ELF_K_ELF;
    const ssize_t length = is_elf ? dwelf_elf_gnu_build_id(elf, &id) : 0;
    const bool found = length > 0 && (size_t)length <= capacity;
    if (fd < 0)
        text_format(why, why_capacity, "cannot read the image %s: %s", image, strerror(errno));
    else if (!found)
        text_format(why, why_capacity, "the image %s is no ELF file with a build id", image);
    else
        memcpy(bytes, id, (size_t)length);
    close_elf(elf, fd);
    return found ? (size_t)length : 0;
}

static Elf_Data *section_data(Elf *elf, const char *name)
{
    size_t names;
    if (elf_getshdrstrndx(elf, &names) != 0)
        return NULL;
    for (Elf_Scn *section = NULL; (section = elf_nextscn(elf, section)) != NULL;) {
        GElf_Shdr header;
        if (gelf_getshdr(section, &header) == NULL || header.sh_type == SHT_NOBITS)
            continue;
        const char *this = elf_strptr(elf, names, header.sh_name);
        if (this != NULL && strcmp(this, name) == 0)
            return elf_getdata(section, NULL);
    }
    return NULL;
}

static bool contains(const struct buffer *list, const char *entry, size_t length)
{
    return list->length >= length && memmem(list->bytes, list->length, entry, length) != NULL;
}

// Appends the entry with "; " between, once.
static void add_entry(struct buffer *list, const char *entry)
{
    const size_t length = strlen(entry);
    if (length == 0 || list->length + length > FACT_MOST || contains(list, entry, length))
        return;
    if (list->length > 0)
        buffer_add(list, "; ", 2);
    buffer_add(list, entry, length);
}

// A section of zero-terminated strings (.comment, .GCC.command.line).
static void add_strings(struct buffer *list, const Elf_Data *data)
{
    if (data == NULL || data->d_buf == NULL)
        return;
    const char *at = data->d_buf, *end = at + data->d_size;
    while (at < end) {
        char entry[FACT_MOST + 1];
        const size_t length = strnlen(at, (size_t)(end - at));
        text_clean(entry, sizeof(entry), at, length);
        add_entry(list, entry);
        at += length + 1;
    }
}

static void add_producers(struct buffer *list, Elf *elf)
{
    Dwarf *dwarf = dwarf_begin_elf(elf, DWARF_C_READ, NULL);
    Dwarf_CU *unit = NULL;
    Dwarf_Die die;
    for (unsigned i = 0; dwarf != NULL && i < UNITS_MOST &&
                         dwarf_get_units(dwarf, unit, &unit, NULL, NULL, &die, NULL) == 0;
         i++) {
        Dwarf_Attribute attribute;
        const char *producer = dwarf_formstring(dwarf_attr(&die, DW_AT_producer, &attribute));
        char entry[FACT_MOST + 1] = "";
        if (producer != NULL)
            text_clean(entry, sizeof(entry), producer, strlen(producer));
        add_entry(list, entry);
    }
    dwarf_end(dwarf);
}

void facts_of_image(struct facts *facts, const char *image)
{
    uint8_t id[64];
    char text[2 * sizeof(id) + 1] = "", why[DETAIL_MOST];
    int fd;
    const size_t length = facts_build_id(image, id, sizeof(id), why, sizeof(why));
    for (size_t i = 0; i < length; i++)
        text_format(text + 2 * i, 3, "%02x", id[i]);
    set(facts, "build.id", text, strlen(text));

    struct buffer compiler = {0}, flags = {0};
    Elf *elf = open_elf(image, &fd);
    if (elf != NULL && elf_kind(elf) == ELF_K_ELF) {
        add_strings(&compiler, section_data(elf, ".comment"));
        add_strings(&flags, section_data(elf, ".GCC.command.line"));
        if (flags.length == 0)
            add_producers(&flags, elf);
    }
    close_elf(elf, fd);
    set(facts, "build.compiler", compiler.bytes, compiler.length);
    set(facts, "build.flags", flags.bytes, flags.length);
    buffer_free(&compiler);
    buffer_free(&flags);
}

// ---- the host ----------------------------------------------------------------------------------

// The first bytes of a small file; "" if it cannot be read.
static void read_file(const char *path, char *text, size_t capacity)
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    const ssize_t got = fd >= 0 ? read(fd, text, capacity - 1) : -1;
    text[got > 0 ? got : 0] = '\0';
    if (fd >= 0)
        close(fd);
}

static void set_file(struct facts *facts, const char *key, const char *path)
{
    char text[FACT_MOST + 1];
    read_file(path, text, sizeof(text));
    set(facts, key, text, strlen(text));
}

// The value of the first "name : value" line.
static void line_value(const char *text, const char *name, char *value, size_t capacity)
{
    value[0] = '\0';
    for (const char *at = text; at != NULL && *at != '\0';) {
        const char *end = at + strcspn(at, "\n");
        const char *colon = memchr(at, ':', (size_t)(end - at));
        const size_t length = strlen(name);
        if (colon != NULL && strncmp(at, name, length) == 0 &&
            strspn(at + length, " \t") == (size_t)(colon - at) - length) {
            const char *from = colon + 1 + strspn(colon + 1, " \t");
            text_clean(value, capacity, from, from < end ? (size_t)(end - from) : 0);
            return;
        }
        at = *end == '\n' ? end + 1 : NULL;
    }
}

static void cpu_facts(struct facts *facts)
{
    char text[16384], value[FACT_MOST], family[64], model[64], stepping[64];
    read_file("/proc/cpuinfo", text, sizeof(text));
    line_value(text, "model name", value, sizeof(value));
    set(facts, "host.cpu", value, strlen(value));
    line_value(text, "microcode", value, sizeof(value));
    set(facts, "host.microcode", value, strlen(value));
    line_value(text, "cpu family", family, sizeof(family));
    line_value(text, "model", model, sizeof(model));
    line_value(text, "stepping", stepping, sizeof(stepping));
    text_format(value, sizeof(value), "%s/%s/%s", family, model, stepping);
    set(facts, "host.family", value, family[0] != '\0' ? strlen(value) : 0);
    line_value(text, "flags", value, sizeof(value));
    const char *flag = strstr(value, " hypervisor");
    const bool set_flag = flag != NULL && (flag[11] == ' ' || flag[11] == '\0');
    set(facts, "host.hypervisor", set_flag ? "yes" : "no", value[0] == '\0' ? 0 : set_flag ? 3 : 2);
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static void mitigation_facts(struct facts *facts)
{
    static const char folder[] = "/sys/devices/system/cpu/vulnerabilities";
    struct dirent **entries = NULL;
    struct buffer list = {0};
    const int count = scandir(folder, &entries, NULL, by_name);
    for (int i = 0; i < count; i++) {
        char path[sizeof(folder) + 256], text[256], entry[512];
        text_format(path, sizeof(path), "%s/%s", folder, entries[i]->d_name);
        read_file(path, text, sizeof(text));
        text[strcspn(text, "\n")] = '\0';
        text_format(entry, sizeof(entry), "%.200s: %s", entries[i]->d_name, text);
        if (entries[i]->d_name[0] != '.' && text[0] != '\0')
            add_entry(&list, entry);
        free(entries[i]);
    }
    free(entries);
    set(facts, "host.mitigations", list.bytes, list.length);
    buffer_free(&list);
}

// Two drivers say it in two places, one of them the other way round.
static void turbo_facts(struct facts *facts)
{
    char text[16];
    const char *value = "";
    read_file("/sys/devices/system/cpu/intel_pstate/no_turbo", text, sizeof(text));
    if (text[0] == '0' || text[0] == '1')
        value = text[0] == '0' ? "on" : "off";
    read_file("/sys/devices/system/cpu/cpufreq/boost", text, sizeof(text));
    if (value[0] == '\0' && (text[0] == '0' || text[0] == '1'))
        value = text[0] == '1' ? "on" : "off";
    set(facts, "host.turbo", value, strlen(value));
}

void facts_of_host(struct facts *facts)
{
    struct utsname name;
    char text[4096], value[256];
    cpu_facts(facts);
    mitigation_facts(facts);
    turbo_facts(facts);
    set_file(facts, "host.smt", "/sys/devices/system/cpu/smt/control");
    set_file(facts, "host.governor", "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor");
    value[0] = '\0';
    if (uname(&name) == 0)
        text_format(value, sizeof(value), "%.64s %.64s %.64s", name.sysname, name.release,
                    name.machine);
    set(facts, "host.kernel", value, strlen(value));
    read_file("/proc/meminfo", text, sizeof(text));
    line_value(text, "MemTotal", value, sizeof(value));
    set(facts, "host.memory", value, strlen(value));
}

// ---- the command -------------------------------------------------------------------------------

// What `PROGRAM --version` prints on its first line.
static void version_fact(struct facts *facts, char *program)
{
    char option[] = "--version", why[DETAIL_MOST], text[512];
    char *words[] = {program, option, NULL};
    struct process process;
    size_t length = 0;
    if (process_start(&process, words, "", why, sizeof(why))) {
        const int64_t end = now_ms() + 5000;
        while (length < sizeof(text) && now_ms() < end) {
            const ssize_t got = read(process.output, text + length, sizeof(text) - length);
            if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR))
                break;
            if (got > 0)
                length += (size_t)got;
            else
                usleep(2000);
        }
        process_end(&process);
    }
    const char *newline = memchr(text, '\n', length);
    set(facts, "qemu.version", text, newline != NULL ? (size_t)(newline - text) : length);
}

void facts_of_command(struct facts *facts, char *const *words)
{
    struct buffer list = {0};
    const char *base = strrchr(words[0], '/') != NULL ? strrchr(words[0], '/') + 1 : words[0];
    if (strncmp(base, "qemu-system-", 12) == 0)
        version_fact(facts, words[0]);
    for (size_t i = 0; words[i] != NULL; i++)
        buffer_print(&list, "%s%s", i > 0 ? " " : "", words[i]);
    set(facts, "command", list.bytes, list.length);
    buffer_free(&list);
}
