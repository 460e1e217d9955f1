// SPDX-License-Identifier: MIT
#include "common.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "record.h"

void complain(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fputs("recorder: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
}

void complain_write(const char *path)
{
    const int reason = errno;
    const bool full = reason == ENOSPC || reason == EDQUOT || reason == EFBIG;
    complain("cannot write %s: %s%s", path, strerror(reason),
             full ? ": make room there, then run again; what was stored before is whole" : "");
}

size_t text_format(char *out, size_t capacity, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    const int length = vsnprintf(out, capacity, format, arguments);
    va_end(arguments);
    if (length < 0)
        return 0;
    return (size_t)length < capacity ? (size_t)length : capacity - 1;
}

void text_clean(char *out, size_t capacity, const void *bytes, size_t length)
{
    const uint8_t *at = bytes;
    size_t end = 0;
    for (size_t i = 0; i < length && end + 1 < capacity; i++) {
        const bool space = at[i] == '\n' || at[i] == '\r' || at[i] == '\t';
        out[end++] = space ? ' ' : at[i] >= 0x20 && at[i] <= 0x7e ? (char)at[i] : '.';
    }
    while (end > 0 && out[end - 1] == ' ')
        end--;
    out[end] = '\0';
}

bool text_is_name(const char *text)
{
    static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                  "0123456789_.:/-";
    const size_t length = strlen(text);
    return length >= 1 && length <= RECORD_NAME_MOST && strspn(text, allowed) == length;
}

bool text_is_folder_name(const char *text)
{
    return text_is_name(text) && strchr(text, '/') == NULL && text[0] != '.' && text[0] != '-';
}

bool text_number(const char *text, uint64_t highest, uint64_t *value)
{
    uint64_t number = 0;
    if (*text == '\0')
        return false;
    for (; *text != '\0'; text++) {
        const uint64_t digit = (uint64_t)(*text - '0');
        if (*text < '0' || *text > '9' || number > (UINT64_MAX - digit) / 10)
            return false;
        number = number * 10 + digit;
    }
    *value = number;
    return number <= highest;
}

void *memory_resize(void *memory, size_t length)
{
    void *result = realloc(memory, length > 0 ? length : 1);
    if (result == NULL) {
        complain("out of memory (%zu bytes asked for)", length);
        _exit(EXIT_HARNESS);
    }
    return result;
}

void *memory_get(size_t length)
{
    void *result = memory_resize(NULL, length);
    memset(result, 0, length);
    return result;
}

char *memory_text(const char *text)
{
    const size_t length = strlen(text) + 1;
    return memcpy(memory_resize(NULL, length), text, length);
}

static void buffer_reserve(struct buffer *buffer, size_t further)
{
    if (buffer->capacity - buffer->length >= further)
        return;
    size_t capacity = buffer->capacity > 0 ? buffer->capacity : 256;
    while (capacity - buffer->length < further)
        capacity *= 2;
    buffer->bytes = memory_resize(buffer->bytes, capacity);
    buffer->capacity = capacity;
}

void buffer_add(struct buffer *buffer, const void *bytes, size_t length)
{
    if (length == 0)
        return;
    buffer_reserve(buffer, length);
    memcpy(buffer->bytes + buffer->length, bytes, length);
    buffer->length += length;
}

void buffer_print(struct buffer *buffer, const char *format, ...)
{
    va_list arguments, again;
    va_start(arguments, format);
    va_copy(again, arguments);
    const int length = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    if (length > 0) {
        buffer_reserve(buffer, (size_t)length + 1);
        vsnprintf((char *)buffer->bytes + buffer->length, (size_t)length + 1, format, again);
        buffer->length += (size_t)length;
    }
    va_end(again);
}

void buffer_free(struct buffer *buffer)
{
    free(buffer->bytes);
    *buffer = (struct buffer){0};
}

int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

bool write_all(int fd, const void *bytes, size_t length)
{
    const uint8_t *at = bytes;
    while (length > 0) {
        const ssize_t written = write(fd, at, length);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return false;
        at += written;
        length -= (size_t)written;
    }
    return true;
}

bool make_folders(const char *path)
{
    char part[4096];
    if (text_format(part, sizeof(part), "%s", path) != strlen(path)) {
        errno = ENAMETOOLONG;
        return false;
    }
    for (char *at = part + 1;; at++) {
        if (*at != '/' && *at != '\0')
            continue;
        const char kept = *at;
        *at = '\0';
        if (mkdir(part, 0777) != 0 && errno != EEXIST)
            return false;
        *at = kept;
        if (kept == '\0')
            return true;
    }
}
