// SPDX-License-Identifier: MIT
#include "record.h"

// ---- writing ------------------------------------------------------------------------------------

void record_writer_init(struct record_writer *writer, void *bytes, size_t capacity)
{
    *writer = (struct record_writer){.bytes = bytes, .capacity = capacity};
}

static void put_byte(struct record_writer *writer, uint8_t byte)
{
    if (writer->length == writer->capacity)
        writer->failed = true;
    if (!writer->failed)
        writer->bytes[writer->length++] = byte;
}

void record_open(struct record_writer *writer, enum record_type type)
{
    writer->record = writer->length;
    put_byte(writer, (uint8_t)type);
    put_byte(writer, 0);
    put_byte(writer, 0);
}

void record_close(struct record_writer *writer)
{
    if (writer->failed)
        return;
    const size_t payload = writer->length - writer->record - RECORD_HEADER_BYTES;
    if (payload > RECORD_PAYLOAD_MOST) {
        writer->failed = true;
        return;
    }
    writer->bytes[writer->record + 1] = (uint8_t)payload;
    writer->bytes[writer->record + 2] = (uint8_t)(payload >> 8);
}

void record_put_u64(struct record_writer *writer, uint64_t value)
{
    while (value >= 0x80) {
        put_byte(writer, (uint8_t)(value | 0x80));
        value >>= 7;
    }
    put_byte(writer, (uint8_t)value);
}

static uint64_t zigzag(int64_t value)
{
    return (uint64_t)value << 1 ^ (uint64_t)(value >> 63);
}

void record_put_i64(struct record_writer *writer, int64_t value)
{
    record_put_u64(writer, zigzag(value));
}

void record_put_text(struct record_writer *writer, const char *text)
{
    size_t length = 0;
    while (length < RECORD_TEXT_MOST && text[length] != '\0')
        length++;
    record_put_u64(writer, length);
    for (size_t i = 0; i < length; i++)
        put_byte(writer, text[i] >= 0x20 && text[i] <= 0x7e ? (uint8_t)text[i] : '.');
}

void record_put_bytes(struct record_writer *writer, const void *bytes, size_t length)
{
    const uint8_t *at = bytes;
    record_put_u64(writer, length);
    for (size_t i = 0; i < length; i++)
        put_byte(writer, at[i]);
}

// Differences are taken modulo 2^64, so that no pair of values is out of range; the token needs 65
// bits then, hence the shift of the zigzag value is checked.
void record_put_samples(struct record_writer *writer, const int64_t *values, size_t count)
{
    uint64_t previous = 0;
    for (size_t i = 0; i < count;) {
        const uint64_t step = (uint64_t)values[i] - previous;
        size_t further = 0;
        previous = (uint64_t)values[i];
        while (i + 1 + further < count && (uint64_t)values[i + 1 + further] - previous == step) {
            previous = (uint64_t)values[i + 1 + further];
            further++;
        }
        const uint64_t folded = zigzag((int64_t)step);
        if (folded >> 63 != 0)
            writer->failed = true;
        record_put_u64(writer, folded << 1 | (further > 0));
        if (further > 0)
            record_put_u64(writer, further);
        i += 1 + further;
    }
}

void record_put_panic(struct record_writer *writer, const struct record_panic *panic)
{
    record_put_text(writer, panic->reason);
    record_put_u64(writer, panic->vector);
    record_put_u64(writer, panic->error);
    record_put_u64(writer, panic->rip);
    record_put_u64(writer, panic->rsp);
    record_put_u64(writer, panic->rflags);
    record_put_u64(writer, panic->cr2);
    record_put_u64(writer, panic->cr3);
    record_put_u64(writer, panic->cpu);
    record_put_text(writer, ""); // the running case: the recorder knows it from BEGIN
    record_put_u64(writer, RECORD_REGISTERS);
    for (unsigned i = 0; i < RECORD_REGISTERS; i++)
        record_put_u64(writer, panic->registers[i]);
}

// ---- reading ------------------------------------------------------------------------------------

void record_reader_init(struct record_reader *reader, const void *bytes, size_t length)
{
    *reader = (struct record_reader){.bytes = bytes, .length = length};
}

static uint8_t get_byte(struct record_reader *reader)
{
    if (reader->position == reader->length)
        reader->failed = true;
    return reader->failed ? 0 : reader->bytes[reader->position++];
}

uint64_t record_get_u64(struct record_reader *reader)
{
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        const uint8_t byte = get_byte(reader);
        if (shift == 63 && byte > 1)
            reader->failed = true;
        if (reader->failed)
            return 0;
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80)
            return value;
    }
    reader->failed = true;
    return 0;
}

int64_t record_get_i64(struct record_reader *reader)
{
    const uint64_t folded = record_get_u64(reader);
    return (int64_t)(folded >> 1 ^ (0 - (folded & 1)));
}

static bool is_name(uint8_t c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '.' || c == ':' || c == '/' || c == '-';
}

void record_get_text(struct record_reader *reader, char *text, size_t most, bool name)
{
    text[0] = '\0';
    const uint64_t length = record_get_u64(reader);
    if (length > most)
        reader->failed = true;
    for (uint64_t i = 0; i < length && !reader->failed; i++) {
        const uint8_t c = get_byte(reader);
        if (name ? !is_name(c) : (c < 0x20 || c > 0x7e))
            reader->failed = true;
        text[i] = (char)c;
        text[i + 1] = '\0';
    }
    if (reader->failed)
        text[0] = '\0';
}

size_t record_get_bytes(struct record_reader *reader, void *bytes, size_t most)
{
    const uint64_t length = record_get_u64(reader);
    if (length > most || length > reader->length - reader->position)
        reader->failed = true;
    for (uint64_t i = 0; i < length && !reader->failed; i++)
        ((uint8_t *)bytes)[i] = get_byte(reader);
    return reader->failed ? 0 : (size_t)length;
}

void record_get_samples(struct record_reader *reader, int64_t *values, size_t count)
{
    uint64_t value = 0;
    for (size_t i = 0; i < count && !reader->failed;) {
        const uint64_t token = record_get_u64(reader);
        const uint64_t further = token & 1 ? record_get_u64(reader) : 0;
        const uint64_t folded = token >> 1;
        const uint64_t step = folded >> 1 ^ (0 - (folded & 1));
        if (further >= count - i)
            reader->failed = true;
        for (uint64_t k = 0; k <= further && !reader->failed; k++) {
            value += step;
            values[i++] = (int64_t)value;
        }
    }
}

uint64_t record_hash(uint64_t hash, const void *bytes, size_t length)
{
    const uint8_t *at = bytes;
    for (size_t i = 0; i < length; i++)
        hash = (hash ^ at[i]) * 0x100000001b3u;
    return hash;
}
