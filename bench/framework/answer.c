// SPDX-License-Identifier: MIT
#include "answer.h"

#include "compiler.h"
#include "cpu.h"
#include "platform.h"

static void answer_range(struct report *report, struct listen_range range, size_t *budget)
{
    if (range.offset >= report->sent)
        return;
    const size_t length = min_u64(min_u64(range.length, report->sent - range.offset), *budget);
    if (length == 0)
        return;
    wire_send_again(&report->sender, WIRE_RESULTS, WIRE_DATA, range.offset,
                    report->stream.bytes + range.offset, length);
    // A byte costs a frame: many small requests are no way around the bound.
    const size_t frames = (length + WIRE_PAYLOAD_MOST - 1) / WIRE_PAYLOAD_MOST;
    *budget -= min_u64(frames * WIRE_PAYLOAD_MOST, *budget);
}

// Returns how many bytes were heard.
static size_t answer(struct report *report, size_t *budget)
{
    struct listener *listener = &report->listener;
    const size_t heard = listen_now(listener);
    if (listener->control_asked && *budget > 0) {
        report_hello(report);
        if (report->ended)
            report_end_again(report);
        *budget -= min_u64(WIRE_PAYLOAD_MOST, *budget);
    }
    for (uint32_t i = 0; i < listener->range_count; i++)
        answer_range(report, listener->ranges[i], budget);
    listener->control_asked = false;
    listener->range_count = 0;
    return heard;
}

void answer_between(struct report *report)
{
    size_t budget = ANSWER_BYTES_BETWEEN;
    if (report->options->output == OUTPUT_FRAMED)
        answer(report, &budget);
}

// One try. True once the host has everything.
static bool is_whole_soon(struct report *report)
{
    const uint64_t start = platform_clock_ns();
    size_t budget = ANSWER_BYTES_A_TRY;
    for (size_t looks = 0;;) {
        looks += 1 + answer(report, &budget);
        if (report->listener.whole >= report->stream.length)
            return true;
        if (start != 0 ? platform_clock_ns() - start > ANSWER_TRY_NS : looks > ANSWER_TRY_LOOKS)
            return false;
        cpu_pause();
    }
}

static void send_copy(struct report *report)
{
    report_hello(report);
    wire_send_again(&report->sender, WIRE_RESULTS, WIRE_DATA, 0, report->stream.bytes,
                    report->stream.length);
    report_end_again(report);
}

void answer_until_whole(struct report *report)
{
    uint32_t heard = report->listener.heard;
    unsigned copies = 1, silent = 0;
    // Unplugged for a moment, it is not gone.
    const unsigned longer = report->options->linger * ANSWER_TRIES_A_SECOND;
    if (report->options->output != OUTPUT_FRAMED)
        return;
    for (unsigned tries = 0; tries < ANSWER_TRIES + longer && !is_whole_soon(report); tries++) {
        const bool way_back = report->listener.heard > 0;
        silent = report->listener.heard != heard ? 0 : silent + 1;
        heard = report->listener.heard;
        if (silent < (way_back || longer > 0 ? ANSWER_SILENT + longer : ANSWER_ONE_WAY)) {
            report_end_again(report);
            continue;
        }
        if (way_back || longer > 0 || copies == WIRE_COPIES)
            return;
        send_copy(report);
        copies++;
    }
}
