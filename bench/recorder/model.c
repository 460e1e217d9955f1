// SPDX-License-Identifier: MIT
#include "model.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

const char *const outcome_names[OUTCOMES] = {
    [OUTCOME_COMPLETE] = "complete",         [OUTCOME_PANIC] = "guest panic",
    [OUTCOME_TRIPLE_FAULT] = "triple fault", [OUTCOME_HANG] = "hang",
    [OUTCOME_DIED] = "target died",          [OUTCOME_NO_START] = "target could not start",
    [OUTCOME_DAMAGED] = "stream damaged",    [OUTCOME_REJECTED] = "rows rejected",
};

const char *const row_status_names[ROW_STATUSES] = {
    [ROW_OK] = "ok",
    [ROW_MISSING] = "missing",
    [ROW_CHECKSUM] = "checksum wrong",
    [ROW_DELETED] = "work deleted",
    [ROW_UNSTEADY] = "not deterministic",
    [ROW_FAILED] = "failed",
};

const char *const row_role_names[VARIANT_PEER + 1] = {
    [VARIANT_BASELINE] = "baseline",
    [VARIANT_PRODUCT] = "product",
    [VARIANT_FLOOR] = "floor",
    [VARIANT_PEER] = "peer",
};

// ---- facts -------------------------------------------------------------------------------------

bool facts_set(struct facts *facts, const char *key, const char *value)
{
    if (strlen(value) > FACT_MOST)
        return false;
    for (size_t i = 0; i < facts->count; i++) {
        if (strcmp(facts->fact[i].key, key) == 0) {
            free(facts->fact[i].value);
            facts->fact[i].value = memory_text(value);
            return true;
        }
    }
    if (facts->count == MODEL_FACTS_MOST)
        return false;
    facts->fact = memory_resize(facts->fact, (facts->count + 1) * sizeof(*facts->fact));
    facts->fact[facts->count++] = (struct fact){memory_text(key), memory_text(value)};
    return true;
}

const char *facts_get(const struct facts *facts, const char *key)
{
    for (size_t i = 0; i < facts->count; i++) {
        if (strcmp(facts->fact[i].key, key) == 0)
            return facts->fact[i].value;
    }
    return NULL;
}

void facts_free(struct facts *facts)
{
    for (size_t i = 0; i < facts->count; i++) {
        free(facts->fact[i].key);
        free(facts->fact[i].value);
    }
    free(facts->fact);
    *facts = (struct facts){0};
}

// ---- rows --------------------------------------------------------------------------------------

void row_free(struct row *row)
{
    for (size_t i = 0; i < row->series_count; i++)
        free(row->series[i].tokens);
    free(row->series);
    free(row->counters);
    *row = (struct row){0};
}

void rows_free(struct row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++)
        row_free(&rows[i]);
    free(rows);
}

void run_free(struct run *run)
{
    facts_free(&run->facts);
    rows_free(run->rows, run->row_count);
    buffer_free(&run->trace);
    *run = (struct run){0};
}

void run_machine(const struct run *run, char *out)
{
    text_format(out, 2 * (RECORD_NAME_MOST + 1), "%s-%s", run->target, run->machine);
}

bool series_decode(const struct series *series, int64_t *values, int64_t *tags)
{
    struct record_reader reader;
    record_reader_init(&reader, series->tokens, series->token_bytes);
    record_get_samples(&reader, values, series->count);
    record_get_samples(&reader, tags, series->count);
    return !reader.failed;
}

// ---- boots together ----------------------------------------------------------------------------

static bool same_plan(const struct row *a, const struct row *b, char *why, size_t capacity)
{
    const char *what = strcmp(a->id, b->id) != 0 || a->aa != b->aa ? "id"
                       : a->definition != b->definition            ? "definition"
                       : a->operations != b->operations            ? "operations of a window"
                       : strcmp(a->unit, b->unit) != 0             ? "unit"
                       : a->role != b->role                        ? "role"
                                                                   : NULL;
    if (what != NULL)
        text_format(why, capacity, "boots planned different rows: %s, %s differs", a->id, what);
    return what == NULL;
}

static void move_series(struct row *to, struct row *from)
{
    const size_t count = to->series_count + from->series_count;
    to->series = memory_resize(to->series, count * sizeof(*to->series));
    if (from->series_count > 0)
        memcpy(to->series + to->series_count, from->series,
               from->series_count * sizeof(*to->series));
    to->series_count = count;
    free(from->series);
    from->series = NULL;
    from->series_count = 0;
}

static struct counter *find_counter(const struct row *row, const char *name)
{
    for (size_t i = 0; i < row->counter_count; i++) {
        if (strcmp(row->counters[i].name, name) == 0)
            return &row->counters[i];
    }
    return NULL;
}

static bool counters_equal(const struct counter *a, const struct counter *b)
{
    return a->numerator == b->numerator && a->denominator == b->denominator &&
           strcmp(a->unit, b->unit) == 0;
}

size_t counter_curve(const char *name)
{
    char curve[RECORD_NAME_MOST + 1] = {0};
    const size_t length = strcspn(name, "@");
    const char *const x = name + length + 1;
    uint64_t at = 0;
    if (length > RECORD_NAME_MOST)
        return 0;
    memcpy(curve, name, length);
    if (!text_is_name(curve))
        return 0;
    // A point has one name: no zeros in front.
    if (name[length] == '@' && (!text_number(x, INT64_MAX, &at) || (x[0] == '0' && x[1] != '\0')))
        return 0;
    return length;
}

bool counter_is_measured(const char *unit)
{
    return strcmp(unit, "cycles") == 0 || strcmp(unit, "instructions") == 0 ||
           strcmp(unit, "observed") == 0;
}

// The first reason stays: it is what the person looks for.
__attribute__((format(printf, 2, 3))) static void make_unsteady(struct row *row, const char *format,
                                                                ...)
{
    va_list arguments;
    if (row->status == ROW_UNSTEADY && row->detail[0] != '\0')
        return;
    row->status = ROW_UNSTEADY;
    va_start(arguments, format);
    vsnprintf(row->detail, sizeof(row->detail), format, arguments);
    va_end(arguments);
}

#define VALUE_TEXT_MOST (2u * 20u + MODEL_UNIT_MOST + 8u)

static const char *value_text(const struct counter *counter, bool with_unit,
                              char out[VALUE_TEXT_MOST])
{
    const size_t length = text_format(out, VALUE_TEXT_MOST, "%" PRIu64, counter->numerator);
    if (counter->denominator != 1)
        text_format(out + length, VALUE_TEXT_MOST - length, "/%" PRIu64, counter->denominator);
    if (with_unit)
        text_format(out + strlen(out), VALUE_TEXT_MOST - strlen(out), " %s", counter->unit);
    return out;
}

static void name_difference(struct row *row, const struct counter *a, const struct counter *b)
{
    const bool units = strcmp(a->unit, b->unit) != 0;
    char one[VALUE_TEXT_MOST], other[VALUE_TEXT_MOST];
    make_unsteady(row, "%s is %s in boot %u, %s in boot %u", a->name, value_text(a, units, one),
                  a->boot + 1, value_text(b, units, other), b->boot + 1);
}

// Counters are exact on every clock: one that differs makes the row not deterministic. What the
// processor counted is not: its boots add up. A boot that did not finish the row may lack some.
static void merge_counters(struct row *to, const struct row *from)
{
    for (size_t i = 0; i < from->counter_count; i++) {
        struct counter *known = find_counter(to, from->counters[i].name);
        if (known != NULL && counter_is_measured(known->unit) &&
            strcmp(known->unit, from->counters[i].unit) == 0) {
            known->numerator += from->counters[i].numerator;
            known->denominator += from->counters[i].denominator;
        } else if (known != NULL && !counters_equal(known, &from->counters[i])) {
            name_difference(to, known, &from->counters[i]);
        }
        if (known == NULL && to->counter_count < MODEL_COUNTERS_MOST) {
            to->counters =
                memory_resize(to->counters, (to->counter_count + 1) * sizeof(*to->counters));
            to->counters[to->counter_count++] = from->counters[i];
        }
    }
}

static uint64_t samples_of(const struct row *rows, size_t count)
{
    uint64_t total = 0;
    for (size_t i = 0; i < count; i++) {
        for (size_t k = 0; k < rows[i].series_count; k++)
            total += rows[i].series[k].count;
    }
    return total;
}

bool run_add_rows(struct run *run, struct row *rows, size_t count, char *why, size_t capacity)
{
    const uint64_t samples = samples_of(rows, count);
    if (run->samples + samples > MODEL_SAMPLES_MOST) {
        text_format(why, capacity, "more than %lu samples in one run",
                    (unsigned long)MODEL_SAMPLES_MOST);
        return false;
    }
    if (run->row_count == 0) {
        run->rows = memory_resize(run->rows, count * sizeof(*rows));
        if (count > 0) {
            memcpy(run->rows, rows, count * sizeof(*rows));
            memset(rows, 0, count * sizeof(*rows));
        }
        run->row_count = count;
        run->samples = samples;
        return true;
    }
    if (count != run->row_count) {
        text_format(why, capacity, "boots planned different rows: %zu and %zu", run->row_count,
                    count);
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        if (!same_plan(&run->rows[i], &rows[i], why, capacity))
            return false;
    }
    for (size_t i = 0; i < count; i++) {
        struct row *row = &run->rows[i];
        if (row->status == ROW_OK) {
            row->status = rows[i].status;
            memcpy(row->detail, rows[i].detail, sizeof(row->detail));
        }
        merge_counters(row, &rows[i]);
        move_series(row, &rows[i]);
    }
    run->samples += samples;
    return true;
}

// ---- equality ----------------------------------------------------------------------------------

// What must be equal on an exact clock: windows that nothing overlapped. An interrupt takes its
// time wherever it comes; a tagged sample says so and is compared with none.
struct windows {
    int64_t values[RECORD_SAMPLES_MOST], tags[RECORD_SAMPLES_MOST]; // of one series
    int64_t expected[RECORD_SAMPLES_MOST];                          // where `seen`
    size_t from[RECORD_SAMPLES_MOST];                               // the series that said so
    bool seen[RECORD_SAMPLES_MOST];
};

static bool windows_differ(struct row *row, struct windows *windows, bool *disturbed)
{
    const struct series *first = row->series;
    memset(windows->seen, 0, sizeof(windows->seen));
    for (size_t i = 0; i < row->series_count; i++) {
        const struct series *one = &row->series[i];
        if (one->count != first->count || one->operations != first->operations) {
            make_unsteady(row, "%u windows of %" PRIu64 " in boot %u, %u of %" PRIu64 " in boot %u",
                          first->count, first->operations, first->boot + 1, one->count,
                          one->operations, one->boot + 1);
            return true;
        }
        series_decode(one, windows->values, windows->tags);
        for (size_t k = 0; k < one->count; k++) {
            if (windows->tags[k] != 0) {
                *disturbed = true;
                continue;
            }
            if (windows->seen[k] && windows->expected[k] != windows->values[k]) {
                const struct series *other = &row->series[windows->from[k]];
                make_unsteady(row,
                              "window %zu takes %" PRId64 " in round %u of boot %u, %" PRId64
                              " in round %u of boot %u",
                              k + 1, windows->expected[k], other->round + 1, other->boot + 1,
                              windows->values[k], one->round + 1, one->boot + 1);
                return true;
            }
            windows->from[k] = i;
            windows->expected[k] = windows->values[k];
            windows->seen[k] = true;
        }
    }
    return false;
}

// The cold sample, which has no tag, counts where nothing disturbed the row at all. It meets those
// of its own round.
static void check_windows(struct row *row, struct windows *windows)
{
    bool disturbed = false;
    if (row->series_count > 0 && windows_differ(row, windows, &disturbed))
        return;
    for (size_t i = 1; i < row->series_count; i++) {
        for (size_t k = 0; k < i; k++) {
            const struct series *a = &row->series[k], *b = &row->series[i];
            const bool cold = a->overhead == b->overhead;
            if (a->round == b->round && (!cold || (!disturbed && a->cold != b->cold)))
                make_unsteady(row,
                              "%s of round %u is %" PRId64 " in boot %u, %" PRId64 " in boot %u",
                              cold ? "the first window" : "the overhead", a->round + 1,
                              cold ? a->cold : a->overhead, a->boot + 1,
                              cold ? b->cold : b->overhead, b->boot + 1);
        }
    }
}

static void check_twin_counters(struct run *run, struct row *twin)
{
    for (size_t i = 0; i < run->row_count; i++) {
        struct row *row = &run->rows[i];
        if (row->aa != 0 || strcmp(row->id, twin->id) != 0)
            continue;
        for (size_t k = 0; k < twin->counter_count; k++) {
            const struct counter *other = find_counter(row, twin->counters[k].name);
            char mine[VALUE_TEXT_MOST], theirs[VALUE_TEXT_MOST];
            if (other != NULL && !counter_is_measured(other->unit) &&
                !counters_equal(other, &twin->counters[k]))
                make_unsteady(twin, "%s is %s, %s in the row that it repeats", other->name,
                              value_text(&twin->counters[k], true, mine),
                              value_text(other, true, theirs));
        }
    }
}

size_t run_check_equality(struct run *run, char *why, size_t capacity)
{
    size_t unsteady = 0;
    struct windows *windows = memory_get(sizeof(*windows));
    for (size_t i = 0; i < run->row_count; i++) {
        struct row *row = &run->rows[i];
        if (strcmp(run->clock, "insn") == 0)
            check_windows(row, windows);
        if (row->aa != 0)
            check_twin_counters(run, row);
        if (row->status != ROW_UNSTEADY)
            continue;
        if (unsteady++ == 0)
            text_format(why, capacity, "%s", row->id);
    }
    free(windows);
    return unsteady;
}
