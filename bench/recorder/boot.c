// SPDX-License-Identifier: MIT
#include "boot_parts.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "verdict.h"

#define TICK_MS      250
#define PANIC_MS     3000  // for the stack to come and the target to end by itself
#define END_MS       5000  // for the target to end by itself, from its last END on
#define ENDS_MS      30000 // likewise, however often it says END
#define GAP_MS       10000 // for more of what is missing to come
#define QUIET_MS     700 // without another END, of a machine at a port: it has heard that all came
#define HELLO_MS     300000 // from the last time a machine at a port called
#define FLUSH_BYTES  32768u
#define OUTPUT_MOST  (16u << 20)
#define READS_A_TURN 64u // of the target's own output

// ---- what comes --------------------------------------------------------------------------------

// A serial line hands over a few bytes at a time; a chunk for each would be mostly headers.
void boot_flush_line(struct boot *boot)
{
    if (boot->gathered.length > 0 && !boot->failed)
        boot->failed =
            !capture_add(boot->capture, CAPTURE_LINE, boot->gathered.bytes, boot->gathered.length);
    boot->gathered.length = 0;
    boot->flushed = now_ms();
}

static void note(struct boot *boot, const void *text, size_t length)
{
    const uint8_t *at = text;
    boot_flush_line(boot);
    while (length > 0 && !boot->failed) {
        const size_t piece = length < CAPTURE_PAYLOAD_MOST ? length : CAPTURE_PAYLOAD_MOST;
        boot->failed = !capture_add(boot->capture, CAPTURE_NOTE, at, piece);
        at += piece;
        length -= piece;
    }
}

static void take_text(void *context, enum session_text kind, const char *text, size_t length)
{
    struct boot *boot = context;
    if (kind == SESSION_LOG)
        progress_log(boot->progress, text, length);
    else if (kind == SESSION_TABLE)
        progress_table(boot->progress, text, length);
    else
        progress_noise(boot->progress, text, length);
}

static void remember_lines(struct boot *boot, const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        if (text[i] != '\n') {
            if (boot->output_length < sizeof(boot->output_line) - 1)
                boot->output_line[boot->output_length++] = text[i];
            continue;
        }
        if (boot->output_length > 0)
            text_clean(boot->last_output, sizeof(boot->last_output), boot->output_line,
                       boot->output_length);
        boot->output_length = 0;
    }
}

// What the process prints itself: kept, and quoted when it does not start.
static void read_output(struct boot *boot)
{
    char bytes[4096];
    ssize_t got = -1;
    // Bounded: who writes without end must not keep the deadlines from being looked at.
    for (unsigned turn = 0; turn < READS_A_TURN; turn++) {
        got = read(boot->process.output, bytes, sizeof(bytes));
        if (got <= 0)
            break;
        boot->output_bytes += (uint64_t)got;
        if (boot->output_bytes > OUTPUT_MOST)
            continue;
        remember_lines(boot, bytes, (size_t)got);
        progress_noise(boot->progress, bytes, (size_t)got);
        note(boot, bytes, (size_t)got);
    }
    if (got == 0) {
        close(boot->process.output);
        boot->process.output = -1;
    }
}

static void follow_cases(struct boot *boot)
{
    const struct results *results = &boot->session->results;
    if (results->cases_begun != boot->cases_seen) {
        boot->cases_seen = results->cases_begun;
        boot->case_began = now_ms();
        progress_case_done(boot->progress);
        progress_case(boot->progress, results->case_id, results->cases_begun, results->plan_cases);
    }
    if (results->case_rows == 0)
        progress_case_done(boot->progress);
}

// Our end of the line; -1: it is not there.
static int line_of(const struct boot *boot)
{
    if (boot->attached != NULL)
        return boot->attached->port.fd;
    return boot->line_open ? boot->process.line : -1;
}

static void lose_line(struct boot *boot)
{
    if (boot->attached != NULL)
        attached_lost(boot->attached);
    else
        boot->line_open = false;
}

// At most `pieces` reads, so that a target that never stops sending does not keep the watchdog from
// looking.
static void read_line(struct boot *boot, unsigned pieces)
{
    static uint8_t bytes[65536];
    while (pieces-- > 0 && line_of(boot) >= 0 && !boot->failed && !boot->overlong) {
        const ssize_t got = read(line_of(boot), bytes, sizeof(bytes));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0 && errno == EAGAIN)
            return;
        if (got <= 0) {
            lose_line(boot);
            return;
        }
        boot->line_bytes += (uint64_t)got;
        boot->overlong = boot->line_bytes > (uint64_t)boot->request->line_mib << 20;
        buffer_add(&boot->gathered, bytes, (size_t)got);
        if (boot->gathered.length >= FLUSH_BYTES)
            boot_flush_line(boot);
        if (boot->attached != NULL)
            attached_bytes(boot->attached, bytes, (size_t)got);
        session_feed(boot->session, bytes, (size_t)got);
        follow_cases(boot);
        // Only what was said in answer can have changed what comes next.
        if (boot->attached != NULL && boot->attached->meeting.again)
            return;
    }
}

static void read_signals(struct boot *boot)
{
    struct signalfd_siginfo info;
    while (read(boot->signals, &info, sizeof(info)) == sizeof(info)) {
        if (info.ssi_signo != SIGCHLD)
            boot->result->signal = (int)info.ssi_signo;
    }
}

static void wait_for_news(struct boot *boot)
{
    struct pollfd fds[] = {
        {.fd = line_of(boot), .events = POLLIN},
        {.fd = boot->process.output, .events = POLLIN},
        {.fd = boot->qmp.fd, .events = POLLIN},
        {.fd = boot->signals, .events = POLLIN},
    };
    poll(fds, sizeof(fds) / sizeof(fds[0]), boot->wait_ms);
    read_signals(boot);
    process_poll(&boot->process);
    // A process that is gone sends no more: then everything is read that there is.
    read_line(boot, boot->process.ended ? UINT32_MAX : 16);
    if (boot->process.output >= 0)
        read_output(boot);
    qmp_poll(&boot->qmp);
    if (now_ms() - boot->flushed >= TICK_MS)
        boot_flush_line(boot);
    progress_tick(boot->progress);
    boot->failed = boot->failed || boot->progress->failed;
}

// ---- deadlines ---------------------------------------------------------------------------------

static struct verdict_evidence evidence(const struct boot *boot)
{
    return (struct verdict_evidence){.session = boot->session,
                                     .process = boot->attached == NULL ? &boot->process : NULL,
                                     .last_output = boot->last_output,
                                     .success_exit = boot->request->success_exit};
}

void boot_report(struct boot *boot, struct buffer *text)
{
    progress_report(boot->progress, (char *)text->bytes, text->length);
    note(boot, text->bytes, text->length);
    buffer_free(text);
}

static bool find_state(struct boot *boot, struct machine_state *state)
{
    if (boot->qmp.fd >= 0)
        return qmp_state(&boot->qmp, state);
    return boot->attached == NULL && boot->process.qmp < 0 &&
           process_state(&boot->process, boot->request->image, state);
}

static void hang(struct boot *boot, const char *why)
{
    const struct verdict_evidence known = evidence(boot);
    struct machine_state state;
    struct buffer text = {0};
    const bool found = find_state(boot, &state);
    verdict_hang(&known, boot->request->image, why, found ? &state : NULL, &text, boot->result);
    boot_report(boot, &text);
}

// A limit, but no longer than the patience asked for.
static int64_t limit(const struct boot *boot, int64_t ms)
{
    const int64_t idle = (int64_t)boot->request->idle_seconds * 1000;
    return idle < ms ? idle : ms;
}

static bool is_stuck_after_end(const struct boot *boot)
{
    return now_ms() - boot->end_heard > limit(boot, END_MS) || now_ms() - boot->concluded > ENDS_MS;
}

// A case may have ended, and the next begun, in what is missing: then it is the last news that
// counts.
static int64_t case_moved(const struct boot *boot)
{
    // At a port the results of long rows take long, too.
    if (boot->attached != NULL)
        return boot->moved > boot->case_began ? boot->moved : boot->case_began;
    const bool gap = boot->session->pending_count > 0;
    return gap && boot->informed > boot->case_began ? boot->informed : boot->case_began;
}

// The deadline that is over, as a line; false if none is.
static bool is_late(struct boot *boot, enum session_state state, char *why, size_t capacity)
{
    const struct request *request = boot->request;
    const struct results *results = &boot->session->results;
    const int64_t now = now_ms();
    why[0] = '\0';
    if (now - boot->started > (int64_t)request->boot_seconds * 1000)
        text_format(why, capacity, "the boot took longer than %u s", request->boot_seconds);
    else if (state == SESSION_ENDED && is_stuck_after_end(boot))
        text_format(why, capacity, "the target sent END and did not end");
    else if (state == SESSION_RUNNING && results->case_rows > 0 &&
             now - case_moved(boot) > (int64_t)results->case_seconds * 1000)
        text_format(why, capacity, "longer than the %u s announced", results->case_seconds);
    else if (state == SESSION_RUNNING && results->case_rows == 0 &&
             now - boot->moved > (int64_t)request->idle_seconds * 1000)
        text_format(why, capacity, "nothing for %u s, and no benchmark runs",
                    request->idle_seconds);
    return why[0] != '\0';
}

static bool start_is_late(struct boot *boot)
{
    const int64_t limit = (int64_t)boot->request->start_seconds * 1000;
    const struct attached *attached = boot->attached;
    const bool called = attached != NULL && attached->called != 0;
    const int64_t hello = (int64_t)boot->request->boot_seconds * 1000;
    if (called && now_ms() - attached->called <= HELLO_MS && now_ms() - boot->started <= hello)
        return false;
    if (!called && now_ms() - boot->waiting <= limit)
        return false;
    if (called)
        verdict_set(boot->result, OUTCOME_NO_START,
                    "the machine called, and no HELLO came in time");
    else
        verdict_set(boot->result, OUTCOME_NO_START, "no HELLO within %u s%s%s",
                    boot->request->start_seconds,
                    boot->session->foreign > 0 ? "; frames of another session came" : "",
                    boot->session->decoder.counts.damaged > 0 ? "; damaged frames came" : "");
    return true;
}

static bool gap_is_late(struct boot *boot, enum session_state state, const char *why)
{
    char missing[DETAIL_MOST];
    const bool after_end = state == SESSION_GAP && now_ms() - boot->informed > limit(boot, GAP_MS);
    // A case may have begun, or ended, in what is missing: it is the gap that is to blame.
    const bool during_run = why[0] != '\0' && boot->session->pending_count > 0;
    if (!after_end && !during_run)
        return false;
    session_describe_gap(boot->session, missing, sizeof(missing));
    verdict_set(boot->result, OUTCOME_DAMAGED, "%s", missing);
    return true;
}

static void panic(struct boot *boot)
{
    struct buffer text = {0};
    verdict_panic(boot->session, boot->request->image, &text, boot->result);
    boot_report(boot, &text);
}

static void machine_stopped(struct boot *boot)
{
    const struct verdict_evidence known = evidence(boot);
    struct machine_state state;
    struct buffer text = {0};
    if (strcmp(boot->qmp.reason, "guest-reset") != 0) {
        verdict_set(boot->result, OUTCOME_DIED, "the machine shut down (%s) without END",
                    boot->qmp.reason);
        return;
    }
    const bool found = qmp_state(&boot->qmp, &state);
    verdict_triple_fault(&known, boot->request->image, found ? &state : NULL, &text, boot->result);
    boot_report(boot, &text);
}

// When what happened last.
static void note_times(struct boot *boot, enum session_state state)
{
    const struct session *session = boot->session;
    const bool concluded = state == SESSION_ENDED || state == SESSION_GAP || state == SESSION_PANIC;
    const uint64_t moved = session_progress(session), known = session_known(session);
    const int64_t now = now_ms();
    if (moved != boot->progress_seen)
        boot->moved = now;
    if (known != boot->known)
        boot->informed = now;
    if (session->ends != boot->ends)
        boot->end_heard = now;
    if (concluded && boot->concluded == 0)
        boot->concluded = now;
    boot->progress_seen = moved;
    boot->known = known;
    boot->ends = session->ends;
}

// ---- the outcome -------------------------------------------------------------------------------

// True if there is nothing to be judged now: the line is not there, or the end may still be heard.
static bool is_pending(const struct boot *boot, enum session_state state)
{
    if (boot->attached == NULL)
        return false;
    // What is whole does not need the line any more, and may be told of for ever.
    if (state == SESSION_ENDED)
        return now_ms() - boot->end_heard <= QUIET_MS &&
               now_ms() - boot->concluded <= limit(boot, ENDS_MS);
    return boot->attached->gone != 0;
}

static void answer(struct boot *boot)
{
    if (boot->attached != NULL) {
        boot->answers.speed = boot->attached->port.speed;
        if (boot->attached->menu_shown)
            boot->answers.heard = 0; // what spoke before does not speak any more
        boot->attached->menu_shown = false;
    }
    const int wait_ms =
        answers_give(&boot->answers, boot->session, line_of(boot), boot->line_bytes);
    if (boot->attached == NULL || wait_ms < boot->wait_ms)
        boot->wait_ms = wait_ms;
}

// True once the outcome is known.
static bool is_decided(struct boot *boot)
{
    char why[128];
    const enum session_state state = session_state(boot->session);
    note_times(boot, state);
    if (state == SESSION_PANIC && (boot->process.ended || now_ms() - boot->concluded > PANIC_MS)) {
        panic(boot);
        return true;
    }
    if (state == SESSION_PANIC)
        return false;
    if (boot->overlong) {
        verdict_set(boot->result, OUTCOME_DAMAGED, "more than %u MiB over the line",
                    boot->request->line_mib);
        return true;
    }
    if (boot->qmp.shut_down && state != SESSION_ENDED) {
        machine_stopped(boot);
        return true;
    }
    if (boot->process.ended || state == SESSION_DAMAGED || state == SESSION_STRANGER ||
        state == SESSION_REFUSED) {
        const struct verdict_evidence known = evidence(boot);
        verdict_at_exit(&known, boot->result);
        return true;
    }
    if (boot->attached != NULL && boot_turn_attached(boot))
        return true;
    answer(boot);
    if (is_pending(boot, state))
        return false;
    if (boot->attached != NULL && state == SESSION_ENDED) {
        const struct verdict_evidence known = evidence(boot);
        verdict_at_exit(&known, boot->result);
        return true;
    }
    if (state == SESSION_WAITING)
        return start_is_late(boot);
    const bool late = is_late(boot, state, why, sizeof(why));
    if (boot->attached != NULL && boot_may_start_again(boot, late, why))
        return false;
    if (gap_is_late(boot, state, why))
        return true;
    if (late)
        hang(boot, why);
    return late;
}

// ---- the boot ----------------------------------------------------------------------------------

static bool write_boot(struct boot *boot, const char *arguments)
{
    uint8_t header[8 + 8192];
    const uint32_t numbers[2] = {boot->index, boot->session->expect.session};
    const size_t length = strnlen(arguments, sizeof(header) - 8);
    for (unsigned i = 0; i < 8; i++)
        header[i] = (uint8_t)(numbers[i / 4] >> (8 * (i % 4)));
    memcpy(header + 8, arguments, length);
    return capture_add(boot->capture, CAPTURE_BOOT, header, 8 + length);
}

static bool write_ended(struct boot *boot)
{
    uint8_t chunk[1 + DETAIL_MOST];
    char detail[DETAIL_MOST];
    text_clean(detail, sizeof(detail), boot->result->detail, strlen(boot->result->detail));
    memcpy(boot->result->detail, detail, sizeof(detail));
    chunk[0] = (uint8_t)boot->result->outcome;
    memcpy(chunk + 1, detail, strlen(detail));
    return capture_add(boot->capture, CAPTURE_ENDED, chunk, 1 + strlen(detail));
}

static void take_meeting(void *context, const struct wire_header *header, const uint8_t *payload)
{
    struct boot *boot = context;
    if (boot->attached != NULL)
        attached_frame(boot->attached, header, payload);
}

static void take_sign_of_life(void *context)
{
    struct boot *boot = context;
    if (boot->attached != NULL)
        meeting_run_heard(&boot->attached->meeting);
}

void boot_open_session(struct boot *boot, const struct session_expect *expect)
{
    const struct session_listener listener = {boot, take_text, take_meeting, take_sign_of_life};
    session_init(boot->session, expect, listener);
    answers_init(&boot->answers);
    progress_boot(boot->progress, expect->boot);
    boot->cases_seen = boot->ends = 0;
    boot->progress_seen = boot->known = 0;
    boot->concluded = boot->end_heard = 0;
    boot->moved = boot->informed = boot->case_began = now_ms();
    if (boot->attached != NULL)
        attached_begin(boot->attached, expect->session, expect->boot);
}

static void watch(struct boot *boot)
{
    do {
        wait_for_news(boot);
    } while (!boot->failed && boot->result->signal == 0 && !is_decided(boot));
    boot_flush_line(boot);
}

static void run_process(struct boot *boot, const char *arguments)
{
    char why[DETAIL_MOST];
    if (!process_start(&boot->process, boot->request->command, arguments, why, sizeof(why))) {
        verdict_set(boot->result, OUTCOME_NO_START, "%s", why);
        return;
    }
    qmp_init(&boot->qmp, boot->process.qmp);
    watch(boot);
    process_end(&boot->process);
    qmp_free(&boot->qmp);
    session_finish(boot->session);
}

static void run_attached(struct boot *boot)
{
    char why[DETAIL_MOST];
    boot->process = (struct process){.line = -1, .qmp = -1, .output = -1};
    qmp_init(&boot->qmp, -1);
    if (attached_open(boot->attached, boot->request, why, sizeof(why))) {
        attached_begin(boot->attached, boot->session->expect.session, boot->index);
        watch(boot);
        session_finish(boot->session);
    } else {
        verdict_set(boot->result, OUTCOME_NO_START, "%s", why);
    }
    progress_wait(boot->progress, "");
    qmp_free(&boot->qmp);
    attached_close(boot->attached);
}

bool boot_run(const struct request *request, const struct session_expect *expect,
              const char *obstacle, int signals, struct capture *capture, struct progress *progress,
              struct boot_result *result)
{
    struct boot boot = {.request = request,
                        .index = expect->boot,
                        .signals = signals,
                        .capture = capture,
                        .progress = progress,
                        .result = result,
                        .line_open = true,
                        .wait_ms = TICK_MS,
                        .waiting = now_ms(),
                        .started = now_ms()};
    struct attached attached = {.request = request, .port = {.fd = -1}};
    char arguments[8192];
    *result = (struct boot_result){0};
    text_format(arguments, sizeof(arguments), "session=%u boot=%u output=framed%s%s",
                expect->session, expect->boot, request->arguments[0] != '\0' ? " " : "",
                request->arguments);
    boot.session = memory_get(sizeof(*boot.session));
    boot.attached = request->port != NULL ? &attached : NULL;
    boot_open_session(&boot, expect);
    boot.failed = !write_boot(&boot, arguments);
    if (obstacle != NULL)
        verdict_set(result, OUTCOME_NO_START, "%s", obstacle);
    else if (!boot.failed && boot.attached != NULL)
        run_attached(&boot);
    else if (!boot.failed)
        run_process(&boot, arguments);
    progress_end(progress);
    boot.failed = boot.failed || (result->signal == 0 && !write_ended(&boot));
    buffer_free(&boot.gathered);
    session_free(boot.session);
    free(boot.session);
    return !boot.failed;
}
