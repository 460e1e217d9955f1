// SPDX-License-Identifier: MIT
// Data races: two accesses to a byte, one of them a write, one of them plain, neither of which
// happens before the other. For each byte, kind of access and thread the last one is enough: those
// before it in the same thread happen before whatever it happens before.
#include <string.h>

#include "model_parts.h"

struct cell {
    uint16_t last[4][MODEL_THREADS_MOST]; // by enum model_access: the thread's event count then
};

// Eight bytes. While only whole ones were accessed, the first byte's cell is that of all of them.
struct word {
    struct cell bytes[8];
    bool touched, divided;
};

static struct word words[MODEL_MEMORY_BYTES / 8];
static uint32_t touched_words[MODEL_MEMORY_BYTES / 8];
static size_t touched_count;

void model_races_reset(const unsigned char *pristine)
{
    for (size_t i = 0; i < touched_count; i++) {
        const uint32_t word = touched_words[i];
        memcpy(&model_memory[word * 8], &pristine[word * 8], 8);
        memset(words[word].bytes, 0,
               words[word].divided ? sizeof(words[word].bytes) : sizeof(struct cell));
        words[word].touched = words[word].divided = false;
    }
    touched_count = 0;
}

void model_races_touch(uint32_t offset, uint32_t length)
{
    if (length == 0)
        return;
    for (uint32_t word = offset / 8; word <= (offset + length - 1) / 8; word++) {
        if (!words[word].touched)
            touched_words[touched_count++] = word;
        words[word].touched = true;
    }
}

static void divide(struct word *word)
{
    for (unsigned i = 1; i < 8; i++)
        word->bytes[i] = word->bytes[0];
    word->divided = true;
}

// Whether all accesses of that kind, by others, happened before the thread's next.
static bool ordered(const uint16_t *last, const struct model_clock *now)
{
    for (unsigned t = 0; t < MODEL_THREADS_MOST; t++) {
        if (last[t] > now->at[t])
            return false;
    }
    return true;
}

static void note_cell(struct cell *cell, uint32_t offset, enum model_access access)
{
    static const bool conflicts[4][4] = {
        [MODEL_PLAIN_READ] = {false, true, false, true},
        [MODEL_PLAIN_WRITE] = {true, true, true, true},
        [MODEL_ATOMIC_READ] = {false, true, false, false},
        [MODEL_ATOMIC_WRITE] = {true, true, false, false},
    };
    const struct model_clock *now = &model_threads[model_self].now;
    for (unsigned other = 0; other < 4; other++) {
        if (conflicts[access][other] && !ordered(cell->last[other], now))
            model_fail("data race", &model_memory[offset]);
    }
    cell->last[access][model_self] = now->at[model_self];
}

void model_races_note(uint32_t offset, uint32_t length, enum model_access access)
{
    model_races_touch(offset, length);
    for (uint32_t at = offset; at < offset + length;) {
        struct word *word = &words[at / 8];
        const bool whole = at % 8 == 0 && offset + length - at >= 8;
        if (!whole && !word->divided)
            divide(word);
        note_cell(&word->bytes[at % 8], at, access);
        at += whole && !word->divided ? 8 : 1;
    }
}
