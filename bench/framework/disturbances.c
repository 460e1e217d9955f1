// SPDX-License-Identifier: MIT
#include "disturbances.h"

#include "assert.h"
#include "compiler.h"
#include "format.h"

#define NAMES_MOST 128u // characters of all causes in a row

_Static_assert(RECORD_TAG_INTERRUPT == PLATFORM_KNOWS_INTERRUPTS &&
                   RECORD_TAG_PAGE_FAULT == PLATFORM_KNOWS_PAGE_FAULTS &&
                   RECORD_TAG_MIGRATION == PLATFORM_KNOWS_MIGRATIONS &&
                   RECORD_TAG_PREEMPTION == PLATFORM_KNOWS_PREEMPTIONS &&
                   RECORD_TAG_NMI == PLATFORM_KNOWS_NMIS && RECORD_TAG_SMI == PLATFORM_KNOWS_SMIS &&
                   RECORD_TAG_STEAL == PLATFORM_KNOWS_STEAL,
               "a cause has one bit");
_Static_assert(RECORD_TAGS == 1u << RECORD_TAG_CAUSES, "a bit for each cause");

// By bit.
static const struct {
    const char *name, *total;
    size_t count; // where it stands in struct platform_events
} causes[RECORD_TAG_CAUSES] = {
    {"interrupt", "events.interrupts_total", offsetof(struct platform_events, interrupts)},
    {"page fault", "events.page_faults_total", offsetof(struct platform_events, page_faults)},
    {"migration", "events.migrations_total", offsetof(struct platform_events, migrations)},
    {"preemption", "events.preemptions_total", offsetof(struct platform_events, preemptions)},
    {"NMI", "events.nmis_total", offsetof(struct platform_events, nmis)},
    {"SMI", "events.smis_total", offsetof(struct platform_events, smis)},
    {"steal", "events.steal_ns_total", offsetof(struct platform_events, steal_ns)},
};

static uint64_t count_of(const struct platform_events *events, unsigned cause)
{
    return *(const uint64_t *)(const void *)((const char *)events + causes[cause].count);
}

const char *disturbances_name(unsigned cause)
{
    assert(cause < RECORD_TAG_CAUSES);
    return causes[cause].name;
}

int64_t disturbances_tags(const struct platform_events *before, const struct platform_events *after)
{
    uint32_t tags = 0;
    for (unsigned cause = 0; cause < RECORD_TAG_CAUSES; cause++)
        tags |= (uint32_t)(count_of(after, cause) != count_of(before, cause)) << cause;
    return tags & before->known & after->known;
}

static void report_names(struct report *report, const char *key, uint32_t which)
{
    char text[NAMES_MOST];
    size_t length = format(text, sizeof(text), "%s", which == 0 ? "nothing" : "");
    for (unsigned cause = 0; cause < RECORD_TAG_CAUSES; cause++)
        if (which >> cause & 1)
            length += format(text + length, sizeof(text) - length, "%s%s", length > 0 ? ", " : "",
                             causes[cause].name);
    report_fact(report, key, text);
}

void disturbances_report_counted(struct report *report)
{
    struct platform_events events;
    platform_events(&events);
    report_names(report, "events.counted", events.known & (RECORD_TAGS - 1));
    report_names(report, "events.not_counted", ~events.known & (RECORD_TAGS - 1));
}

void disturbances_report_totals(struct report *report, const struct platform_events *start)
{
    struct platform_events now;
    platform_events_of_run(&now);
    for (unsigned cause = 0; cause < RECORD_TAG_CAUSES; cause++) {
        char text[24] = "not counted here";
        if ((start->known & now.known) >> cause & 1)
            format(text, sizeof(text), "%lu", count_of(&now, cause) - count_of(start, cause));
        report_fact(report, causes[cause].total, text);
    }
}
