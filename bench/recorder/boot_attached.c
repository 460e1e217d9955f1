// SPDX-License-Identifier: MIT
// The part of a boot that a machine at a serial port makes: news of the port, machines that start
// again.
#include "boot_parts.h"
#include "verdict.h"

#define LOOK_MS 10000 // for a machine that may be starting again

static void tell_news(struct boot *boot)
{
    struct buffer *news = &boot->attached->news;
    if (news->length == 0)
        return;
    progress_wait(boot->progress, "");
    boot_report(boot, news);
}

// What the machine had said before it started by itself counts no more.
static void begin_again(struct boot *boot)
{
    uint8_t chunk[4];
    struct session_expect expect = boot->session->expect;
    char at[RECORD_NAME_MOST + 16];
    boot->restarts++;
    buffer_print(&boot->attached->news, "the machine started again%s: measuring anew (%u of %u)\n",
                 verdict_during(boot->session, at, sizeof(at)), boot->restarts,
                 boot->request->restarts);
    expect.session = (expect.session * 0x9e3779b1u + boot->restarts) | 1;
    meet_put_u32(chunk, expect.session);
    boot_flush_line(boot);
    boot->failed = boot->failed || !capture_add(boot->capture, CAPTURE_AGAIN, chunk, sizeof(chunk));
    session_free(boot->session);
    boot_open_session(boot, &expect);
}

bool boot_may_start_again(struct boot *boot, bool late, const char *why)
{
    struct buffer *news = &boot->attached->news;
    char at[RECORD_NAME_MOST + 16];
    const int64_t now = now_ms();
    if (late && boot->late == 0 && boot->request->reset_seconds > 0)
        buffer_print(news, "%s%s: it may be starting again, waiting %u s for it\n", why,
                     verdict_during(boot->session, at, sizeof(at)), boot->request->reset_seconds);
    if (!late)
        boot->late = 0;
    else if (boot->late == 0 || now - boot->looked > LOOK_MS) {
        boot->late = boot->late == 0 ? now : boot->late;
        boot->looked = now;
        attached_look_again(boot->attached);
    }
    return late && now - boot->started <= (int64_t)boot->request->boot_seconds * 1000 &&
           now - boot->late < (int64_t)boot->request->reset_seconds * 1000;
}

bool boot_turn_attached(struct boot *boot)
{
    struct attached *attached = boot->attached;
    char text[256];
    const int64_t now = now_ms();
    const enum attached_news news = attached_turn(attached, &boot->wait_ms);
    bool decided = false;
    if (session_state(boot->session) == SESSION_ENDED) {
        attached->news.length = 0; // all is here: whatever becomes of the machine or the port
        return false;
    }
    if (news == ATTACHED_BACK)
        boot->moved = boot->informed = boot->case_began = boot->end_heard = now;
    if (news == ATTACHED_BACK && attached->called != 0)
        attached->called = now;
    if (news == ATTACHED_GONE) {
        verdict_set(boot->result, OUTCOME_DIED, "%.200s was gone for more than %u s",
                    boot->request->port, boot->request->gone_seconds);
        decided = true;
    } else if (news == ATTACHED_AGAIN) {
        decided = boot->restarts == boot->request->restarts;
        if (decided)
            verdict_set(boot->result, OUTCOME_DIED, "the machine started again%s",
                        verdict_during(boot->session, text, sizeof(text)));
        else
            begin_again(boot);
    }
    tell_news(boot);
    if (attached->called == 0)
        boot->started = now;
    if (attached->called == 0 || attached->gone != 0) {
        attached_describe(attached, boot->progress->terminal, text, sizeof(text));
        progress_wait(boot->progress, text);
    }
    return decided;
}
