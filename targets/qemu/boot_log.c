// SPDX-License-Identifier: MIT
#include "boot_log.h"

#include <stdarg.h>

#include "format.h"
#include "kernel.h"
#include "string.h"

#define LINES_MOST 32u
#define LINE_BYTES 201u

static char lines[LINES_MOST][LINE_BYTES];
static unsigned count, left_out;

static void keep(const char *line)
{
    if (!kernel.framed) {
        platform_line_write(line, string_length(line, LINE_BYTES));
        platform_line_write("\n", 1);
    }
    if (count == LINES_MOST - 1)
        format(lines[count], LINE_BYTES, "%u more lines have no room here", ++left_out);
    else
        format(lines[count++], LINE_BYTES, "%s", line);
}

void boot_log(const char *text, ...)
{
    char line[LINE_BYTES];
    va_list arguments;
    va_start(arguments, text);
    format_list(line, sizeof(line), text, arguments);
    va_end(arguments);
    keep(line);
}

void boot_log_line(void *context, const char *line)
{
    (void)context;
    keep(line);
}

void boot_log_describe(void (*emit)(void *context, const char *key, const char *value),
                       void *context)
{
    char key[16];
    for (unsigned i = 0; i < count + (left_out > 0); i++) {
        format(key, sizeof(key), "boot.log.%u", i + 1);
        emit(context, key, lines[i]);
    }
}
