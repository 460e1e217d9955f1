// SPDX-License-Identifier: MIT
#include "table.h"

#include "compiler.h"
#include "disturbances.h"
#include "format.h"
#include "sort.h"

// Nearest rank: the smallest value that at least `per_mille` of the samples do not exceed.
static int64_t percentile(const int64_t *sorted, size_t count, unsigned per_mille)
{
    const size_t rank = (count * per_mille + 999) / 1000;
    return sorted[rank > 0 ? rank - 1 : 0];
}

static int64_t mean(const int64_t *samples, size_t count)
{
    __int128 sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += samples[i];
    // No 128-bit division in a freestanding program: samples are far below 2^63 / count.
    return (int64_t)sum / (int64_t)count;
}

// Moves the samples without a tag to the front and returns how many there are.
static size_t clean_first(int64_t *samples, const uint8_t *tags, size_t count)
{
    size_t clean = 0;
    for (size_t i = 0; i < count; i++) {
        if (tags[i] != 0)
            continue;
        const int64_t sample = samples[i];
        samples[i] = samples[clean];
        samples[clean++] = sample;
    }
    return clean;
}

void table_summarise(int64_t *samples, const uint8_t *tags, size_t count, int64_t cold,
                     uint64_t operations, struct table_line *line)
{
    *line = (struct table_line){.n = count, .operations = operations, .cold = cold};
    for (size_t i = 0; i < count; i++)
        for (unsigned cause = 0; cause < RECORD_TAG_CAUSES; cause++)
            line->tagged[cause] += tags[i] >> cause & 1;
    line->clean_n = clean_first(samples, tags, count);
    sort_i64(samples, line->clean_n);
    line->clean_p50 = line->clean_n > 0 ? percentile(samples, line->clean_n, 500) : 0;
    sort_i64(samples, count);
    line->min = samples[0];
    line->p50 = percentile(samples, count, 500);
    line->p90 = percentile(samples, count, 900);
    line->p99 = percentile(samples, count, 990);
    line->max = samples[count - 1];
    line->mean = mean(samples, count);
}

size_t table_value(int64_t window, uint64_t operations, char *text, size_t capacity)
{
    if (window <= 0)
        return format(text, capacity, "below resolution");
    if (operations == 1)
        return format(text, capacity, "%lu", (uint64_t)window);
    const uint64_t tenths = ((uint64_t)window * 10 + operations / 2) / operations;
    return format(text, capacity, "%lu.%lu", tenths / 10, tenths % 10);
}

size_t table_header(const char *unit, char *text, size_t capacity)
{
    return format(text, capacity, "%-34s %6s %9s %9s %9s %9s %9s %10s %9s %10s  %s each\n", "row",
                  "n", "min", "p50 all", "p50 clean", "p90", "p99", "max", "mean", "cold", unit);
}

// ", tagged 3: interrupt 2, page fault 1", or nothing.
static void tagged_text(const struct table_line *line, char *text, size_t capacity)
{
    size_t length = 0;
    text[0] = '\0';
    if (line->clean_n == line->n)
        return;
    length += format(text, capacity, ", tagged %lu:", line->n - line->clean_n);
    const char *comma = " ";
    for (unsigned cause = 0; cause < RECORD_TAG_CAUSES; cause++) {
        if (line->tagged[cause] == 0)
            continue;
        length += format(text + length, capacity - length, "%s%s %u", comma,
                         disturbances_name(cause), line->tagged[cause]);
        comma = ", ";
    }
}

// One sample in `share` lies beyond a percentile: it takes ten of those to tell it, unless all are
// the same.
static bool tail_is_told(const struct table_line *line, uint64_t share)
{
    return line->n >= 10 * share || line->min == line->max;
}

size_t table_format(const struct table_line *line, const char *id, const char *unit, char *text,
                    size_t capacity)
{
    char values[8][24], tagged[160];
    const int64_t windows[8] = {line->min, line->p50, line->clean_p50, line->p90,
                                line->p99, line->max, line->mean,      line->cold};
    for (unsigned i = 0; i < 8; i++) {
        if (windows[i] > 0)
            table_value(windows[i], line->operations, values[i], sizeof(values[i]));
        else
            format(values[i], sizeof(values[i]), "<res");
    }
    if (line->clean_n == 0)
        format(values[2], sizeof(values[2]), "none");
    if (!tail_is_told(line, 10))
        format(values[3], sizeof(values[3]), "-");
    if (!tail_is_told(line, 100))
        format(values[4], sizeof(values[4]), "-");
    tagged_text(line, tagged, sizeof(tagged));
    return format(text, capacity, "%-34s %6lu %9s %9s %9s %9s %9s %10s %9s %10s  %s%s\n", id,
                  line->n, values[0], values[1], values[2], values[3], values[4], values[5],
                  values[6], values[7], unit, tagged);
}
