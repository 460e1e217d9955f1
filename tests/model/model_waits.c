// SPDX-License-Identifier: MIT
// Sleep and wake-up over the real source, in every way the memory model of C11 allows: nobody
// sleeps beside a message. With either side's order of store and load taken away, somebody does.
#include <asm/prctl.h>
#include <check.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cpu.h"
#include "run_checks.h"
#include "wait_programs.h"
#include "weakenings.h"

// Test-and-set: a waiter may lose the lock any number of times.
static const struct model_limits limits = {.states = 1u << 24, .turns = 6};

static struct model_result result;
static struct cpu_local cpu;

static void be_cpu(void)
{
    ck_assert_int_eq(syscall(SYS_arch_prctl, ARCH_SET_GS, &cpu), 0);
}

START_TEST(nobody_sleeps_beside_a_message)
{
    const struct model_program *program = &wait_programs[_i];
    model_run(program, NULL, &limits, &result);
    printf("%-20s %9lu states %9lu executions, %lu cut\n", program->name,
           (unsigned long)result.states, (unsigned long)result.executions,
           (unsigned long)result.cut);
    if (result.failure[0] != 0)
        model_print_failure(&result);
    ck_assert_msg(result.failure[0] == 0, "%s: %s", program->name, result.failure);
    ck_assert(result.complete);
    ck_assert_uint_gt(result.executions, 0);
}
END_TEST

// What must be noticed when it is gone.
static const char *const needed[] = {
    "somebody_sleeps: change acq_rel as acquire", // what was published before is found later
    "say_so: change acq_rel as release",          // by the second look
};

START_TEST(each_side_of_the_race_needs_its_order)
{
    static struct weakenings weakenings;
    unsigned caught = 0;
    weakenings.count = 0;
    model_run(&wait_programs[0], NULL, &limits, &result);
    weakenings_add(&weakenings, &result);
    weakenings_name(&weakenings);
    for (size_t i = 0; i < weakenings.count; i++) {
        printf("%s\n", weakenings.all[i].name);
        if (strcmp(weakenings.all[i].name, needed[_i]) != 0)
            continue;
        model_run(&wait_programs[0], &weakenings.all[i].weakening, &limits, &result);
        printf("    %s\n", result.failure);
        caught += result.failure[0] != 0;
    }
    ck_assert_uint_eq(caught, 1);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("model_waits");
    TCase *tests = tcase_create("waits");
    tcase_set_timeout(tests, 300);
    tcase_add_checked_fixture(tests, be_cpu, NULL);
    tcase_add_loop_test(tests, nobody_sleeps_beside_a_message, 0, WAIT_PROGRAMS);
    tcase_add_loop_test(tests, each_side_of_the_race_needs_its_order, 0, 2);
    suite_add_tcase(suite, tests);
    return run_checks(suite);
}
