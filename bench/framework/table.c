// SPDX-License-Identifier: MIT
#include "table.h"

#include "compiler.h"
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

void table_summarise(int64_t *samples, size_t count, int64_t cold, uint64_t operations,
                     struct table_line *line)
{
    sort_i64(samples, count);
    *line = (struct table_line){.n = count,
                                .operations = operations,
                                .min = samples[0],
                                .p50 = percentile(samples, count, 500),
                                .p90 = percentile(samples, count, 900),
                                .p99 = percentile(samples, count, 990),
                                .max = samples[count - 1],
                                .mean = mean(samples, count),
                                .cold = cold};
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
    return format(text, capacity, "%-34s %6s %9s %9s %9s %9s %10s %9s %10s  %s each\n", "row", "n",
                  "min", "p50", "p90", "p99", "max", "mean", "cold", unit);
}

size_t table_format(const struct table_line *line, const char *id, const char *unit, char *text,
                    size_t capacity)
{
    char values[7][24];
    const int64_t windows[7] = {line->min, line->p50,  line->p90, line->p99,
                                line->max, line->mean, line->cold};
    for (unsigned i = 0; i < 7; i++) {
        if (windows[i] > 0)
            table_value(windows[i], line->operations, values[i], sizeof(values[i]));
        else
            format(values[i], sizeof(values[i]), "<res");
    }
    return format(text, capacity, "%-34s %6lu %9s %9s %9s %9s %10s %9s %10s  %s\n", id, line->n,
                  values[0], values[1], values[2], values[3], values[4], values[5], values[6],
                  unit);
}
