// SPDX-License-Identifier: MIT
#include "results.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

// Values a sample may have: far above any real one, far from wrapping when two are added.
#define VALUE_MOST (INT64_C(1) << 61)

enum results_row {
    ROW_PLANNED,
    ROW_BEGUN,
    ROW_FINISHED,
};

void results_init(struct results *results, uint32_t boot)
{
    *results = (struct results){.boot = boot};
}

void results_free(struct results *results)
{
    rows_free(results->rows, results->plan_rows);
    free(results->row_state);
    facts_free(&results->facts);
    *results = (struct results){0};
}

static bool wrong(struct results *results, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static bool wrong(struct results *results, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(results->error, sizeof(results->error), format, arguments);
    va_end(arguments);
    return false;
}

static bool in_range(int64_t value)
{
    return value >= -VALUE_MOST && value <= VALUE_MOST;
}

static bool take_fact(struct results *results, struct record_reader *reader)
{
    char key[RECORD_NAME_MOST + 1], value[RECORD_TEXT_MOST + 1];
    record_get_text(reader, key, RECORD_NAME_MOST, true);
    record_get_text(reader, value, RECORD_TEXT_MOST, false);
    if (reader->failed || key[0] == '\0')
        return wrong(results, "a FACT that cannot be read");
    if (results->facts.count >= RESULTS_FACTS_MOST && facts_get(&results->facts, key) == NULL)
        return wrong(results, "more than %u facts", RESULTS_FACTS_MOST);
    facts_set(&results->facts, key, value);
    return true;
}

static bool take_plan(struct results *results, struct record_reader *reader)
{
    const uint64_t rows = record_get_u64(reader), cases = record_get_u64(reader);
    record_get_u64(reader); // bytes at most: for the transfer's estimate, nothing to check against
    const uint64_t boot = record_get_u64(reader);
    if (reader->failed)
        return wrong(results, "a PLAN that cannot be read");
    if (results->planned)
        return wrong(results, "a second PLAN");
    if (rows > RECORD_ROWS_MOST || cases > rows)
        return wrong(results, "a PLAN of %" PRIu64 " rows in %" PRIu64 " cases", rows, cases);
    if (boot != results->boot)
        return wrong(results, "a PLAN of boot %" PRIu64, boot);
    results->planned = true;
    results->plan_rows = (uint32_t)rows;
    results->plan_cases = (uint32_t)cases;
    results->rows = memory_get(rows * sizeof(*results->rows));
    results->row_state = memory_get(rows);
    return true;
}

// suite/case/variant
static bool is_row_id(const char *id)
{
    unsigned slashes = 0;
    for (const char *at = id; *at != '\0'; at++) {
        if (*at != '/')
            continue;
        slashes++;
        if (at == id || at[1] == '/' || at[1] == '\0')
            return false;
    }
    return slashes == 2;
}

static bool is_unit(const char *unit)
{
    return unit[0] != '\0' && strspn(unit, "abcdefghijklmnopqrstuvwxyz /%") == strlen(unit);
}

static bool row_exists(const struct results *results, const struct row *row)
{
    for (uint32_t i = 0; i < results->described; i++) {
        if (results->rows[i].aa == row->aa && strcmp(results->rows[i].id, row->id) == 0)
            return true;
    }
    return false;
}

static bool take_plan_row(struct results *results, struct record_reader *reader)
{
    struct row row = {.status = ROW_MISSING};
    const uint64_t index = record_get_u64(reader);
    record_get_text(reader, row.id, RECORD_NAME_MOST, true);
    const uint64_t aa = record_get_u64(reader), role = record_get_u64(reader);
    record_get_text(reader, row.what, RECORD_TEXT_MOST, false);
    record_get_text(reader, row.unit, MODEL_UNIT_MOST, false);
    row.definition = record_get_u64(reader);
    row.operations = record_get_u64(reader);
    const uint64_t rounds = record_get_u64(reader), samples = record_get_u64(reader);
    if (reader->failed)
        return wrong(results, "a PLAN_ROW that cannot be read");
    if (index != results->described || index >= results->plan_rows)
        return wrong(results, "a PLAN_ROW with index %" PRIu64 " out of turn", index);
    if (!is_row_id(row.id))
        return wrong(results, "row %" PRIu64 ": '%s' is no suite/case/variant", index, row.id);
    if (aa > 1 || role > VARIANT_PEER || !is_unit(row.unit))
        return wrong(results, "%s: aa, role or unit out of range", row.id);
    if (row.operations == 0 || row.operations > (uint64_t)VALUE_MOST)
        return wrong(results, "%s: %" PRIu64 " operations", row.id, row.operations);
    if (rounds == 0 || rounds > RECORD_ROUNDS_MOST || samples == 0 || samples > RECORD_SAMPLES_MOST)
        return wrong(results, "%s: %" PRIu64 " rounds of %" PRIu64 " samples", row.id, rounds,
                     samples);
    row.aa = (unsigned)aa;
    row.role = (enum variant_role)role;
    row.rounds = (uint32_t)rounds;
    row.samples = (uint32_t)samples;
    if (row_exists(results, &row))
        return wrong(results, "%s is planned twice", row.id);
    results->rows[results->described++] = row;
    return true;
}

static bool take_begin(struct results *results, struct record_reader *reader)
{
    char id[RECORD_NAME_MOST + 1];
    const uint64_t index = record_get_u64(reader);
    record_get_text(reader, id, RECORD_NAME_MOST, true);
    const uint64_t first = record_get_u64(reader), count = record_get_u64(reader);
    const uint64_t seconds = record_get_u64(reader);
    if (reader->failed || id[0] == '\0')
        return wrong(results, "a BEGIN that cannot be read");
    if (!results->planned || results->described != results->plan_rows)
        return wrong(results, "a BEGIN before the plan is whole");
    if (results->case_rows != 0)
        return wrong(results, "%s begins while %s is not finished", id, results->case_id);
    if (index >= results->plan_cases || first > results->plan_rows || count == 0 ||
        count > results->plan_rows - first)
        return wrong(results, "%s begins rows that are not planned", id);
    if (seconds == 0 || seconds > RECORD_SECONDS_MOST)
        return wrong(results, "%s wants %" PRIu64 " seconds", id, seconds);
    for (uint64_t i = first; i < first + count; i++) {
        if (results->row_state[i] != ROW_PLANNED)
            return wrong(results, "%s begins for the second time", results->rows[i].id);
    }
    memset(results->row_state + first, ROW_BEGUN, count);
    memcpy(results->case_id, id, sizeof(id));
    results->case_first = (uint32_t)first;
    results->case_rows = (uint32_t)count;
    results->case_seconds = (uint32_t)seconds;
    results->cases_begun++;
    return true;
}

// The row a record speaks of: it must have begun and not be finished.
static struct row *open_row(struct results *results, uint64_t index)
{
    if (index >= results->plan_rows || results->row_state[index] != ROW_BEGUN)
        return NULL;
    return &results->rows[index];
}

static bool round_exists(const struct row *row, uint64_t round)
{
    for (size_t i = 0; i < row->series_count; i++) {
        if (row->series[i].round == round)
            return true;
    }
    return false;
}

// The samples and their tags, decoded once to see that they can be.
static bool samples_are_right(struct results *results, const struct row *row,
                              const struct series *series)
{
    int64_t *values = memory_get(2 * series->count * sizeof(*values));
    int64_t *tags = values + series->count;
    bool right = series_decode(series, values, tags);
    for (uint32_t i = 0; i < series->count && right; i++)
        right = in_range(values[i]) && tags[i] >= 0 && tags[i] < (int64_t)RECORD_TAGS;
    free(values);
    return right || wrong(results, "%s: samples that cannot be read or are out of range", row->id);
}

static bool take_samples(struct results *results, struct record_reader *reader)
{
    struct row *row = open_row(results, record_get_u64(reader));
    const uint64_t round = record_get_u64(reader);
    struct series series = {.boot = results->boot, .round = (uint32_t)round};
    series.operations = record_get_u64(reader);
    series.overhead = record_get_i64(reader);
    series.cold = record_get_i64(reader);
    const uint64_t count = record_get_u64(reader);
    if (reader->failed || row == NULL)
        return wrong(results, "SAMPLES that cannot be read or are of no row that runs");
    if (round >= row->rounds || round_exists(row, round))
        return wrong(results, "%s: round %" PRIu64 " is not planned or came twice", row->id, round);
    if (count == 0 || count > RECORD_SAMPLES_MOST || series.operations == 0 ||
        series.operations > (uint64_t)VALUE_MOST)
        return wrong(results, "%s: %" PRIu64 " samples of %" PRIu64 " operations", row->id, count,
                     series.operations);
    if (!in_range(series.overhead) || !in_range(series.cold))
        return wrong(results, "%s: overhead or cold out of range", row->id);
    if (results->samples + count > MODEL_SAMPLES_MOST)
        return wrong(results, "more than %lu samples", (unsigned long)MODEL_SAMPLES_MOST);
    series.count = (uint32_t)count;
    series.token_bytes = reader->length - reader->position;
    series.tokens = (uint8_t *)reader->bytes + reader->position;
    if (!samples_are_right(results, row, &series))
        return false;
    uint8_t *tokens = memory_get(series.token_bytes);
    memcpy(tokens, series.tokens, series.token_bytes);
    series.tokens = tokens;
    row->series = memory_resize(row->series, (row->series_count + 1) * sizeof(series));
    row->series[row->series_count++] = series;
    results->samples += count;
    return true;
}

static bool is_counter_unit(const char *unit)
{
    static const char *const units[] = {"percent", "count",        "bytes",   "ratio",
                                        "cycles",  "instructions", "observed"};
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        if (strcmp(unit, units[i]) == 0)
            return true;
    }
    return false;
}

// Beside those the row has: its name is new, and its curve is of one unit.
static bool counter_fits(struct results *results, const struct row *row,
                         const struct counter *counter)
{
    const size_t length = counter_curve(counter->name);
    const bool point = counter->name[length] == '@';
    size_t points = point;
    if (point && counter_is_measured(counter->unit) && strcmp(counter->unit, "observed") != 0)
        return wrong(results, "%s: %s is the point of a curve, and the processor's", row->id,
                     counter->name);
    for (size_t i = 0; i < row->counter_count; i++) {
        const struct counter *other = &row->counters[i];
        if (strcmp(other->name, counter->name) == 0)
            return wrong(results, "%s: counter %s came twice", row->id, counter->name);
        const size_t its = counter_curve(other->name);
        points += point && other->name[its] == '@';
        if (point && its == length && other->name[its] == '@' &&
            memcmp(other->name, counter->name, length) == 0 &&
            strcmp(other->unit, counter->unit) != 0)
            return wrong(results, "%s: %s is in %s, its curve in %s", row->id, counter->name,
                         counter->unit, other->unit);
    }
    return points <= RECORD_POINTS_MOST ||
           wrong(results, "%s: more than %u points of curves", row->id, RECORD_POINTS_MOST);
}

static bool take_counter(struct results *results, struct record_reader *reader)
{
    struct counter counter = {.boot = results->boot};
    struct row *row = open_row(results, record_get_u64(reader));
    record_get_text(reader, counter.name, RECORD_NAME_MOST, false);
    counter.numerator = record_get_u64(reader);
    counter.denominator = record_get_u64(reader);
    record_get_text(reader, counter.unit, MODEL_UNIT_MOST, true);
    if (reader->failed || row == NULL || counter_curve(counter.name) == 0)
        return wrong(results, "a COUNTER that cannot be read or is of no row that runs");
    // Those that add up over the boots have room to.
    const uint64_t most =
        counter_is_measured(counter.unit) ? VALUE_MOST / MODEL_BOOTS_MOST : INT64_MAX;
    if (counter.numerator > most || counter.denominator > most || counter.denominator == 0 ||
        !is_counter_unit(counter.unit) ||
        (strcmp(counter.unit, "percent") == 0 && counter.numerator > counter.denominator))
        return wrong(results, "%s: counter %s out of range", row->id, counter.name);
    if (row->counter_count == MODEL_COUNTERS_MOST)
        return wrong(results, "%s: more than %u counters", row->id, MODEL_COUNTERS_MOST);
    if (!counter_fits(results, row, &counter))
        return false;
    row->counters = memory_resize(row->counters, (row->counter_count + 1) * sizeof(counter));
    row->counters[row->counter_count++] = counter;
    return true;
}

static bool case_is_finished(const struct results *results)
{
    for (uint32_t i = 0; i < results->case_rows; i++) {
        if (results->row_state[results->case_first + i] != ROW_FINISHED)
            return false;
    }
    return true;
}

static bool take_finish(struct results *results, struct record_reader *reader)
{
    static const enum row_status statuses[RECORD_ROW_STATUSES] = {
        [RECORD_ROW_OK] = ROW_OK,           [RECORD_ROW_CHECKSUM] = ROW_CHECKSUM,
        [RECORD_ROW_DELETED] = ROW_DELETED, [RECORD_ROW_UNSTEADY] = ROW_UNSTEADY,
        [RECORD_ROW_FAILED] = ROW_FAILED,
    };
    const uint64_t index = record_get_u64(reader);
    struct row *row = open_row(results, index);
    const uint64_t status = record_get_u64(reader);
    char detail[RECORD_TEXT_MOST + 1];
    record_get_text(reader, detail, RECORD_TEXT_MOST, false);
    if (reader->failed || row == NULL || status >= RECORD_ROW_STATUSES)
        return wrong(results, "a FINISH that cannot be read or is of no row that runs");
    if (status == RECORD_ROW_OK && row->series_count != row->rounds)
        return wrong(results, "%s is finished with %zu of %u rounds", row->id, row->series_count,
                     row->rounds);
    row->status = statuses[status];
    memcpy(row->detail, detail, sizeof(detail));
    results->row_state[index] = ROW_FINISHED;
    results->rows_finished++;
    if (case_is_finished(results))
        results->case_rows = 0;
    return true;
}

static bool outlier_is_right(const struct row *row, const struct outlier *outlier, uint64_t windows)
{
    for (size_t i = 0; i < row->outlier_count; i++) {
        if (strcmp(row->outliers[i].name, outlier->name) == 0)
            return false;
    }
    return outlier->name[0] != '\0' && windows <= RECORD_SAMPLES_MOST && outlier->operations != 0 &&
           outlier->operations <= (uint64_t)VALUE_MOST && in_range(outlier->sample) &&
           in_range(outlier->least) && outlier->least <= outlier->sample &&
           outlier->begin_ns <= outlier->end_ns && outlier->end_ns <= (uint64_t)VALUE_MOST &&
           row->outlier_count < MODEL_OUTLIERS_MOST;
}

static bool take_outlier(struct results *results, struct record_reader *reader)
{
    struct outlier outlier = {0};
    const uint64_t index = record_get_u64(reader);
    record_get_text(reader, outlier.name, RECORD_NAME_MOST, true);
    const uint64_t window = record_get_u64(reader), windows = record_get_u64(reader);
    outlier.operations = record_get_u64(reader);
    outlier.sample = record_get_i64(reader);
    outlier.least = record_get_i64(reader);
    const uint64_t tags = record_get_u64(reader);
    outlier.begin_ns = record_get_u64(reader);
    outlier.end_ns = record_get_u64(reader);
    outlier.window = (uint32_t)window;
    outlier.windows = (uint32_t)windows;
    outlier.tags = (uint8_t)tags;
    if (reader->failed || index >= results->plan_rows || results->row_state[index] != ROW_FINISHED)
        return wrong(results, "an OUTLIER that cannot be read or is of no row that has finished");
    struct row *row = &results->rows[index];
    if (window >= windows || tags >= RECORD_TAGS || !outlier_is_right(row, &outlier, windows))
        return wrong(results, "%s: outlier %s out of range, or there twice", row->id, outlier.name);
    row->outliers[row->outlier_count++] = outlier;
    return true;
}

bool results_record(struct results *results, uint8_t type, const uint8_t *payload, size_t length)
{
    struct record_reader reader;
    if (results->error[0] != '\0')
        return false;
    record_reader_init(&reader, payload, length);
    switch (type) {
    case RECORD_FACT:
        return take_fact(results, &reader);
    case RECORD_PLAN:
        return take_plan(results, &reader);
    case RECORD_PLAN_ROW:
        return take_plan_row(results, &reader);
    case RECORD_BEGIN:
        return take_begin(results, &reader);
    case RECORD_SAMPLES:
        return take_samples(results, &reader);
    case RECORD_COUNTER:
        return take_counter(results, &reader);
    case RECORD_FINISH:
        return take_finish(results, &reader);
    case RECORD_OUTLIER:
        return take_outlier(results, &reader);
    default:
        results->unknown_records++;
        return true;
    }
}

bool results_all_finished(const struct results *results)
{
    return results->planned && results->rows_finished == results->plan_rows;
}
