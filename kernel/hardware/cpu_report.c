// SPDX-License-Identifier: MIT
#include "cpu_report.h"

#include "compiler.h"
#include "format.h"
#include "string.h"

#define MSR_SPEC_CTRL         0x48u
#define MSR_MICROCODE         0x8bu // IA32_BIOS_SIGN_ID; AMD: PATCH_LEVEL
#define MSR_ARCH_CAPABILITIES 0x10au
#define MSR_MISC_ENABLE       0x1a0u
#define MISC_TURBO_OFF        38u
#define MSR_AMD_HWCR          0xc0010015u
#define HWCR_BOOST_OFF        25u

static bool bit(uint64_t word, unsigned number)
{
    return (word >> number & 1) != 0;
}

static struct cpu_cpuid ask(const struct cpu_questions *questions, uint32_t leaf, uint32_t subleaf)
{
    return questions->cpuid(questions->context, leaf, subleaf);
}

// Zeros for a leaf that this CPU has not.
static struct cpu_cpuid ask_if_there(const struct cpu_questions *questions, uint32_t leaf,
                                     uint32_t subleaf)
{
    const uint32_t highest = ask(questions, leaf & 0x80000000u, 0).eax;
    return highest >= leaf ? ask(questions, leaf, subleaf) : (struct cpu_cpuid){0};
}

static bool read_msr(const struct cpu_questions *questions, uint32_t msr, uint64_t *value)
{
    *value = 0;
    return questions->msr.read(questions->msr.context, msr, value);
}

static enum cpu_maker maker_of(const struct cpu_questions *questions)
{
    const struct cpu_cpuid leaf = ask(questions, 0, 0);
    const uint32_t words[3] = {leaf.ebx, leaf.edx, leaf.ecx};
    if (memcmp(words, "GenuineIntel", sizeof(words)) == 0)
        return CPU_OF_INTEL;
    return memcmp(words, "AuthenticAMD", sizeof(words)) == 0 ? CPU_OF_AMD : CPU_OF_OTHERS;
}

// Family and model with their extended parts (AMD64 vol. 3, appendix E.3.2).
static void read_signature(struct cpu_report *report, uint32_t packed)
{
    const unsigned family = packed >> 8 & 0xf;
    report->signature = packed;
    report->family = family + (family == 0xf ? packed >> 20 & 0xff : 0);
    report->model = (packed >> 4 & 0xf) | (packed >> 12 & 0xf0);
    report->stepping = packed & 0xf;
}

// Intel's has the revision in its upper half, after zero was written and CPUID executed (SDM vol.
// 3, 10.11.7.1); AMD's in its lower one.
static void read_microcode(struct cpu_report *report, const struct cpu_questions *questions)
{
    uint64_t value;
    if (report->hypervisor || report->maker == CPU_OF_OTHERS || report->family < 6)
        return;
    if (report->maker == CPU_OF_INTEL) {
        if (!questions->msr.write(questions->msr.context, MSR_MICROCODE, 0))
            return;
        (void)ask(questions, 1, 0);
    }
    report->microcode_known = read_msr(questions, MSR_MICROCODE, &value);
    report->microcode = (uint32_t)(report->maker == CPU_OF_INTEL ? value >> 32 : value);
}

// Both are told of by CPUID: a hypervisor that shows the bit has the register.
static void read_mitigations(struct cpu_report *report, const struct cpu_questions *questions)
{
    const uint32_t structured = ask_if_there(questions, 7, 0).edx;
    const uint32_t amd = ask_if_there(questions, 0x80000008, 0).ebx;
    if (bit(structured, 29))
        report->capabilities_known =
            read_msr(questions, MSR_ARCH_CAPABILITIES, &report->capabilities);
    // IBRS, STIBP or SSBD.
    if ((structured & (1u << 26 | 1u << 27 | 1u << 31)) != 0 ||
        (report->maker == CPU_OF_AMD && (amd & (1u << 14 | 1u << 15 | 1u << 24)) != 0))
        report->control_known = read_msr(questions, MSR_SPEC_CTRL, &report->control);
}

static void read_threads(struct cpu_report *report, const struct cpu_questions *questions)
{
    const struct cpu_cpuid level = ask_if_there(questions, 0xb, 0);
    const bool amd_told = report->maker == CPU_OF_AMD &&
                          bit(ask_if_there(questions, 0x80000001, 0).ecx, 22) &&
                          report->family >= 0x17;
    if ((level.ecx >> 8 & 0xff) == 1)
        report->threads = level.ebx & 0xffff;
    else if (amd_told)
        report->threads = (ask_if_there(questions, 0x8000001e, 0).ebx >> 8 & 0xff) + 1;
    else if (!bit(ask(questions, 1, 0).edx, 28))
        report->threads = 1; // one logical processor in all
}

static void read_turbo(struct cpu_report *report, const struct cpu_questions *questions)
{
    uint64_t value;
    if (report->hypervisor)
        return;
    if (report->maker == CPU_OF_INTEL && report->family == 6) {
        report->turbo = bit(ask_if_there(questions, 6, 0).eax, 1) ? CPU_TURBO_ON : CPU_TURBO_NONE;
        // CPUID does not tell a CPU that has none from one that must not.
        if (report->turbo == CPU_TURBO_NONE && read_msr(questions, MSR_MISC_ENABLE, &value) &&
            bit(value, MISC_TURBO_OFF))
            report->turbo = CPU_TURBO_OFF;
    } else if (report->maker == CPU_OF_AMD) {
        if (!bit(ask_if_there(questions, 0x80000007, 0).edx, 9))
            report->turbo = CPU_TURBO_NONE;
        else if (read_msr(questions, MSR_AMD_HWCR, &value))
            report->turbo = bit(value, HWCR_BOOST_OFF) ? CPU_TURBO_OFF : CPU_TURBO_ON;
    }
}

// Leaf 1Ah (Intel SDM vol. 2): of hybrid processors only.
static const char *core_of(const struct cpu_questions *questions)
{
    if (!bit(ask_if_there(questions, 7, 0).edx, 15))
        return NULL;
    switch (ask_if_there(questions, 0x1a, 0).eax >> 24) {
    case 0x20:
        return "efficient";
    case 0x40:
        return "performance";
    default:
        return "of a type not known here";
    }
}

void cpu_report_read(struct cpu_report *report, const struct cpu_questions *questions)
{
    const struct cpu_cpuid first = ask(questions, 1, 0);
    *report = (struct cpu_report){.maker = maker_of(questions), .hypervisor = bit(first.ecx, 31)};
    read_signature(report, first.eax);
    read_microcode(report, questions);
    read_mitigations(report, questions);
    read_threads(report, questions);
    read_turbo(report, questions);
    report->core = core_of(questions);
}

// ---- text ---------------------------------------------------------------------------------------

struct bit_name {
    uint8_t bit;
    const char *name;
};

// Intel SDM vol. 4, table 2-2, IA32_ARCH_CAPABILITIES: bits that say "does not suffer from".
static const struct bit_name immune[] = {
    {0, "meltdown"}, {4, "ssb"},   {5, "mds"},  {6, "itlb_multihit"}, {8, "taa"},  {13, "sbdr"},
    {14, "fbsdp"},   {15, "psdp"}, {20, "bhi"}, {24, "pbrsb"},        {26, "gds"}, {27, "rfds"},
};
static const struct bit_name controls[] = {{0, "ibrs"}, {1, "stibp"}, {2, "ssbd"}, {10, "bhi_dis"}};

static size_t put_names(char *text, size_t capacity, uint64_t word, const struct bit_name *names,
                        unsigned count)
{
    size_t length = format(text, capacity, "%s", "");
    for (unsigned i = 0; i < count; i++) {
        if (bit(word, names[i].bit))
            length += format(text + length, capacity - length, " %s", names[i].name);
    }
    return length > 0 ? length : format(text, capacity, " nothing");
}

size_t cpu_report_mitigations(const struct cpu_report *report, char *text, size_t capacity)
{
    size_t length = format(text, capacity, "not affected by");
    if (report->capabilities_known)
        length += put_names(text + length, capacity - length, report->capabilities, immune,
                            ARRAY_COUNT(immune));
    else
        length += format(text + length, capacity - length, " unknown");
    length += format(text + length, capacity - length, "; on:");
    if (report->control_known)
        length += put_names(text + length, capacity - length, report->control, controls,
                            ARRAY_COUNT(controls));
    else
        length += format(text + length, capacity - length, " unknown");
    return length;
}

const char *cpu_report_turbo(const struct cpu_report *report)
{
    static const char *const texts[] = {[CPU_TURBO_UNKNOWN] = "unknown",
                                        [CPU_TURBO_NONE] = "none",
                                        [CPU_TURBO_OFF] = "off",
                                        [CPU_TURBO_ON] = "on"};
    return texts[report->turbo];
}
