// SPDX-License-Identifier: MIT
// The pool of pages, explored to the end, and with each acquire and release weakened.
#include <check.h>
#include <stdio.h>
#include <string.h>

#include "pool_programs.h"
#include "run_checks.h"
#include "weakenings.h"

static struct model_result result;
static const struct model_limits limits = {.states = 1u << 24};

START_TEST(a_page_has_one_owner_and_comes_with_its_bytes)
{
    for (size_t i = 0; pool_programs[i] != NULL; i++) {
        model_run(pool_programs[i], NULL, &limits, &result);
        printf("%-22s %8lu states %8lu executions\n", pool_programs[i]->name,
               (unsigned long)result.states, (unsigned long)result.executions);
        if (result.failure[0] != 0)
            model_print_failure(&result);
        ck_assert_str_eq(result.failure, "");
        ck_assert(result.complete && result.executions > 0);
    }
}
END_TEST

// What nothing notices when it is weakened, and why that is right.
static const struct {
    const char *name, *why;
} harmless[] = {
    {"ring_pool_reclaim: compare acq_rel as acquire",
     "give_back releases the same, and nobody opens the record of a free page"},
    {NULL, NULL},
};
#define WEAKENINGS 7u

static const char *reason_for(const char *name)
{
    for (size_t i = 0; harmless[i].name != NULL; i++) {
        if (strcmp(harmless[i].name, name) == 0)
            return harmless[i].why;
    }
    return NULL;
}

static bool caught(const struct named_weakening *weakening)
{
    for (size_t i = 0; pool_programs[i] != NULL; i++) {
        model_run(pool_programs[i], &weakening->weakening, &limits, &result);
        ck_assert_msg(!result.gave_up, "%s: %s", weakening->name, result.failure);
        if (result.failure[0] != 0)
            return true;
    }
    return false;
}

START_TEST(every_acquire_and_release_is_needed_or_listed)
{
    static struct weakenings weakenings;
    bool wrong = false;
    for (size_t i = 0; pool_programs[i] != NULL; i++) {
        model_run(pool_programs[i], NULL, &limits, &result);
        weakenings_add(&weakenings, &result);
    }
    weakenings_name(&weakenings);
    for (size_t i = 0; i < weakenings.count; i++) {
        const char *name = weakenings.all[i].name, *reason = reason_for(name);
        const bool is_caught = caught(&weakenings.all[i]);
        wrong |= is_caught != (reason == NULL);
        printf("%-60s %s\n", name,
               is_caught        ? result.failure
               : reason != NULL ? reason
                                : "HARMLESS: why?");
    }
    fflush(stdout);
    ck_assert_msg(!wrong, "the list of the harmless is not that");
    ck_assert_uint_eq(weakenings.count, WEAKENINGS);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("model_pool");
    TCase *tests = tcase_create("pool");
    tcase_set_timeout(tests, 120);
    tcase_add_test(tests, a_page_has_one_owner_and_comes_with_its_bytes);
    tcase_add_test(tests, every_acquire_and_release_is_needed_or_listed);
    suite_add_tcase(suite, tests);
    return run_checks(suite);
}
