// SPDX-License-Identifier: MIT
// The checker against programs whose outcomes are known: exactly those are found.
#include <check.h>
#include <stdio.h>
#include <string.h>

#include "litmus.h"
#include "run_checks.h"

static void outcomes_text(const struct model_result *result, char *text, size_t capacity)
{
    size_t length = 0;
    text[0] = 0;
    for (size_t i = 0; i < result->outcome_count && length < capacity; i++)
        length += (size_t)snprintf(text + length, capacity - length, "%s%lx", i == 0 ? "" : " ",
                                   (unsigned long)result->outcomes[i]);
}

START_TEST(a_program_has_exactly_the_outcomes_that_the_model_allows)
{
    const struct litmus *test = &litmus_tests[_i];
    static struct model_result result;
    const struct model_limits limits = {.states = 1u << 20};
    char outcomes[512];
    model_run(&test->program, NULL, &limits, &result);
    outcomes_text(&result, outcomes, sizeof(outcomes));
    printf("%-22s %6lu states %6lu executions  %s\n", test->program.name,
           (unsigned long)result.states, (unsigned long)result.executions, test->what);
    if (result.failure[0] != 0) {
        ck_assert_msg(strncmp(result.failure, test->expected, strlen(test->expected)) == 0,
                      "%s: %s", test->program.name, result.failure);
        return;
    }
    ck_assert_msg(result.complete, "%s: not explored to the end", test->program.name);
    ck_assert_str_eq(outcomes, test->expected);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("model_litmus");
    TCase *tests = tcase_create("litmus");
    tcase_set_timeout(tests, 60);
    tcase_add_loop_test(tests, a_program_has_exactly_the_outcomes_that_the_model_allows, 0,
                        (int)litmus_count);
    suite_add_tcase(suite, tests);
    return run_checks(suite);
}
