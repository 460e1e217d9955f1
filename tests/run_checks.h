// SPDX-License-Identifier: MIT
// The end of a Check program's main.
#ifndef RUN_CHECKS_H
#define RUN_CHECKS_H

#include <check.h>
#include <stdlib.h>

// Runs the suite and frees it; CK_VERBOSITY says how much is printed. Returns the program's status.
static inline int run_checks(Suite *suite)
{
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

#endif
