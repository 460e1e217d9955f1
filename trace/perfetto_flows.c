// SPDX-License-Identifier: MIT
// When the messages whose flow is drawn were sent.
//
// Perfetto takes the earliest end of a flow for its source. But who receives may begin to before
// the message is sent that it then gets: such a flow arrives where the receiver is done. And one
// whose sending was not recorded does not arrive at all.
#include "compiler.h"
#include "perfetto.h"
#include "string.h"

static uint32_t slot_of(uint32_t number)
{
    return number / PERFETTO_FLOW_EVERY % PERFETTO_FLOWS_MOST;
}

// The first one stays: positions in a ring rise within a row.
static void sent(struct perfetto_sent *flows, uint8_t sender, uint32_t number, uint64_t ticks)
{
    const uint32_t slot = slot_of(number);
    if (number % PERFETTO_FLOW_EVERY != 0)
        return;
    if (flows->known[slot]) {
        flows->both[slot] |= flows->number[slot] == number && flows->sender[slot] != sender;
        return;
    }
    flows->known[slot] = true;
    flows->sender[slot] = sender;
    flows->number[slot] = number;
    flows->ticks[slot] = ticks;
}

static void look(struct perfetto_sent *flows, uint8_t sender, const struct trace_buffer *first)
{
    struct perfetto_cursor cursor = {.buffer = first, .of_thread = true};
    const struct trace_entry *entry, *open = NULL;
    uint32_t depth = 0, number = 0;
    for (; (entry = perfetto_entry(&cursor)) != NULL; cursor.at++) {
        if (entry->phase <= TRACE_PHASE_BEGIN_IN)
            depth++;
        if (entry->phase == TRACE_PHASE_BEGIN_OUT) {
            open = entry;
            number = entry->value;
            depth = 1;
        } else if (open != NULL && entry->phase == TRACE_PHASE_NUMBER && depth == 1) {
            number = entry->value;
        } else if (open != NULL && entry->phase == TRACE_PHASE_END && --depth == 0) {
            if (entry->value == TRACE_END_DONE)
                sent(flows, sender, number, open->ticks);
            open = NULL;
        }
    }
    if (open != NULL)
        sent(flows, sender, number, open->ticks);
}

void perfetto_flows(struct perfetto *perfetto, const struct perfetto_row *row)
{
    struct perfetto_sent *flows = &perfetto->memory->sent;
    memset(flows->known, 0, sizeof(flows->known));
    memset(flows->both, 0, sizeof(flows->both));
    for (size_t i = 0; i < row->recording_count; i++)
        look(flows, (uint8_t)i, row->recordings[i].buffer);
    if (!perfetto_is_scheduled(row))
        return;
    for (uint32_t i = 1; i < row->threads->next && i < row->threads->capacity; i++)
        look(flows, (uint8_t)(row->recording_count + i), row->threads->threads[i].first);
}

bool perfetto_was_sent(const struct perfetto *perfetto, uint32_t number, uint64_t until)
{
    const struct perfetto_sent *flows = &perfetto->memory->sent;
    const uint32_t slot = slot_of(number);
    return flows->known[slot] && flows->number[slot] == number && flows->ticks[slot] <= until;
}

bool perfetto_is_sent_by_two(const struct perfetto *perfetto, uint32_t number)
{
    const struct perfetto_sent *flows = &perfetto->memory->sent;
    const uint32_t slot = slot_of(number);
    return flows->known[slot] && flows->number[slot] == number && flows->both[slot];
}
