// SPDX-License-Identifier: MIT
// Every program over every ring, explored to the end; then with each acquire and release of the
// ring's source weakened, one at a time: something must fail, or the list of the harmless says why
// not.
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ring_programs.h"
#include "run_checks.h"
#include "soak.h"
#include "weakenings.h"

static struct model_result result;

static struct model_limits limits_of(const struct ring_model *model)
{
    return (struct model_limits){.states = 1u << 26, .turns = model->turns};
}

static void explore(const struct ring_model *model, const struct model_program *program)
{
    const struct model_limits limits = limits_of(model);
    model_run(program, NULL, &limits, &result);
    printf("%-20s %-16s %9lu states %9lu executions, of %lu events at most, %lu cut\n",
           model->ops->about.name, program->name, (unsigned long)result.states,
           (unsigned long)result.executions, (unsigned long)result.events,
           (unsigned long)result.cut);
    fflush(stdout);
    if (result.failure[0] != 0)
        model_print_failure(&result);
    ck_assert_msg(result.failure[0] == 0, "%s, %s: %s", model->ops->about.name, program->name,
                  result.failure);
    ck_assert_msg(result.complete, "%s: not explored to the end", program->name);
    ck_assert_uint_gt(result.executions, 0);
    ck_assert(model->turns != 0 || result.cut == 0);
}

START_TEST(messages_arrive_in_order_whole_and_once)
{
    const struct ring_model *model = &ring_models[_i];
    ring_programs_use(model);
    for (size_t i = 0; model->programs[i] != NULL; i++)
        explore(model, model->programs[i]);
    for (size_t i = 0; is_soak() && model->soak[i] != NULL; i++)
        explore(model, model->soak[i]);
}
END_TEST

// The first program that fails; NULL: none does. What is caught mostly is so soon: nothing is
// explored to the end before all was tried a little.
static const struct model_program *caught_by(const struct ring_model *model,
                                             const struct named_weakening *weakening)
{
    struct model_limits limits = limits_of(model);
    const uint64_t most[] = {1u << 12, 1u << 15, limits.states};
    for (size_t i = 0; i < sizeof(most) / sizeof(most[0]); i++) {
        limits.states = most[i];
        for (size_t j = 0; model->programs[j] != NULL; j++) {
            model_run(model->programs[j], &weakening->weakening, &limits, &result);
            ck_assert_msg(!result.gave_up, "%s: %s", weakening->name, result.failure);
            if (result.failure[0] != 0)
                return model->programs[j];
        }
    }
    ck_assert_msg(result.complete, "%s: not explored to the end", weakening->name);
    return NULL;
}

static const struct ring_harmless *listed(const struct ring_model *model, const char *name)
{
    for (size_t i = 0; i < RING_HARMLESS_MOST && model->harmless[i].weakening != NULL; i++) {
        if (strcmp(model->harmless[i].weakening, name) == 0)
            return &model->harmless[i];
    }
    return NULL;
}

static size_t listed_count(const struct ring_model *model)
{
    size_t count = 0;
    while (count < RING_HARMLESS_MOST && model->harmless[count].weakening != NULL)
        count++;
    return count;
}

START_TEST(every_acquire_and_release_is_needed_or_listed)
{
    static struct weakenings weakenings;
    const struct ring_model *model = &ring_models[_i];
    const struct model_limits limits = limits_of(model);
    size_t harmless = 0;
    bool wrong = false;
    ring_programs_use(model);
    weakenings.count = 0;
    for (size_t i = 0; model->programs[i] != NULL; i++) {
        model_run(model->programs[i], NULL, &limits, &result);
        weakenings_add(&weakenings, &result);
    }
    weakenings_name(&weakenings);
    for (size_t i = 0; i < weakenings.count; i++) {
        const struct named_weakening *one = &weakenings.all[i];
        const struct ring_harmless *reason = listed(model, one->name);
        // To find nothing takes as long as to explore all: that is left to the soak.
        const struct model_program *catcher =
            reason != NULL && !is_soak() ? NULL : caught_by(model, one);
        harmless += catcher == NULL;
        wrong |= (catcher == NULL) != (reason != NULL);
        printf("%-20s %-60s %s: %s\n", model->ops->about.name, one->name,
               catcher != NULL ? catcher->name : "harmless",
               catcher != NULL  ? result.failure
               : reason != NULL ? reason->why
                                : "why?");
    }
    fflush(stdout);
    ck_assert_msg(!wrong, "%s: the list of the harmless is not that", model->ops->about.name);
    ck_assert_uint_eq(harmless, listed_count(model));
    ck_assert_uint_eq(weakenings.count, model->weakenings);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("model_rings");
    TCase *tests = tcase_create("rings");
    tcase_set_timeout(tests, is_soak() ? 1800 : 300);
    tcase_add_loop_test(tests, messages_arrive_in_order_whole_and_once, 0, (int)ring_model_count);
    tcase_add_loop_test(tests, every_acquire_and_release_is_needed_or_listed, 0,
                        (int)ring_model_count);
    suite_add_tcase(suite, tests);
    return run_checks(suite);
}
