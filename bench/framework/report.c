// SPDX-License-Identifier: MIT
#include "report.h"

#include <stdarg.h>

#include "answer.h"
#include "assert.h"
#include "compiler.h"
#include "cpu.h"
#include "format.h"
#include "platform.h"
#include "sort.h"
#include "string.h"

#define BUILD_ID_MOST 64u
#define LINE_MOST     512u

static bool framed(const struct report *report)
{
    return report->options->output == OUTPUT_FRAMED;
}

// ---- text ---------------------------------------------------------------------------------------

static void text_line(struct report *report, enum wire_type type, const char *text)
{
    if (framed(report)) {
        wire_send(&report->sender, WIRE_LOG, type, text, string_length(text, LINE_MOST));
        return;
    }
    platform_line_write(text, string_length(text, LINE_MOST));
}

void report_log(struct report *report, const char *how, ...)
{
    char line[LINE_MOST];
    size_t length = framed(report) ? 0 : format(line, sizeof(line), "# ");
    va_list arguments;
    va_start(arguments, how);
    length += format_list(line + length, sizeof(line) - length - 1, how, arguments);
    va_end(arguments);
    format(line + length, sizeof(line) - length, "\n");
    text_line(report, WIRE_TEXT, line);
}

static void send_stream(struct report *report)
{
    const size_t length = report->stream.length - report->sent;
    if (framed(report) && length > 0)
        wire_send(&report->sender, WIRE_RESULTS, WIRE_DATA, report->stream.bytes + report->sent,
                  length);
    report->sent = report->stream.length;
}

static void close_record(struct report *report)
{
    record_close(&report->stream);
    if (report->stream.failed)
        platform_panic("the results do not fit into their memory", __FILE__, __LINE__);
}

// ---- opening ------------------------------------------------------------------------------------

void report_hello(struct report *report)
{
    uint8_t payload[256], id[BUILD_ID_MOST];
    struct record_writer hello;
    const size_t id_length = platform_build_id(id, sizeof(id));
    record_writer_init(&hello, payload, sizeof(payload));
    record_put_u64(&hello, 1);
    record_put_bytes(&hello, id, id_length);
    record_put_u64(&hello, report->clock->class);
    record_put_u64(&hello, report->clock->hz);
    record_put_u64(&hello, report->options->boot);
    record_put_text(&hello, "x86_64");
    wire_send(&report->sender, WIRE_CONTROL, WIRE_HELLO, payload, hello.length);
}

void report_open(struct report *report, const struct options *options, const struct clock *clock,
                 void *memory, size_t length)
{
    *report = (struct report){.options = options, .clock = clock};
    wire_sender_init(&report->sender, options->session, platform_line_write);
    const size_t lines = align_up(RECORD_ROWS_MOST * sizeof(struct table_line), PAGE_SIZE);
    assert(lines < length);
    report->lines = memory;
    record_writer_init(&report->stream, (uint8_t *)memory + lines, length - lines);
    listen_init(&report->listener, options->session);
    if (framed(report))
        report_hello(report);
}

void report_refuse(struct report *report, const char *why)
{
    if (framed(report)) {
        for (unsigned copy = 0; copy < WIRE_COPIES; copy++)
            wire_send(&report->sender, WIRE_CONTROL, WIRE_REFUSED, why, string_length(why, 1024));
        return;
    }
    platform_line_write("Bail out! ", 10);
    platform_line_write(why, string_length(why, 1024));
    platform_line_write("\n", 1);
}

void report_fact(struct report *report, const char *key, const char *value)
{
    record_open(&report->stream, RECORD_FACT);
    record_put_text(&report->stream, key);
    record_put_text(&report->stream, value);
    close_record(report);
    if (!framed(report))
        report_log(report, "%s: %s", key, value);
}

static void fact_number(struct report *report, const char *key, uint64_t value)
{
    char text[24];
    format(text, sizeof(text), "%lu", value);
    report_fact(report, key, text);
}

static void describe(void *context, const char *key, const char *value)
{
    report_fact(context, key, value);
}

void report_facts(struct report *report)
{
    const struct clock *clock = report->clock;
    char brand[64];
    cpu_brand(brand, sizeof(brand));
    report_fact(report, "cpu.brand", brand[0] != '\0' ? brand : "unknown");
    format(brand, sizeof(brand), "0x%08x", cpu_signature());
    report_fact(report, "cpu.signature", brand);
    report_fact(report, "cpu.hypervisor", cpu_under_hypervisor() ? "yes" : "no");
    report_fact(report, "clock.class", clock_class_name(clock->class));
    report_fact(report, "clock.window_stop", clock->ordered_stop ? "rdtscp" : "lfence;rdtsc");
    fact_number(report, "clock.hz", clock->hz);
    fact_number(report, "clock.hz_measured", clock->hz_measured);
    fact_number(report, "clock.pair_min", clock->pair_min);
    fact_number(report, "clock.pair_max", clock->pair_max);
    fact_number(report, "clock.step", clock->step);
    fact_number(report, "clock.pairs_negative", clock->negative);
    if (clock->class == PLATFORM_CLOCK_INSN)
        fact_number(report, "clock.100_instructions", clock->straight);
    fact_number(report, "options.seed", report->options->seed);
    report_fact(report, "options.size", report->options->full ? "full" : "quick");
    platform_describe(describe, report);
}

// ---- plan, rounds, rows -------------------------------------------------------------------------

void report_plan(struct report *report, uint32_t rows, uint32_t cases, uint64_t bytes_most)
{
    report->rows_planned = rows;
    record_open(&report->stream, RECORD_PLAN);
    record_put_u64(&report->stream, rows);
    record_put_u64(&report->stream, cases);
    record_put_u64(&report->stream, bytes_most);
    record_put_u64(&report->stream, report->options->boot);
    close_record(report);
    // A line of 115 200 baud carries 11 520 bytes a second.
    report_log(
        report, "plan: %u row%s in %u case%s, at most %lu bytes of results (%lu s at 115200)", rows,
        rows == 1 ? "" : "s", cases, cases == 1 ? "" : "s", bytes_most, bytes_most / 11520 + 1);
    if (!framed(report)) {
        char line[32];
        format(line, sizeof(line), "1..%u\n", rows);
        text_line(report, WIRE_TEXT, line);
    }
}

void report_plan_row(struct report *report, const struct row *row, uint64_t rounds,
                     uint64_t samples)
{
    char id[RECORD_NAME_MOST + 1];
    bench_row_id(row->suite, row->bench_case, row->variant, id);
    record_open(&report->stream, RECORD_PLAN_ROW);
    record_put_u64(&report->stream, row->index);
    record_put_text(&report->stream, id);
    record_put_u64(&report->stream, row->aa);
    record_put_u64(&report->stream, row->variant->about->role);
    record_put_text(&report->stream, row->bench_case->what);
    record_put_text(&report->stream, clock_unit(report->clock->class));
    record_put_u64(&report->stream, row->definition);
    record_put_u64(&report->stream, row->bench_case->operations);
    record_put_u64(&report->stream, rounds);
    record_put_u64(&report->stream, samples);
    close_record(report);
}

void report_begin(struct report *report, uint32_t number, const char *id, uint32_t first_row,
                  uint32_t rows, uint32_t seconds)
{
    record_open(&report->stream, RECORD_BEGIN);
    record_put_u64(&report->stream, number);
    record_put_text(&report->stream, id);
    record_put_u64(&report->stream, first_row);
    record_put_u64(&report->stream, rows);
    record_put_u64(&report->stream, seconds);
    close_record(report);
    send_stream(report);
}

void report_round(struct report *report, const struct row *row, const struct round *round)
{
    struct record_writer *stream = &report->stream;
    record_open(stream, RECORD_SAMPLES);
    record_put_u64(stream, row->index);
    record_put_u64(stream, round->number);
    record_put_u64(stream, round->operations);
    record_put_i64(stream, round->overhead);
    record_put_i64(stream, round->cold);
    record_put_u64(stream, round->count);
    record_put_samples(stream, round->samples, round->count);
    record_put_samples(stream, round->tags, round->count);
    close_record(report);
}

void report_counter(struct report *report, const struct row *row, const char *name,
                    uint64_t numerator, uint64_t denominator, const char *unit)
{
    record_open(&report->stream, RECORD_COUNTER);
    record_put_u64(&report->stream, row->index);
    record_put_text(&report->stream, name);
    record_put_u64(&report->stream, numerator);
    record_put_u64(&report->stream, denominator);
    record_put_text(&report->stream, unit);
    close_record(report);
}

void report_outlier(struct report *report, const struct row *row, const struct outlier *outlier)
{
    struct record_writer *stream = &report->stream;
    record_open(stream, RECORD_OUTLIER);
    record_put_u64(stream, row->index);
    record_put_text(stream, outlier->name);
    record_put_u64(stream, outlier->window);
    record_put_u64(stream, outlier->windows);
    record_put_u64(stream, outlier->operations);
    record_put_i64(stream, outlier->sample);
    record_put_i64(stream, outlier->least);
    record_put_u64(stream, outlier->tags);
    record_put_u64(stream, outlier->begin_ns);
    record_put_u64(stream, outlier->end_ns);
    close_record(report);
    send_stream(report);
}

static const char *status_word(enum record_row_status status)
{
    static const char *const words[] = {
        [RECORD_ROW_OK] = "ok",
        [RECORD_ROW_CHECKSUM] = "checksum wrong",
        [RECORD_ROW_DELETED] = "work deleted",
        [RECORD_ROW_UNSTEADY] = "not deterministic",
        [RECORD_ROW_FAILED] = "failed",
    };
    return words[status];
}

// `# bench ID UNIT VALUE ;` for machines, `ok` for KTAP, the table's line for people.
static void finish_text(struct report *report, const struct row *row, const struct table_line *line)
{
    char id[RECORD_NAME_MOST + 4], text[LINE_MOST];
    bench_row_id(row->suite, row->bench_case, row->variant, id);
    if (row->aa)
        format(id + string_length(id, sizeof(id)), 4, "#aa");
    const bool good = row->status == RECORD_ROW_OK;
    if (good)
        table_format(line, id, clock_unit(report->clock->class), text, sizeof(text));
    else
        format(text, sizeof(text), "%s: %s %s\n", id, status_word(row->status), row->detail);
    if (framed(report)) {
        text_line(report, WIRE_TABLE, text);
        return;
    }
    char data[160], value[24];
    if (good) {
        table_value(line->p50, line->operations, value, sizeof(value));
        format(data, sizeof(data), "# bench %s %s %s ;\n", id, clock_unit(report->clock->class),
               value);
        text_line(report, WIRE_TEXT, data);
        text_line(report, WIRE_TEXT, "# ");
        text_line(report, WIRE_TEXT, text);
    }
    format(data, sizeof(data), "%s %u - %s%s%s\n", good ? "ok" : "not ok", report->rows_finished,
           id, good ? "" : " # ", good ? "" : status_word(row->status));
    text_line(report, WIRE_TEXT, data);
}

void report_finish(struct report *report, const struct row *row, int64_t *samples,
                   const uint8_t *tags, size_t count, int64_t cold)
{
    struct table_line line = {0};
    report->rows_finished++;
    report->rows_failed += row->status != RECORD_ROW_OK;
    record_open(&report->stream, RECORD_FINISH);
    record_put_u64(&report->stream, row->index);
    record_put_u64(&report->stream, row->status);
    record_put_text(&report->stream, row->detail);
    close_record(report);
    if (count > 0)
        table_summarise(samples, tags, count, cold, row->operations, &line);
    assert(row->index < RECORD_ROWS_MOST);
    report->lines[row->index] = line;
    if (report->rows_finished == 1) {
        char header[LINE_MOST];
        table_header(clock_unit(report->clock->class), header, sizeof(header));
        if (!framed(report))
            text_line(report, WIRE_TEXT, "# ");
        text_line(report, WIRE_TABLE, header);
    }
    finish_text(report, row, &line);
    send_stream(report);
}

void report_trace(struct report *report, const void *packets, size_t length)
{
    const uint8_t *bytes = packets;
    const size_t first = min_u64(length, WIRE_PAYLOAD_MOST);
    wire_send(&report->sender, WIRE_TRACE, WIRE_PACKETS, bytes, first);
    if (length > first)
        wire_send(&report->sender, WIRE_TRACE, WIRE_PACKETS_MORE, bytes + first, length - first);
}

void report_end_again(struct report *report)
{
    uint8_t payload[256];
    struct record_writer end;
    record_writer_init(&end, payload, sizeof(payload));
    record_put_u64(&end, report->success);
    record_put_u64(&end, report->stream.length);
    record_put_u64(&end, report->results_crc);
    record_put_u64(&end, report->results_hash);
    for (unsigned i = 0; i < WIRE_CHANNELS; i++) {
        record_put_u64(&end, report->sender.sequence[i]);
        record_put_u64(&end, report->sender.offset[i]);
        record_put_u64(&end, report->sender.dropped[i]);
    }
    wire_send(&report->sender, WIRE_CONTROL, WIRE_END, payload, end.length);
}

void report_end(struct report *report, bool success)
{
    send_stream(report);
    report->ended = true;
    report->success = success;
    report->results_crc = wire_crc32c(0, report->stream.bytes, report->stream.length);
    report->results_hash =
        record_hash(RECORD_HASH_START, report->stream.bytes, report->stream.length);
    if (!framed(report)) {
        text_line(report, WIRE_TEXT, success ? "# bench-end\n" : "# bench-end with failures\n");
        return;
    }
    report_end_again(report);
    answer_until_whole(report);
}
