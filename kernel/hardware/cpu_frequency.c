// SPDX-License-Identifier: MIT
#include "cpu_frequency.h"

#include "smi.h"

#define MSR_PLATFORM_INFO    0xceu  // bits 15:8: the ratio without turbo
#define MSR_PERF_CTL         0x199u // bits 15:8: ratio; bit 32: no turbo
#define PERF_CTL_RATIO       ((uint64_t)0xff00)
#define PERF_CTL_NO_TURBO    ((uint64_t)1 << 32)
#define MSR_MISC_ENABLE      0x1a0u
#define MISC_SPEEDSTEP       ((uint64_t)1 << 16)
#define MSR_PM_ENABLE        0x770u // bit 0: HWP is on, until the next reset
#define MSR_HWP_CAPABILITIES 0x771u // bits 15:8: guaranteed
#define MSR_HWP_REQUEST      0x774u // minimum, maximum, desired: 8 bits each
#define HWP_LEVELS           ((uint64_t)0xffffff)
#define MSR_AMD_HWCR         0xc0010015u
#define HWCR_BOOST_OFF       ((uint64_t)1 << 25)
#define MSR_AMD_LIMIT        0xc0010061u // bits 2:0: the highest P-state allowed now
#define MSR_AMD_CONTROL      0xc0010062u // bits 2:0: the one that is asked for
#define AMD_STATE            ((uint64_t)7)

static bool not_held(struct cpu_frequency *frequency, const char *why)
{
    frequency->why = why;
    return false;
}

// Changes a register whose old value is known, and remembers that.
static bool change(struct cpu_frequency *frequency, const struct msr_access *msr, uint32_t number,
                   uint64_t before, uint64_t after)
{
    if (before == after)
        return true;
    if (!msr->write(msr->context, number, after))
        return false;
    frequency->before[frequency->saved].msr = number;
    frequency->before[frequency->saved++].value = before;
    return true;
}

static bool hold_hwp(struct cpu_frequency *frequency, const struct msr_access *msr)
{
    uint64_t capabilities, request;
    if (!msr->read(msr->context, MSR_HWP_CAPABILITIES, &capabilities) ||
        !msr->read(msr->context, MSR_HWP_REQUEST, &request))
        return not_held(frequency, "the registers of HWP cannot be read");
    const uint64_t level = capabilities >> 8 & 0xff;
    if (level == 0)
        return not_held(frequency, "HWP guarantees no performance");
    if (!change(frequency, msr, MSR_HWP_REQUEST, request,
                (request & ~HWP_LEVELS) | level << 8 | level))
        return not_held(frequency, "HWP takes no request");
    frequency->state = (unsigned)level;
    frequency->by = "HWP";
    return true;
}

static bool hold_ratio(struct cpu_frequency *frequency, const struct msr_access *msr, bool turbo)
{
    uint64_t misc, platform, control;
    if (!msr->read(msr->context, MSR_MISC_ENABLE, &misc) || (misc & MISC_SPEEDSTEP) == 0)
        return not_held(frequency, "firmware has turned SpeedStep off");
    if (!msr->read(msr->context, MSR_PLATFORM_INFO, &platform) ||
        !msr->read(msr->context, MSR_PERF_CTL, &control))
        return not_held(frequency, "the registers of SpeedStep cannot be read");
    const uint64_t ratio = platform >> 8 & 0xff;
    if (ratio == 0)
        return not_held(frequency, "the ratio without turbo is not told");
    if (!change(frequency, msr, MSR_PERF_CTL, control,
                (control & ~PERF_CTL_RATIO) | ratio << 8 | (turbo ? PERF_CTL_NO_TURBO : 0)))
        return not_held(frequency, "SpeedStep takes no ratio");
    frequency->state = (unsigned)ratio;
    frequency->by = "PERF_CTL";
    return true;
}

static bool hold_intel(struct cpu_frequency *frequency, const struct cpu_report *report,
                       const struct cpu_questions *questions)
{
    const struct msr_access *msr = &questions->msr;
    const bool has_power = questions->cpuid(questions->context, 0, 0).eax >= 6;
    const uint32_t power = has_power ? questions->cpuid(questions->context, 6, 0).eax : 0;
    const bool speedstep = (questions->cpuid(questions->context, 1, 0).ecx >> 7 & 1) != 0;
    uint64_t enabled = 0;
    if ((power >> 7 & 1) != 0 && msr->read(msr->context, MSR_PM_ENABLE, &enabled) &&
        (enabled & 1) != 0)
        return hold_hwp(frequency, msr);
    // PLATFORM_INFO came with the SMI counter.
    if (!speedstep || !smi_is_counted("GenuineIntel", report->signature, report->hypervisor))
        return not_held(frequency, "this CPU has no registers for it that are known here");
    return hold_ratio(frequency, msr, (power >> 1 & 1) != 0);
}

static bool hold_amd(struct cpu_frequency *frequency, const struct cpu_questions *questions)
{
    const struct msr_access *msr = &questions->msr;
    const bool told = questions->cpuid(questions->context, 0x80000000, 0).eax >= 0x80000007;
    const uint32_t power = told ? questions->cpuid(questions->context, 0x80000007, 0).edx : 0;
    uint64_t limit, control, configuration = 0;
    const bool boost = (power >> 9 & 1) != 0;
    if ((power >> 7 & 1) == 0)
        return not_held(frequency, "this CPU has no P-states of its own");
    if (!msr->read(msr->context, MSR_AMD_LIMIT, &limit) ||
        !msr->read(msr->context, MSR_AMD_CONTROL, &control) ||
        (boost && !msr->read(msr->context, MSR_AMD_HWCR, &configuration)))
        return not_held(frequency, "the registers of P-states cannot be read");
    const uint64_t state = limit & AMD_STATE;
    if (!change(frequency, msr, MSR_AMD_CONTROL, control, (control & ~AMD_STATE) | state) ||
        (boost &&
         !change(frequency, msr, MSR_AMD_HWCR, configuration, configuration | HWCR_BOOST_OFF))) {
        cpu_frequency_restore(frequency, msr);
        return not_held(frequency, "P-states take no change");
    }
    frequency->state = (unsigned)state;
    frequency->by = "P-states";
    return true;
}

bool cpu_frequency_hold(struct cpu_frequency *frequency, const struct cpu_report *report,
                        const struct cpu_questions *questions)
{
    // What was set before must not be taken for what this set.
    if (frequency->by != NULL)
        return true;
    *frequency = (struct cpu_frequency){.by = NULL};
    if (report->hypervisor)
        return not_held(frequency, "a hypervisor runs below");
    if (report->maker == CPU_OF_INTEL)
        return hold_intel(frequency, report, questions);
    if (report->maker == CPU_OF_AMD)
        return hold_amd(frequency, questions);
    return not_held(frequency, "this maker's registers are not known here");
}

void cpu_frequency_restore(struct cpu_frequency *frequency, const struct msr_access *msr)
{
    while (frequency->saved > 0) {
        frequency->saved--;
        (void)msr->write(msr->context, frequency->before[frequency->saved].msr,
                         frequency->before[frequency->saved].value);
    }
    frequency->by = NULL;
}
