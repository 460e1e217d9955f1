// SPDX-License-Identifier: MIT
#include "core_ratio.h"

#include "platform.h"

#define HALF 32u

// a.core / a.reference < b.core / b.reference: by cross products of what fits into half a word.
static bool is_less(struct core_cycles a, struct core_cycles b)
{
    while ((a.core | a.reference) >> HALF != 0) {
        a.core >>= 1;
        a.reference >>= 1;
    }
    while ((b.core | b.reference) >> HALF != 0) {
        b.core >>= 1;
        b.reference >>= 1;
    }
    return a.core * b.reference < b.core * a.reference;
}

void core_ratio_begin(struct core_ratio *ratio)
{
    if (!ratio->failed)
        ratio->failed = !platform_core_clock(&ratio->start.core, &ratio->start.reference);
}

void core_ratio_end(struct core_ratio *ratio)
{
    struct core_cycles now;
    if (ratio->failed || !platform_core_clock(&now.core, &now.reference)) {
        ratio->failed = true;
        return;
    }
    const struct core_cycles round = {now.core - ratio->start.core,
                                      now.reference - ratio->start.reference};
    if (round.reference == 0)
        return;
    if (ratio->rounds == 0 || is_less(round, ratio->least))
        ratio->least = round;
    if (ratio->rounds == 0 || is_less(ratio->most, round))
        ratio->most = round;
    ratio->all.core += round.core;
    ratio->all.reference += round.reference;
    ratio->rounds++;
}

void core_ratio_report(const struct core_ratio *ratio, struct report *report, const struct row *row)
{
    if (ratio->failed || ratio->rounds == 0)
        return;
    report_counter(report, row, "core_per_reference", ratio->all.core, ratio->all.reference,
                   "observed");
    report_counter(report, row, "core_per_reference_least", ratio->least.core,
                   ratio->least.reference, "observed");
    report_counter(report, row, "core_per_reference_most", ratio->most.core, ratio->most.reference,
                   "observed");
}
