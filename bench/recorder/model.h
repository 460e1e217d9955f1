// SPDX-License-Identifier: MIT
// A run as the store knows it: one (run, machine) with its facts, rows, rounds and counters.
//
// Ownership: a struct run owns everything below it; model_free gives it back.
#ifndef MODEL_H
#define MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common.h"
#include "record.h"
#include "variant.h"

#define MODEL_BOOTS_MOST    64u
#define MODEL_FACTS_MOST    1024u
#define MODEL_COUNTERS_MOST (64u + RECORD_POINTS_MOST) // of one row
#define MODEL_SAMPLES_MOST  (UINT64_C(1) << 26)        // of one run
#define MODEL_UNIT_MOST     32u
#define MODEL_OUTLIERS_MOST 4u // of one row

// How a boot, and a run, can end. Only the first is success. The order is stored in captures.
enum outcome {
    OUTCOME_COMPLETE,
    OUTCOME_PANIC,
    OUTCOME_TRIPLE_FAULT,
    OUTCOME_HANG,
    OUTCOME_DIED,
    OUTCOME_NO_START,
    OUTCOME_DAMAGED,
    OUTCOME_REJECTED, // of a run: all came, and some rows are not usable; of a boot never
    OUTCOMES,
};

extern const char *const outcome_names[OUTCOMES];

enum row_status {
    ROW_OK,
    ROW_MISSING, // planned, and no whole result came: not measured, or lost on the way
    ROW_CHECKSUM,
    ROW_DELETED,
    ROW_UNSTEADY,
    ROW_FAILED,
    ROW_STATUSES,
};

extern const char *const row_status_names[ROW_STATUSES];
extern const char *const row_role_names[VARIANT_PEER + 1];

// Samples of one row in one round of one boot and their tags, still in the tokens of
// RECORD_SAMPLES: they were decoded once when they came, so they can be decoded again.
struct series {
    uint32_t boot, round;
    uint64_t operations;
    int64_t overhead, cold;
    uint32_t count;
    uint8_t *tokens;
    size_t token_bytes;
};

// Exact, the same in every boot; or measured by the processor, the sums over the boots.
struct counter {
    char name[RECORD_NAME_MOST + 1];
    uint64_t numerator, denominator;
    char unit[MODEL_UNIT_MOST + 1];
    uint32_t boot; // the first that said so
};

// A sample of a traced round, which window of how many it was, and from when to when of the trace.
struct outlier {
    char name[RECORD_NAME_MOST + 1];
    uint32_t window, windows;
    uint64_t operations;
    int64_t sample, least;
    uint8_t tags;
    uint64_t begin_ns, end_ns;
};

struct row {
    char id[RECORD_NAME_MOST + 1];
    unsigned aa;
    enum variant_role role;
    char what[RECORD_TEXT_MOST + 1];
    char unit[MODEL_UNIT_MOST + 1];
    uint64_t definition;
    uint64_t operations;      // declared for one window
    uint32_t rounds, samples; // planned in one boot
    enum row_status status;
    char detail[RECORD_TEXT_MOST + 1]; // what FINISH said, or what differs between the boots
    struct series *series;
    size_t series_count;
    struct counter *counters;
    size_t counter_count;
    struct outlier outliers[MODEL_OUTLIERS_MOST]; // of the boot that was traced
    size_t outlier_count;
};

struct fact {
    char *key, *value;
};

struct facts {
    struct fact *fact;
    size_t count;
};

struct run {
    char run[RECORD_NAME_MOST + 1];
    char target[RECORD_NAME_MOST + 1];
    char machine[RECORD_NAME_MOST + 1]; // without the target
    char clock[RECORD_NAME_MOST + 1];   // asked for; after a HELLO the one the target has
    char utc[RECORD_NAME_MOST + 1];
    char commit[RECORD_NAME_MOST + 1];
    char size[RECORD_NAME_MOST + 1];
    bool dirty;
    bool clock_known; // a boot said HELLO
    uint64_t hz;
    uint32_t boots_planned, boots;
    enum outcome outcome;
    char detail[DETAIL_MOST];
    struct facts facts;
    struct row *rows;
    size_t row_count;
    uint64_t samples;       // of all series
    struct buffer trace;    // the file, empty if there is none; not in the store
    uint64_t trace_lost;    // bytes of it that never came
    bool trace_end_unknown; // it came in part, and where it ends was never said
};

// Sets or replaces. False if there are too many, or the value is longer than FACT_MOST.
bool facts_set(struct facts *facts, const char *key, const char *value);

// NULL if there is none.
const char *facts_get(const struct facts *facts, const char *key);
void facts_free(struct facts *facts);

void row_free(struct row *row);
void rows_free(struct row *rows, size_t count);
void run_free(struct run *run);

// What stands in front of the line for people: "<target>-<machine>"; `out` has 2 *
// (RECORD_NAME_MOST + 1) bytes.
void run_machine(const struct run *run, char *out);

// Adds what one boot brought: its series move into the run. The first boot's rows become the run's;
// each later boot must have planned the same. False, with a line in `why`, if it has not, or if it
// brings more than the caps allow.
bool run_add_rows(struct run *run, struct row *rows, size_t count, char *why, size_t capacity);

// Looks for exact series that differ: samples between any two rounds on an instruction clock,
// operations, first windows and overheads between boots. Marks the rows, says in their details what
// differs, and returns how many; `why` names the first. Call once, after the last boot.
size_t run_check_equality(struct run *run, char *why, size_t capacity);

// The characters of NAME if `name` is NAME@X, the point of a curve; all of them if it is NAME; 0 if
// it is neither (record.h).
size_t counter_curve(const char *name);

// Cycles and instructions differ from boot to boot; the other units of counters are exact.
bool counter_is_measured(const char *unit);

// Decodes a series into `values` and `tags`, each with room for series->count. False if the tokens
// do not give that.
bool series_decode(const struct series *series, int64_t *values, int64_t *tags);

#endif
