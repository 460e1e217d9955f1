// SPDX-License-Identifier: MIT
#include "progress.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

bool progress_init(struct progress *progress, const char *log_path, uint32_t boots)
{
    *progress =
        (struct progress){.out = stdout, .log_path = log_path, .boots = boots, .started = now_ms()};
    progress->terminal = isatty(STDOUT_FILENO) == 1;
    progress->log = open(log_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (progress->log < 0)
        complain_write(log_path);
    return progress->log >= 0;
}

void progress_free(struct progress *progress)
{
    if (progress->log >= 0)
        close(progress->log);
    progress->log = -1;
    buffer_free(&progress->tables);
}

// Line ends stay, tabs become spaces, anything else that is not printable a dot.
static char safe(char c)
{
    const unsigned char u = (unsigned char)c;
    return c == '\n' ? '\n' : c == '\t' ? ' ' : u >= 0x20 && u <= 0x7e ? c : '.';
}

// ---- log.txt -----------------------------------------------------------------------------------

static void keep(struct progress *progress, const char *text, size_t length)
{
    static const char cut[] = "\n(cut: the log is longer than it may be)\n";
    char clean[4096];
    while (length > 0 && !progress->failed && progress->log_bytes < PROGRESS_LOG_MOST) {
        size_t piece = 0;
        size_t used = 0;
        for (; used < length && piece < sizeof(clean); used++) {
            if (text[used] != '\r')
                clean[piece++] = safe(text[used]);
        }
        text += used;
        length -= used;
        progress->log_bytes += piece;
        progress->failed = !write_all(progress->log, clean, piece);
        if (!progress->failed && progress->log_bytes >= PROGRESS_LOG_MOST)
            progress->failed = !write_all(progress->log, cut, sizeof(cut) - 1);
        if (progress->failed)
            complain_write(progress->log_path);
    }
}

// ---- the screen --------------------------------------------------------------------------------

static void clear_line(struct progress *progress)
{
    if (progress->shown)
        fputs("\r\033[K", progress->out);
    progress->shown = false;
}

// Cases take unequal time; the estimate takes them as equal, as there is nothing better before the
// first boot is over.
static void draw(struct progress *progress)
{
    const int64_t elapsed = now_ms() - progress->started;
    const uint64_t all = (uint64_t)progress->cases * progress->boots;
    char left[48] = "";
    if (!progress->terminal)
        return;
    if (progress->done > 0 && all > progress->done)
        text_format(
            left, sizeof(left), ", about %lld s left",
            (long long)((uint64_t)elapsed * (all - progress->done) / progress->done / 1000));
    fprintf(progress->out, "\r\033[Kboot %u/%u  %u of %u  %s  %lld s%s", progress->boot + 1,
            progress->boots, progress->which, progress->cases, progress->id,
            (long long)(elapsed / 1000), left);
    fflush(progress->out);
    progress->shown = true;
}

void progress_case_done(struct progress *progress)
{
    if (progress->id[0] != '\0' && !progress->terminal) {
        const int64_t took = now_ms() - progress->case_started;
        fprintf(progress->out, "boot %u/%u  %u of %u  %s  %lld.%lld s\n", progress->boot + 1,
                progress->boots, progress->which, progress->cases, progress->id,
                (long long)(took / 1000), (long long)(took % 1000 / 100));
        fflush(progress->out);
    }
    progress->id[0] = '\0';
}

void progress_boot(struct progress *progress, uint32_t boot)
{
    progress->boot = boot;
    progress->tables.length = 0;
    progress->line_length = 0;
}

void progress_case(struct progress *progress, const char *id, uint32_t k, uint32_t cases)
{
    progress->cases = cases;
    progress->which = k;
    progress->done = progress->boot * cases + k - 1;
    progress->case_started = now_ms();
    text_format(progress->id, sizeof(progress->id), "%s", id);
    draw(progress);
}

void progress_tick(struct progress *progress)
{
    if (progress->id[0] != '\0')
        draw(progress);
}

void progress_wait(struct progress *progress, const char *text)
{
    char clean[sizeof(progress->waiting)];
    text_clean(clean, sizeof(clean), text, strlen(text));
    const bool other = strcmp(clean, progress->waiting) != 0;
    if (progress->waiting[0] == '\0')
        progress->waiting_since = now_ms();
    memcpy(progress->waiting, clean, sizeof(clean));
    if (clean[0] == '\0' || (!progress->terminal && !other))
        return;
    const int64_t waited = now_ms() - progress->waiting_since;
    fprintf(progress->out, "%s%s ... %lld s%s", progress->terminal ? "\r\033[K" : "", clean,
            (long long)(waited / 1000), progress->terminal ? "" : "\n");
    fflush(progress->out);
    progress->shown = progress->terminal;
}

static void show_line(struct progress *progress, const char *text, size_t length)
{
    clear_line(progress);
    fwrite(text, 1, length, progress->out);
    fputc('\n', progress->out);
    fflush(progress->out);
}

static void show(struct progress *progress, const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        if (text[i] == '\n' || progress->line_length == sizeof(progress->line)) {
            show_line(progress, progress->line, progress->line_length);
            progress->line_length = 0;
        }
        if (text[i] != '\n' && text[i] != '\r')
            progress->line[progress->line_length++] = safe(text[i]);
    }
}

void progress_log(struct progress *progress, const char *text, size_t length)
{
    show(progress, text, length);
    keep(progress, text, length);
}

void progress_noise(struct progress *progress, const char *text, size_t length)
{
    keep(progress, text, length);
}

void progress_table(struct progress *progress, const char *text, size_t length)
{
    for (size_t i = 0; i < length && progress->tables.length < PROGRESS_TABLE_MOST; i++) {
        const char c = safe(text[i]);
        if (text[i] != '\r')
            buffer_add(&progress->tables, &c, 1);
    }
}

void progress_report(struct progress *progress, const char *text, size_t length)
{
    if (progress->line_length > 0)
        show(progress, "\n", 1);
    show(progress, text, length);
    keep(progress, text, length);
}

void progress_end(struct progress *progress)
{
    if (progress->line_length > 0)
        show(progress, "\n", 1);
    clear_line(progress);
    progress->id[0] = '\0';
}

bool progress_write_tables(struct progress *progress, const char *path)
{
    const int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    const bool written = fd >= 0 && write_all(fd, progress->tables.bytes, progress->tables.length);
    if (!written)
        complain_write(path);
    if (fd >= 0)
        close(fd);
    return written;
}
