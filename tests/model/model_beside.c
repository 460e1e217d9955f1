// SPDX-License-Identifier: MIT
// What stands beside the rings, explored to the end, and with each acquire and release weakened.
#include <check.h>
#include <stdio.h>
#include <string.h>

#include "beside_programs.h"
#include "compiler.h"
#include "run_checks.h"
#include "weakenings.h"

static const struct model_set *const sets[] = {&pool_set, &pages_set, &seats_set, &holes_set};
#define SETS ((int)ARRAY_COUNT(sets))

static struct model_result result;
static const struct model_limits limits = {.states = 1u << 24};

START_TEST(what_a_program_requires_holds_in_every_execution)
{
    const struct model_set *set = sets[_i];
    for (size_t i = 0; set->programs[i] != NULL; i++) {
        model_run(set->programs[i], NULL, &limits, &result);
        printf("%-6s %-24s %8lu states %8lu executions\n", set->name, set->programs[i]->name,
               (unsigned long)result.states, (unsigned long)result.executions);
        if (result.failure[0] != 0)
            model_print_failure(&result);
        ck_assert_str_eq(result.failure, "");
        ck_assert(result.complete && result.executions > 0);
    }
}
END_TEST

static const char *reason_for(const struct model_set *set, const char *name)
{
    for (size_t i = 0; i < BESIDE_HARMLESS_MOST && set->harmless[i].weakening != NULL; i++) {
        if (strcmp(set->harmless[i].weakening, name) == 0)
            return set->harmless[i].why;
    }
    return NULL;
}

static bool looked_at(const struct model_set *set, const char *function)
{
    for (size_t i = 0; i < BESIDE_FUNCTIONS_MOST && set->functions[i] != NULL; i++) {
        if (strcmp(set->functions[i], function) == 0)
            return true;
    }
    return set->functions[0] == NULL;
}

static const struct model_program *caught_by(const struct model_set *set,
                                             const struct named_weakening *weakening)
{
    for (size_t i = 0; set->programs[i] != NULL; i++) {
        model_run(set->programs[i], &weakening->weakening, &limits, &result);
        ck_assert_msg(!result.gave_up, "%s: %s", weakening->name, result.failure);
        if (result.failure[0] != 0)
            return set->programs[i];
    }
    return NULL;
}

START_TEST(every_acquire_and_release_is_needed_or_listed)
{
    static struct weakenings weakenings;
    const struct model_set *set = sets[_i];
    unsigned count = 0;
    bool wrong = false;
    weakenings.count = 0;
    for (size_t i = 0; set->programs[i] != NULL; i++) {
        model_run(set->programs[i], NULL, &limits, &result);
        weakenings_add(&weakenings, &result);
    }
    weakenings_name(&weakenings);
    for (size_t i = 0; i < weakenings.count; i++) {
        const struct named_weakening *one = &weakenings.all[i];
        if (!looked_at(set, one->place.function))
            continue;
        const char *reason = reason_for(set, one->name);
        const struct model_program *catcher = caught_by(set, one);
        count++;
        wrong |= (catcher == NULL) != (reason != NULL);
        printf("%-6s %-52s %s: %s\n", set->name, one->name,
               catcher != NULL ? catcher->name : "harmless",
               catcher != NULL  ? result.failure
               : reason != NULL ? reason
                                : "why?");
    }
    fflush(stdout);
    ck_assert_msg(!wrong, "%s: the list of the harmless is not that", set->name);
    ck_assert_uint_eq(count, set->weakenings);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("model_beside");
    TCase *tests = tcase_create("beside");
    tcase_set_timeout(tests, 120);
    tcase_add_loop_test(tests, what_a_program_requires_holds_in_every_execution, 0, SETS);
    tcase_add_loop_test(tests, every_acquire_and_release_is_needed_or_listed, 0, SETS);
    suite_add_tcase(suite, tests);
    return run_checks(suite);
}
