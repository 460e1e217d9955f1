// SPDX-License-Identifier: MIT
// Moves of threads from CPU to CPU, by thread: a heapsort within the buffers that were read.
#include "perfetto.h"

static bool is_move(const struct trace_entry *entry)
{
    return entry->event == TRACE_SCHED_MIGRATE;
}

// Moves first, those of a thread together, each in the order of time.
static bool before(const struct trace_entry *a, const struct trace_entry *b)
{
    const uint32_t number_a = is_move(a) ? trace_value_number(a->value) : UINT32_MAX;
    const uint32_t number_b = is_move(b) ? trace_value_number(b->value) : UINT32_MAX;
    return number_a != number_b ? number_a < number_b : a->ticks < b->ticks;
}

static void sift(struct trace_entry *entries, uint32_t at, uint32_t count)
{
    const struct trace_entry moved = entries[at];
    for (uint32_t child; (child = 2 * at + 1) < count; at = child) {
        if (child + 1 < count && before(&entries[child], &entries[child + 1]))
            child++;
        if (!before(&moved, &entries[child]))
            break;
        entries[at] = entries[child];
    }
    entries[at] = moved;
}

// A heapsort: no memory, and bounded whatever there is.
static void sort(struct trace_entry *entries, uint32_t count)
{
    for (uint32_t i = count / 2; i-- > 0;)
        sift(entries, i, count);
    for (uint32_t last = count; last-- > 1;) {
        const struct trace_entry most = entries[0];
        entries[0] = entries[last];
        entries[last] = most;
        sift(entries, 0, last);
    }
}

struct perfetto_moves perfetto_moves(const struct perfetto_row *row)
{
    for (size_t i = 0; i < row->recording_count; i++) {
        struct trace_buffer *events = row->recordings[i].events;
        if (events != NULL)
            sort(events->entries, events->used);
    }
    return (struct perfetto_moves){.at = {0}};
}

// The first of a recording that is not past, if it is the thread's.
static const struct trace_entry *first_move(struct perfetto_moves *moves,
                                            const struct perfetto_row *row, size_t which,
                                            uint32_t number)
{
    const struct trace_buffer *events = row->recordings[which].events;
    while (events != NULL && moves->at[which] < events->used) {
        const struct trace_entry *entry = &events->entries[moves->at[which]];
        if (!is_move(entry) || trace_value_number(entry->value) > number)
            return NULL;
        if (trace_value_number(entry->value) == number)
            return entry;
        moves->at[which]++;
    }
    return NULL;
}

static const struct trace_entry *earliest_move(struct perfetto_moves *moves,
                                               const struct perfetto_row *row, uint32_t number,
                                               size_t *which)
{
    const struct trace_entry *earliest = NULL;
    for (size_t i = 0; i < row->recording_count; i++) {
        const struct trace_entry *move = first_move(moves, row, i, number);
        if (move != NULL && (earliest == NULL || move->ticks < earliest->ticks)) {
            earliest = move;
            *which = i;
        }
    }
    return earliest;
}

bool perfetto_has_move(struct perfetto_moves *moves, const struct perfetto_row *row,
                       uint32_t number)
{
    size_t which;
    return earliest_move(moves, row, number, &which) != NULL;
}

const struct trace_entry *perfetto_move(struct perfetto_moves *moves,
                                        const struct perfetto_row *row, uint32_t number,
                                        uint64_t until)
{
    size_t which;
    const struct trace_entry *move = earliest_move(moves, row, number, &which);
    if (move == NULL || move->ticks > until)
        return NULL;
    moves->at[which]++;
    return move;
}
