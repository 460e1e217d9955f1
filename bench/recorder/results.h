// SPDX-License-Identifier: MIT
// The results stream of one boot: records in, rows out. Nothing is taken on trust: every number is
// in range, every name of the charset, every record in an order that makes sense, or the stream is
// damaged.
#ifndef RESULTS_H
#define RESULTS_H

#include "model.h"

#define RESULTS_FACTS_MOST 512u

struct results {
    uint32_t boot; // index: PLAN must say the same
    bool planned;
    uint32_t plan_rows, plan_cases;
    struct row *rows; // plan_rows of them
    uint32_t described;
    uint8_t *row_state; // of each row: enum results_row
    struct facts facts; // without prefix
    uint64_t samples;
    uint32_t cases_begun, rows_finished;
    // The case that runs; case_rows 0: none does.
    char case_id[RECORD_NAME_MOST + 1];
    uint32_t case_first, case_rows, case_seconds;
    uint32_t unknown_records;
    char error[DETAIL_MOST]; // empty: none
};

void results_init(struct results *results, uint32_t boot);
void results_free(struct results *results);

// Takes one record. False once anything was wrong: `error` says what, and nothing is taken any
// more.
bool results_record(struct results *results, uint8_t type, const uint8_t *payload, size_t length);

// True if the plan is there and each of its rows was begun and finished.
bool results_all_finished(const struct results *results);

#endif
