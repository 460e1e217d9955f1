// SPDX-License-Identifier: MIT
#include "trace_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "perfetto_fields.h"
#include "proto.h"

#define PATH_MOST         4096u
#define PACKET_BYTES      2048u
#define PACKET_TAG        0x0a
#define DROPPED_READ_GAP  2u
#define LENGTH_BYTES_MOST 5u // of a packet's length: below 2^35, and checked

// ---- frames ------------------------------------------------------------------------------------

void trace_frames_add(struct trace_frames *frames, const struct wire_header *header,
                      const uint8_t *payload)
{
    const struct trace_frame frame = {.offset = header->offset,
                                      .length = header->length,
                                      .at = frames->bytes.length,
                                      .first = header->type == WIRE_PACKETS};
    if (header->length == 0 || frames->count == TRACE_FRAMES_MOST ||
        frames->bytes.length + header->length > TRACE_FILE_MOST)
        return;
    if (frames->count == frames->capacity) {
        frames->capacity = frames->capacity == 0 ? 256 : 2 * frames->capacity;
        frames->frames = memory_resize(frames->frames, frames->capacity * sizeof(frame));
    }
    frames->frames[frames->count++] = frame;
    buffer_add(&frames->bytes, payload, header->length);
}

void trace_frames_free(struct trace_frames *frames)
{
    free(frames->frames);
    buffer_free(&frames->bytes);
    *frames = (struct trace_frames){0};
}

static int by_offset(const void *a_, const void *b_)
{
    const struct trace_frame *a = a_, *b = b_;
    if (a->offset != b->offset)
        return a->offset < b->offset ? -1 : 1;
    return a->at < b->at ? -1 : a->at > b->at;
}

// ---- the recorder's own packets ----------------------------------------------------------------

static size_t open_packet(struct proto *out)
{
    const size_t packet = proto_open(out, TRACE_PACKET, PACKET_WIDTH);
    proto_number(out, PACKET_SEQUENCE_ID, TRACE_FILE_SEQUENCE);
    return packet;
}

// What the target cannot know: of which run it is.
static void add_head(struct run *run)
{
    uint8_t bytes[PACKET_BYTES];
    char machine[2 * (RECORD_NAME_MOST + 1)];
    struct proto out = proto_into(bytes, sizeof(bytes));
    run_machine(run, machine);
    const size_t packet = open_packet(&out);
    proto_number(&out, PACKET_SEQUENCE_FLAGS, SEQUENCE_CLEARED);
    proto_number(&out, PACKET_FIRST_ON_SEQUENCE, 1);
    const size_t attributes = proto_open(&out, PACKET_ATTRIBUTES, PACKET_WIDTH);
    perfetto_put_attribute(&out, "run", run->run, 0);
    perfetto_put_attribute(&out, "machine", machine, 0);
    perfetto_put_attribute(&out, "utc", run->utc, 0);
    perfetto_put_attribute(&out, "commit", run->commit, 0);
    perfetto_put_attribute(&out, "commit_dirty", NULL, run->dirty);
    proto_close(&out, attributes, PACKET_WIDTH);
    proto_close(&out, packet, PACKET_WIDTH);
    buffer_add(&run->trace, bytes, out.length);
}

static void add_gap(struct run *run)
{
    uint8_t bytes[PACKET_BYTES];
    struct proto out = proto_into(bytes, sizeof(bytes));
    const size_t packet = open_packet(&out);
    proto_number(&out, PACKET_PREVIOUS_DROPPED, DROPPED_PRESENT | DROPPED_READ_GAP);
    proto_close(&out, packet, PACKET_WIDTH);
    buffer_add(&run->trace, bytes, out.length);
}

// Perfetto shows a loss only if statistics at the end name the sequence it happened on.
static void add_losses(struct run *run)
{
    uint8_t bytes[PACKET_BYTES];
    struct proto out = proto_into(bytes, sizeof(bytes));
    const size_t packet = open_packet(&out);
    const size_t stats = proto_open(&out, PACKET_TRACE_STATS, PACKET_WIDTH);
    const size_t writer = proto_open(&out, STATS_WRITER, PACKET_WIDTH);
    proto_number(&out, WRITER_SEQUENCE, TRACE_FILE_SEQUENCE);
    proto_number(&out, WRITER_BUFFER, TRACE_FILE_BUFFER);
    proto_close(&out, writer, PACKET_WIDTH);
    proto_close(&out, stats, PACKET_WIDTH);
    const size_t attributes = proto_open(&out, PACKET_ATTRIBUTES, PACKET_WIDTH);
    perfetto_put_attribute(&out, "lost_on_the_line_bytes", NULL, run->trace_lost);
    if (run->trace_end_unknown)
        perfetto_put_attribute(&out, "end", "unknown", 0);
    proto_close(&out, attributes, PACKET_WIDTH);
    proto_close(&out, packet, PACKET_WIDTH);
    buffer_add(&run->trace, bytes, out.length);
}

// ---- pieces ------------------------------------------------------------------------------------

// How many packets the bytes are; 0 if they are not whole packets and nothing else.
static size_t count_packets(const uint8_t *bytes, size_t length)
{
    size_t at = 0, packets = 0;
    for (; at < length; packets++) {
        uint64_t packet = 0;
        unsigned count = 0;
        if (bytes[at++] != PACKET_TAG)
            return 0;
        do {
            if (at == length || count == LENGTH_BYTES_MOST)
                return 0;
            packet |= (uint64_t)(bytes[at] & 0x7f) << (7 * count++);
        } while ((bytes[at++] & 0x80) != 0);
        if (packet > length - at)
            return 0;
        at += packet;
    }
    return packets;
}

struct assembly {
    struct run *run;
    struct buffer piece;
    bool open; // a piece has begun, and nothing of it is missing so far
    bool gap;  // something is missing since the last piece that was taken
};

static void lose(struct assembly *assembly, uint64_t bytes)
{
    assembly->run->trace_lost += bytes + assembly->piece.length;
    assembly->gap = assembly->gap || bytes + assembly->piece.length > 0;
    assembly->piece.length = 0;
    assembly->open = false;
}

// The open piece is over. If that is only guessed, because what follows is missing, several packets
// may lack a last one that would end their slices; a single one, which a compressed piece is, is
// whole or not.
static void close_piece(struct assembly *assembly, bool certain)
{
    if (!assembly->open)
        return;
    const size_t packets = count_packets(assembly->piece.bytes, assembly->piece.length);
    if (packets == 0 || (packets > 1 && !certain)) {
        lose(assembly, 0);
        return;
    }
    if (assembly->gap)
        add_gap(assembly->run);
    buffer_add(&assembly->run->trace, assembly->piece.bytes, assembly->piece.length);
    assembly->gap = assembly->open = false;
    assembly->piece.length = 0;
}

static void take_frame(struct assembly *assembly, const struct trace_frame *frame,
                       const uint8_t *bytes)
{
    if (frame->first) {
        close_piece(assembly, true);
        assembly->open = true;
    }
    if (assembly->open)
        buffer_add(&assembly->piece, bytes + frame->at, frame->length);
    else
        lose(assembly, frame->length);
}

void trace_assemble(struct trace_frames *frames, uint64_t sent, struct run *run)
{
    struct assembly assembly = {.run = run};
    uint64_t expected = 0;
    if (frames->count == 0) {
        if (sent != TRACE_SENT_UNKNOWN)
            run->trace_lost += sent; // no trace was made, or nothing of it came
        return;
    }
    qsort(frames->frames, frames->count, sizeof(frames->frames[0]), by_offset);
    add_head(run);
    for (size_t i = 0; i < frames->count; i++) {
        const struct trace_frame *frame = &frames->frames[i];
        if (frame->offset < expected)
            continue; // came before
        if (frame->offset > expected) {
            close_piece(&assembly, false);
            lose(&assembly, frame->offset - expected);
        }
        take_frame(&assembly, frame, frames->bytes.bytes);
        expected = (uint64_t)frame->offset + frame->length;
    }
    close_piece(&assembly, expected == sent);
    run->trace_end_unknown = sent == TRACE_SENT_UNKNOWN;
    if (!run->trace_end_unknown && expected < sent)
        lose(&assembly, sent - expected);
    if (assembly.gap || run->trace_end_unknown)
        add_gap(run);
    if (run->trace_lost > 0 || run->trace_end_unknown)
        add_losses(run);
    buffer_free(&assembly.piece);
}

// ---- the file ----------------------------------------------------------------------------------

static bool write_file(const char *path, const struct buffer *bytes)
{
    const int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    const bool written = fd >= 0 && write_all(fd, bytes->bytes, bytes->length);
    const int why = errno;
    if (fd >= 0 && close(fd) != 0 && written)
        return false;
    errno = why;
    return written;
}

bool trace_write(const char *results, const struct run *run)
{
    char machine[2 * (RECORD_NAME_MOST + 1)], path[PATH_MOST], made[PATH_MOST];
    char link[PATH_MOST], to[sizeof(machine) + sizeof(TRACE_FILE_NAME)];
    if (run->trace.length == 0)
        return true;
    run_machine(run, machine);
    text_format(path, sizeof(path), "%s/runs/%s/%s/%s", results, run->run, machine,
                TRACE_FILE_NAME);
    text_format(made, sizeof(made), "%s/runs/%s/%s/.trace.%d", results, run->run, machine,
                (int)getpid());
    // In one step, so that whoever serves the trace has the old one or the new one.
    if (!write_file(made, &run->trace) || rename(made, path) != 0) {
        complain_write(path);
        unlink(made);
        return false;
    }
    text_format(link, sizeof(link), "%s/runs/%s/%s", results, run->run, TRACE_FILE_NAME);
    text_format(to, sizeof(to), "%s/%s", machine, TRACE_FILE_NAME);
    if (symlink(to, link) == 0 || errno == EEXIST)
        return true; // the run's first machine has it
    complain_write(link);
    return false;
}
