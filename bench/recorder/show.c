// SPDX-License-Identifier: MIT
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "capture.h"
#include "commands.h"
#include "wire.h"

struct show {
    struct wire_decoder decoder;
    struct buffer results; // of the boot, appended in the order they came
};

static void print_text(const char *indent, const void *text, size_t length)
{
    char clean[2048];
    const char *at = text, *end = at + length;
    while (at < end) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        const char *stop = newline != NULL ? newline : end;
        text_clean(clean, sizeof(clean), at, (size_t)(stop - at));
        printf("%s%s\n", indent, clean);
        at = newline != NULL ? newline + 1 : end;
    }
}

// ---- records -----------------------------------------------------------------------------------

// What the fields of a record are, in the notation of record.h: n, z, s (names and texts alike).
struct record_form {
    const char *name;
    const char *fields;
};

static const struct record_form forms[] = {
    [RECORD_FACT] = {"fact", "ss"},
    [RECORD_PLAN] = {"plan", "nnnn"},
    [RECORD_PLAN_ROW] = {"plan row", "nsnnssnnnn"},
    [RECORD_BEGIN] = {"begin", "nsnnn"},
    [RECORD_SAMPLES] = {"samples", "nnnzzn"},
    [RECORD_COUNTER] = {"counter", "nsnns"},
    [RECORD_FINISH] = {"finish", "nns"},
    [RECORD_OUTLIER] = {"outlier", "nsnnnzznnn"},
};

static void print_fields(struct record_reader *reader, const char *fields)
{
    char text[RECORD_TEXT_MOST + 1];
    for (; *fields != '\0' && !reader->failed; fields++) {
        if (*fields == 's') {
            record_get_text(reader, text, RECORD_TEXT_MOST, false);
            printf(" '%s'", text);
        } else if (*fields == 'z') {
            printf(" %" PRId64, record_get_i64(reader));
        } else {
            printf(" %" PRIu64, record_get_u64(reader));
        }
    }
    printf("%s\n", reader->failed ? " (cannot be read)" : "");
}

static void print_record(uint8_t type, const uint8_t *payload, size_t length)
{
    struct record_reader reader;
    record_reader_init(&reader, payload, length);
    if (type >= sizeof(forms) / sizeof(forms[0]) || forms[type].name == NULL) {
        printf("    record of type %u, %zu bytes\n", type, length);
        return;
    }
    printf("    %s", forms[type].name);
    print_fields(&reader, forms[type].fields);
}

// The records that are whole; a gap in the stream ends what can be read.
static void print_records(struct show *show)
{
    size_t at = 0;
    while (show->results.length - at >= RECORD_HEADER_BYTES) {
        const uint8_t *record = show->results.bytes + at;
        const size_t length = (size_t)record[1] | (size_t)record[2] << 8;
        if (show->results.length - at < RECORD_HEADER_BYTES + length)
            break;
        print_record(record[0], record + RECORD_HEADER_BYTES, length);
        at += RECORD_HEADER_BYTES + length;
    }
    if (at < show->results.length)
        memmove(show->results.bytes, show->results.bytes + at, show->results.length - at);
    show->results.length -= at;
}

// ---- frames ------------------------------------------------------------------------------------

static void take_frame(void *context, const struct wire_header *header, const uint8_t *payload)
{
    static const char *const types[] = {
        [WIRE_HELLO] = "hello",
        [WIRE_END] = "end",
        [WIRE_PANIC] = "panic",
        [WIRE_STACK] = "stack",
        [WIRE_REFUSED] = "refused",
        [WIRE_DATA] = "data",
        [WIRE_TEXT] = "text",
        [WIRE_TABLE] = "table",
        [WIRE_ACK] = "ack",
        [WIRE_RESEND] = "resend",
        [WIRE_CALL] = "call",
        [WIRE_SPEED] = "speed",
        [WIRE_SPEED_TAKEN] = "speed taken",
        [WIRE_PROBE] = "probe",
        [WIRE_PROBED] = "probed",
        [WIRE_START] = "start",
        [WIRE_STARTED] = "started",
    };
    struct show *show = context;
    const bool known =
        header->type < sizeof(types) / sizeof(types[0]) && types[header->type] != NULL;
    printf("  frame %s channel %u session %u sequence %u offset %u length %u\n",
           known ? types[header->type] : "of unknown type", header->channel, header->session,
           header->sequence, header->offset, header->length);
    if (header->channel == WIRE_LOG || header->type == WIRE_REFUSED)
        print_text("    | ", payload, header->length);
    if (header->channel == WIRE_RESULTS && header->type == WIRE_DATA) {
        buffer_add(&show->results, payload, header->length);
        print_records(show);
    }
}

static void take_noise(void *context, const char *text, size_t length)
{
    (void)context;
    print_text("  noise | ", text, length);
}

// ---- chunks ------------------------------------------------------------------------------------

static uint32_t get_u32(const uint8_t *at)
{
    return at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

static void print_chunk(struct show *show, const struct capture_chunk *chunk)
{
    const struct wire_sink sink = {show, take_frame, take_noise};
    switch (chunk->type) {
    case CAPTURE_BEGIN:
        printf("begin\n");
        print_text("  ", chunk->payload, chunk->length);
        break;
    case CAPTURE_BOOT:
        show->results.length = 0;
        wire_decoder_init(&show->decoder, sink);
        if (chunk->length >= 8) {
            printf("boot %u session %u\n", get_u32(chunk->payload), get_u32(chunk->payload + 4));
            print_text("  ", chunk->payload + 8, chunk->length - 8);
        }
        break;
    case CAPTURE_AGAIN:
        show->results.length = 0;
        if (chunk->length >= 4)
            printf("again: session %u\n", get_u32(chunk->payload));
        break;
    case CAPTURE_LINE:
        wire_decode(&show->decoder, chunk->payload, chunk->length);
        break;
    case CAPTURE_NOTE:
        print_text("  note | ", chunk->payload, chunk->length);
        break;
    case CAPTURE_ENDED:
        wire_decoder_finish(&show->decoder);
        printf("ended: %s\n", chunk->length > 0 && chunk->payload[0] < OUTCOMES
                                  ? outcome_names[chunk->payload[0]]
                                  : "outcome out of range");
        if (chunk->length > 1)
            print_text("  ", chunk->payload + 1, chunk->length - 1);
        break;
    case CAPTURE_END:
        break;
    }
}

int show_command(const char *path)
{
    struct capture_reader reader;
    struct capture_chunk chunk;
    enum capture_status status;
    if (!capture_open(&reader, path)) {
        complain("cannot read %s: %s", path, strerror(errno));
        return EXIT_USAGE;
    }
    struct show *show = memory_get(sizeof(*show));
    wire_decoder_init(&show->decoder, (struct wire_sink){show, take_frame, take_noise});
    while ((status = capture_read(&reader, &chunk)) == CAPTURE_CHUNK)
        print_chunk(show, &chunk);
    if (status == CAPTURE_WHOLE)
        printf("end: whole, %" PRIu64 " bytes\n", reader.bytes);
    else
        complain("%s: %s at byte %" PRIu64, path, status == CAPTURE_TRUNCATED ? "ends" : "damaged",
                 reader.bytes);
    buffer_free(&show->results);
    free(show);
    capture_reader_close(&reader);
    return status == CAPTURE_WHOLE ? EXIT_COMPLETE : EXIT_HARNESS;
}
