// SPDX-License-Identifier: MIT
// The platform under the checker: a panic is a failure of the execution.
#include "model_parts.h"
#include "platform.h"

void platform_panic(const char *what, const char *file, unsigned line)
{
    (void)file;
    (void)line;
    model_fail(what, NULL);
}
