// SPDX-License-Identifier: MIT
#include "machine_report.h"

#include "clocks.h"
#include "counters.h"
#include "cpu_frequency.h"
#include "cpu_report.h"
#include "format.h"
#include "gap_scan.h"
#include "kernel.h"
#include "machine_cpu.h"
#include "msr_access.h"
#include "platform.h"
#include "string.h"

#define TEXT_BYTES  160u
#define GAP_NS      1000u
#define GAPS_MS     1000u
#define MS_A_SECOND 1000u
#define READS_MOST  ((uint64_t)1 << 34) // of a counter that stands still: minutes
#define WAIT_MS     1000u

static struct cpu_report about; // of the boot CPU
static struct cpu_frequency frequencies[CPU_MOST];
static unsigned held; // CPUs
static struct gap_scan gaps;
static struct {
    bool known;
    uint64_t before, during; // SMIs
} smis;
static uint64_t interrupts; // while gaps were looked for

static struct cpu_cpuid ask(void *context, uint32_t leaf, uint32_t subleaf)
{
    (void)context;
    return cpu_cpuid(leaf, subleaf);
}

static const struct cpu_questions questions = {.cpuid = ask,
                                               .msr = {NULL, msr_access_read, msr_access_write}};

// ---- frequency ----------------------------------------------------------------------------------

static void hold_here(void *argument)
{
    struct cpu_report own;
    (void)argument;
    cpu_report_read(&own, &questions);
    (void)cpu_frequency_hold(&frequencies[cpu_index()], &own, &questions);
}

void machine_report_restore_here(void)
{
    cpu_frequency_restore(&frequencies[machine_cpu_identify()->local.index], &questions.msr);
}

static void restore_here(void *argument)
{
    (void)argument;
    machine_report_restore_here();
}

static void on_each_cpu(void (*function)(void *argument))
{
    function(NULL);
    for (unsigned cpu = 1; cpu < machine_cpu_count(); cpu++) {
        if (platform_cpu_start(cpu, function, NULL))
            platform_cpu_wait(cpu, WAIT_MS);
    }
}

// Others are not asked where there is nothing to be held.
static void hold(void)
{
    hold_here(NULL);
    if (frequencies[0].by == NULL)
        return;
    on_each_cpu(hold_here);
    for (unsigned cpu = 0; cpu < machine_cpu_count(); cpu++)
        held += frequencies[cpu].by != NULL;
}

void machine_report_restore(void)
{
    if (held > 0)
        on_each_cpu(restore_here);
    held = 0;
}

// ---- gaps ---------------------------------------------------------------------------------------

static void look_for_gaps(uint64_t ms)
{
    const uint64_t hz = clocks_tsc_hz(), most = hz / MS_A_SECOND * ms;
    if (ms == 0 || hz == 0)
        return;
    smis.known = counters_smis(&smis.before);
    interrupts = machine_cpu_here()->counts.all;
    gap_scan_init(&gaps, hz, GAP_NS);
    do {
        gap_scan_add(&gaps, cpu_ticks());
    } while (gap_scan_span(&gaps) < most && gaps.reads < READS_MOST);
    interrupts = machine_cpu_here()->counts.all - interrupts;
    uint64_t now = smis.before;
    smis.known = smis.known && counters_smis(&now);
    smis.during = now - smis.before;
}

bool machine_report_prepare(void)
{
    char word[16];
    uint64_t ms = kernel.clock == PLATFORM_CLOCK_TSC ? GAPS_MS : 0;
    if (string_option(kernel.boot.arguments, "gaps", word, sizeof(word)) &&
        !string_to_u64(word, (uint64_t)GAP_SCAN_MOST_S * MS_A_SECOND, &ms))
        return false;
    const bool told = string_option(kernel.boot.arguments, "hold", word, sizeof(word));
    if (told && !string_equal(word, "off") && !string_equal(word, "on"))
        return false;
    cpu_report_read(&about, &questions);
    if (told && string_equal(word, "off"))
        frequencies[0].why = "hold=off";
    else
        hold();
    look_for_gaps(ms);
    return true;
}

// ---- what is told -------------------------------------------------------------------------------

static void describe_cpu(void (*emit)(void *context, const char *key, const char *value),
                         void *context)
{
    char text[TEXT_BYTES];
    format(text, sizeof(text), "%u/%u/%u", about.family, about.model, about.stepping);
    emit(context, "cpu.family_model_stepping", text);
    format(text, sizeof(text), "%x", about.microcode);
    emit(context, "cpu.microcode", about.microcode_known ? text : "unknown");
    cpu_report_mitigations(&about, text, sizeof(text));
    emit(context, "cpu.mitigations", text);
    format(text, sizeof(text), "%u thread%s a core", about.threads, about.threads == 1 ? "" : "s");
    emit(context, "cpu.smt", about.threads > 0 ? text : "unknown");
    emit(context, "cpu.turbo", cpu_report_turbo(&about));
    // MWAIT, which deeper states are entered by, is nowhere in this kernel.
    emit(context, "cpu.idle",
         "HLT, of CPUs that wait; the one that measures only where a row's threads all wait");
    const unsigned number = kernel_measured_cpu();
    const size_t length =
        format(text, sizeof(text), "APIC id %u%s%s: ", machine_cpus[0].apic_id,
               about.core != NULL ? ", core " : "", about.core != NULL ? about.core : "");
    if (number == 0)
        format(text + length, sizeof(text) - length, "firmware has started this one");
    else
        format(text + length, sizeof(text) - length, "asked for by cpu=%u", number);
    emit(context, "cpu.measured", text);
}

static void describe_frequency(void (*emit)(void *context, const char *key, const char *value),
                               void *context)
{
    const struct cpu_frequency *own = &frequencies[0];
    char text[TEXT_BYTES];
    if (own->by != NULL)
        format(text, sizeof(text), "held by %s at %u, on %u of %u CPUs", own->by, own->state, held,
               machine_cpu_count());
    else
        format(text, sizeof(text), "not held: %s", own->why != NULL ? own->why : "not asked");
    emit(context, "cpu.frequency", text);
}

static void describe_gaps(void (*emit)(void *context, const char *key, const char *value),
                          void *context)
{
    char text[TEXT_BYTES];
    const bool looked = gaps.reads > 0;
    if (looked)
        gap_scan_text(&gaps, text, sizeof(text));
    emit(context, "gaps", looked ? text : "not looked for");
    format(text, sizeof(text), "%lu", looked ? gap_scan_ns(&gaps, gaps.largest) : 0);
    emit(context, "gaps.largest_ns", looked ? text : "unknown");
    format(text, sizeof(text), "%lu", gaps.backwards);
    emit(context, "gaps.backwards", looked ? text : "unknown");
    format(text, sizeof(text), "%lu", interrupts);
    emit(context, "gaps.interrupts", looked ? text : "unknown");
    format(text, sizeof(text), "%lu", smis.during);
    emit(context, "gaps.smis", smis.known ? text : "unknown");
    format(text, sizeof(text), "%lu", smis.before);
    emit(context, "smis.before_run", smis.known ? text : "unknown");
}

void machine_report_describe(void (*emit)(void *context, const char *key, const char *value),
                             void *context)
{
    describe_cpu(emit, context);
    describe_frequency(emit, context);
    describe_gaps(emit, context);
}
