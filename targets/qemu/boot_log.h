// SPDX-License-Identifier: MIT
// What the machine's parts have to say while the kernel starts: tables that do not add up, CPUs
// that do not come up. As text on the line where a person reads it; with framed output, where text
// would be noise, kept and told as facts of the run (boot.log.1 ...).
#ifndef BOOT_LOG_H
#define BOOT_LOG_H

// One line without its end; cut after 200 characters. Boot CPU. When there is no room for more
// lines, the last one says so.
void boot_log(const char *format, ...) __attribute__((format(printf, 1, 2)));

// The same for parts that want a call-back.
void boot_log_line(void *context, const char *line);

// Its part of platform_describe.
void boot_log_describe(void (*emit)(void *context, const char *key, const char *value),
                       void *context);

#endif
