// SPDX-License-Identifier: MIT
// What every part of the recorder uses: exit codes, complaints, text made safe, a growing buffer.
//
// The recorder is one thread. What comes from the target is never printed or stored before it went
// through text_clean or the readers of record.h.
#ifndef COMMON_H
#define COMMON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum exit_code {
    EXIT_COMPLETE = 0,
    EXIT_USAGE = 2,
    EXIT_NO_TARGET = 30, // the target could not start
    EXIT_HARNESS = 40,   // everything else that is not a complete run
    EXIT_SIGNALLED = 128 // plus the number of the signal
};

// One line that says more: with its terminating zero.
#define DETAIL_MOST 512u

// Longest value of a fact.
#define FACT_MOST 4096u

// Prints one line to stderr, "recorder: " in front. Never called with text that was not cleaned.
void complain(const char *format, ...) __attribute__((format(printf, 1, 2)));

// Says that a file cannot be written, why (errno), and what to do.
void complain_write(const char *path);

// snprintf that returns the length of what stands in `out` (cut to capacity - 1).
size_t text_format(char *out, size_t capacity, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

// Copies printable ASCII; everything else becomes '.', line ends and tabs become a space, trailing
// space is dropped. Cut to capacity - 1 and terminated.
void text_clean(char *out, size_t capacity, const void *bytes, size_t length);

// True for 1 to RECORD_NAME_MOST characters of [A-Za-z0-9_.:/-].
bool text_is_name(const char *text);

// The same, and safe as the name of a folder: no '/', no '.' or '-' in front.
bool text_is_folder_name(const char *text);

// Reads a decimal number that fills the whole text; false if it is anything else or above
// `highest`.
bool text_number(const char *text, uint64_t highest, uint64_t *value);

// Memory that is never NULL: the recorder ends with EXIT_HARNESS when there is none (the target
// dies with it). Freed with free().
void *memory_get(size_t length);
void *memory_resize(void *memory, size_t length);
char *memory_text(const char *text);

// Grows; the caller keeps it within its cap. `bytes` is freed by buffer_free.
struct buffer {
    uint8_t *bytes;
    size_t length;
    size_t capacity;
};

void buffer_add(struct buffer *buffer, const void *bytes, size_t length);
void buffer_print(struct buffer *buffer, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void buffer_free(struct buffer *buffer);

// Monotonic time in milliseconds.
int64_t now_ms(void);

// Writes everything or returns false with errno set.
bool write_all(int fd, const void *bytes, size_t length);

// Makes the folder and those above it. False with errno set.
bool make_folders(const char *path);

#endif
