// SPDX-License-Identifier: MIT
// What disturbs samples: causes, tags, and what a run tells about them. A cause is a bit of
// RECORD_TAG_* and of the platform's `known`, by its number.
#ifndef DISTURBANCES_H
#define DISTURBANCES_H

#include "platform.h"
#include "record.h"
#include "report.h"

// "interrupt", "page fault", ...; cause < RECORD_TAG_CAUSES.
const char *disturbances_name(unsigned cause);

// Which causes overlapped what lies between two reads: RECORD_TAG_* added up. What the platform
// cannot count tags nothing.
int64_t disturbances_tags(const struct platform_events *before,
                          const struct platform_events *after);

// The facts which causes this target can count around a window, and which it cannot.
void disturbances_report_counted(struct report *report);

// The facts how many there were since `start`, inside windows and between them.
void disturbances_report_totals(struct report *report, const struct platform_events *start);

#endif
