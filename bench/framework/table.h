// SPDX-License-Identifier: MIT
// The target's own result table, in integers.
#ifndef TABLE_H
#define TABLE_H

#include <stddef.h>
#include <stdint.h>

#include "record.h"

// Order statistics of one row; window totals, to be divided by `operations`. Clean are the
// samples without a tag; clean_p50 is 0 where there is none.
struct table_line {
    uint64_t n;
    uint64_t operations;
    int64_t min, p50, p90, p99, max, mean, cold;
    uint64_t clean_n;
    int64_t clean_p50;
    uint32_t tagged[RECORD_TAG_CAUSES]; // samples by cause; one may have several
};

// Sorts the samples (count > 0) in place; tags[i] (RECORD_TAG_* or 0) is that of samples[i] before.
// Percentiles are nearest rank.
void table_summarise(int64_t *samples, const uint8_t *tags, size_t count, int64_t cold,
                     uint64_t operations, struct table_line *line);

// One operation's share with one decimal when the window holds several operations, whole otherwise;
// "below resolution" where nothing is left after the overhead.
size_t table_value(int64_t window, uint64_t operations, char *text, size_t capacity);

// Lines with their end: `p50 all` is of all samples, `p50 clean` of those without a tag; what is
// tagged is told at the end, by cause. Return the length.
size_t table_header(const char *unit, char *text, size_t capacity);
size_t table_format(const struct table_line *line, const char *id, const char *unit, char *text,
                    size_t capacity);

#endif
