// SPDX-License-Identifier: MIT
// The memory model: C11 as repaired by RC11 (Lahav, Vafeiadis, Kang, Hur, Dreyer 2017), with
// sequentially consistent accesses weakened a little further. Operations come in an order that
// agrees with sequenced-before and reads-from. Each location keeps all its stores in modification
// order. A thread may read, and put its own store behind, whatever is not older than
//   - the newest store that happened before,
//   - the newest store that a read that happened before has read (coherence).
// Sequentially consistent operations are in one order, that of execution: such a load reads nothing
// older than the newest store that is known to all of them, and a fence makes what its thread knows
// known to all, and the other way round. Release sequences are those of C++20: changes only.
#include <string.h>

#include "model_parts.h"

#define LOCATIONS_MOST 128u
#define STORES_MOST    48u

struct store {
    uint64_t value;
    uint32_t id; // thread << 16 | its event; the initial store has 0
    uint16_t thread, event;
    bool change;             // read-modify-write: stands right behind what it read
    bool known;              // to all sequentially consistent operations
    struct model_clock seen; // the event with which each thread read it first; 0: none
    struct model_clock sync; // what an acquire of it learns
};

struct location {
    uint32_t offset, size;
    uint32_t count;
    bool plain; // the newest store was plain: its value is what the memory holds
    uint64_t digest;
    struct store order[STORES_MOST];
};

static struct location locations[LOCATIONS_MOST];
static uint32_t location_count;
static uint8_t location_of[MODEL_MEMORY_BYTES]; // index + 1 for every byte of one

void model_memory_reset(void)
{
    for (uint32_t i = 0; i < location_count; i++)
        memset(&location_of[locations[i].offset], 0, locations[i].size);
    location_count = 0;
}

static uint64_t memory_value(const struct location *location)
{
    uint64_t value = 0;
    memcpy(&value, &model_memory[location->offset], location->size);
    return value;
}

static void digest_of_location(struct location *location)
{
    uint64_t digest = location->offset;
    for (uint32_t i = 0; i < location->count; i++)
        digest = model_mix(digest, (uint64_t)location->order[i].id << 1 | location->order[i].known);
    location->digest = model_mix(digest, location->count);
}

static struct location *location_at(uint32_t offset, uint32_t size)
{
    if (location_of[offset] == 0) {
        for (uint32_t i = 0; i < size; i++) {
            if (location_of[offset + i] != 0)
                model_give_up("atomic accesses that overlap: not modelled", &model_memory[offset]);
        }
        if (location_count == LOCATIONS_MOST)
            model_give_up("too many atomic locations", &model_memory[offset]);
        struct location *made = &locations[location_count++];
        made->offset = offset;
        made->size = size;
        made->count = 1;
        made->plain = true;
        made->order[0] = (struct store){.thread = MODEL_NOBODY};
        memset(&location_of[offset], (int)location_count, size);
        digest_of_location(made);
    }
    struct location *location = &locations[location_of[offset] - 1];
    if (location->offset != offset || location->size != size)
        model_give_up("atomic accesses of several sizes: not modelled", &model_memory[offset]);
    if (location->plain) {
        location->order[location->count - 1].value = memory_value(location);
        location->plain = false;
    }
    return location;
}

static bool is_seq_cst(int order)
{
    return order == __ATOMIC_SEQ_CST;
}

// Whether what it reads is bound by the order of sequentially consistent operations. A comparison
// that is so only when it succeeds is taken for one that is not: that allows more.
static bool reads_in_order(const struct model_site *site)
{
    return is_seq_cst(site->order) &&
           (site->kind != MODEL_COMPARE || is_seq_cst(site->order_failed));
}

static bool acquires(int order)
{
    return order == __ATOMIC_ACQUIRE || order == __ATOMIC_CONSUME || order == __ATOMIC_ACQ_REL ||
           order == __ATOMIC_SEQ_CST;
}

static bool releases(int order)
{
    return order == __ATOMIC_RELEASE || order == __ATOMIC_ACQ_REL || order == __ATOMIC_SEQ_CST;
}

static bool has_read(const struct store *store, const struct model_clock *now)
{
    for (unsigned t = 0; t < MODEL_THREADS_MOST; t++) {
        if (store->seen.at[t] != 0 && store->seen.at[t] <= now->at[t])
            return true;
    }
    return false;
}

// The oldest store the thread may read, or put its own right behind.
static uint32_t oldest_allowed(const struct location *location, unsigned thread, bool seq_cst)
{
    const struct model_clock *now = &model_threads[thread].now;
    for (uint32_t i = location->count; i-- > 0;) {
        const struct store *store = &location->order[i];
        if (store->thread == MODEL_NOBODY || store->event <= now->at[store->thread] ||
            has_read(store, now) || (seq_cst && store->known))
            return i;
    }
    return 0;
}

static bool may_stand_behind(const struct location *location, uint32_t index)
{
    return index + 1 == location->count || !location->order[index + 1].change;
}

// Whether the newest store of what the thread read there is another's, and not read by it as yet.
static bool has_newer(const struct model_turn *turn, unsigned thread)
{
    const struct location *location = &locations[location_of[turn->offset] - 1];
    const struct store *newest = &location->order[location->count - 1];
    return newest->thread != thread && newest->seen.at[thread] == 0;
}

static struct model_turn *turn_at(struct model_thread *thread, const void *site)
{
    for (uint32_t i = 0; i < thread->turn_count; i++) {
        if (thread->turns[i].site == site)
            return &thread->turns[i];
    }
    return NULL;
}

// The turn that a spinning thread has made since it was at this operation; NULL: it is not spinning
// there.
static const struct model_turn *spins(struct model_thread *thread,
                                      const struct model_operation *operation)
{
    const struct model_turn *turn = turn_at(thread, operation->site.address);
    return turn != NULL && turn->offset == operation->offset && turn->learnt == thread->learnt
               ? turn
               : NULL;
}

// The stores that the operation may read, newest first; how many.
static uint32_t readable(struct location *location, unsigned thread,
                         const struct model_operation *operation, uint32_t *indexes)
{
    struct model_thread *self = &model_threads[thread];
    const struct model_turn *turn = spins(self, operation);
    bool newer_elsewhere = false;
    for (uint32_t i = 0; turn != NULL && i < self->turn_count; i++)
        newer_elsewhere |= has_newer(&self->turns[i], thread);
    const uint32_t oldest = oldest_allowed(location, thread, reads_in_order(&operation->site));
    uint32_t count = 0;
    for (uint32_t i = location->count; i-- > oldest;) {
        const struct store *store = &location->order[i];
        const bool compares =
            operation->site.kind == MODEL_COMPARE && store->value == operation->expected;
        const bool again = turn != NULL && store->id == turn->store_id && !compares;
        if (again && (i + 1 < location->count || !newer_elsewhere))
            break; // not this one again, nor an older one
        const bool stores = operation->site.kind == MODEL_CHANGE || compares;
        if (!stores || may_stand_behind(location, i))
            indexes[count++] = i;
    }
    return count;
}

// Whether others have written, since the thread read it, to anything that it read.
static bool others_wrote(unsigned thread)
{
    const struct model_thread *self = &model_threads[thread];
    for (uint32_t t = 0; t < self->turn_count; t++) {
        if (has_newer(&self->turns[t], thread))
            return true;
    }
    return false;
}

bool model_memory_ready(unsigned thread, const struct model_operation *operation)
{
    uint32_t indexes[STORES_MOST];
    if (model_threads[thread].waits && !others_wrote(thread))
        return false;
    if (operation->site.kind == MODEL_STORE || operation->site.kind == MODEL_FENCE)
        return true;
    struct location *location = location_at(operation->offset, operation->size);
    return readable(location, thread, operation, indexes) > 0;
}

static void learn(struct model_thread *self, const struct model_operation *operation)
{
    struct model_turn *turn = turn_at(self, operation->site.address);
    if (turn == NULL) {
        if (self->turn_count == MODEL_TURNS_MOST)
            model_give_up("too many sites in one operation", NULL);
        turn = &self->turns[self->turn_count++];
        turn->store_id = ~operation->read_id;
        turn->times = 0;
    }
    for (uint32_t i = 0; i < self->turn_count; i++) {
        if (self->turns[i].offset == operation->offset &&
            self->turns[i].store_id != operation->read_id && &self->turns[i] != turn)
            self->saw_change = true;
    }
    if (turn->offset != operation->offset || turn->store_id != operation->read_id)
        self->learnt++;
    turn->site = operation->site.address;
    turn->offset = operation->offset;
    turn->store_id = operation->read_id;
    turn->learnt = self->learnt;
    model_passed(++turn->times);
}

// Reads one of the stores that may be read; which.
static uint32_t read_one(struct location *location, struct model_operation *operation)
{
    struct model_thread *self = &model_threads[model_self];
    uint32_t indexes[STORES_MOST];
    const uint32_t count = readable(location, model_self, operation, indexes);
    const uint32_t index = indexes[model_choose(count)];
    struct store *store = &location->order[index];
    operation->result = store->value;
    operation->read_id = store->id;
    operation->compared = store->value == operation->expected;
    const bool failed = operation->site.kind == MODEL_COMPARE && !operation->compared;
    const int order = failed ? operation->site.order_failed : operation->site.order;
    if (store->seen.at[model_self] == 0)
        store->seen.at[model_self] = self->now.at[model_self];
    model_clock_join(acquires(order) ? &self->now : &self->acquired, &store->sync);
    learn(self, operation);
    return index;
}

static void write_behind(struct location *location, const struct model_operation *operation,
                         uint32_t index, uint64_t value)
{
    const struct model_thread *self = &model_threads[model_self];
    const bool change = operation->site.kind != MODEL_STORE;
    struct store made = {
        .value = value,
        .id = (uint32_t)(model_self + 1) << 16 | self->now.at[model_self],
        .thread = (uint16_t)model_self,
        .event = self->now.at[model_self],
        .change = change,
        .known = is_seq_cst(operation->site.order),
        .sync = releases(operation->site.order) ? self->now : self->released,
    };
    if (change)
        model_clock_join(&made.sync, &location->order[index].sync);
    if (location->count == STORES_MOST)
        model_give_up("too many stores to one location", &model_memory[location->offset]);
    struct store *place = &location->order[index + 1];
    memmove(place + 1, place, (location->count - index - 1) * sizeof(*place));
    *place = made;
    location->count++;
    // Whoever spins with changes looks for what is newer than his own.
    struct model_turn *turn =
        change ? turn_at(&model_threads[model_self], operation->site.address) : NULL;
    if (turn != NULL)
        turn->store_id = made.id;
    if (index + 2 == location->count)
        memcpy(&model_memory[location->offset], &value, location->size);
    digest_of_location(location);
}

static void store_somewhere(struct location *location, struct model_operation *operation)
{
    uint32_t indexes[STORES_MOST], count = 0;
    const uint32_t oldest = oldest_allowed(location, model_self, is_seq_cst(operation->site.order));
    for (uint32_t i = location->count; i-- > oldest;) {
        if (may_stand_behind(location, i))
            indexes[count++] = i;
    }
    const uint32_t index = indexes[model_choose(count)];
    write_behind(location, operation, index, operation->operand);
    operation->index = index + 1;
}

// Sequentially consistent: what this thread knows of any location, and what all of them know, are
// the same from now on.
static void exchange_knowledge(struct model_thread *self)
{
    for (uint32_t i = 0; i < location_count; i++) {
        struct location *location = &locations[i];
        location->order[oldest_allowed(location, model_self, false)].known = true;
        uint32_t newest = location->count - 1;
        while (!location->order[newest].known)
            newest--;
        struct store *store = &location->order[newest];
        if (store->seen.at[model_self] == 0)
            store->seen.at[model_self] = self->now.at[model_self];
        self->digest = model_mix(self->digest, (uint64_t)location->offset << 32 | store->id);
        digest_of_location(location);
    }
}

static void fence(const struct model_operation *operation)
{
    struct model_thread *self = &model_threads[model_self];
    const int order = operation->site.order;
    if (acquires(order))
        model_clock_join(&self->now, &self->acquired);
    if (is_seq_cst(order))
        exchange_knowledge(self);
    if (releases(order))
        self->released = self->now;
}

static void access_location(struct model_operation *operation)
{
    struct location *location = location_at(operation->offset, operation->size);
    if (operation->site.kind == MODEL_STORE) {
        model_races_note(operation->offset, operation->size, MODEL_ATOMIC_WRITE);
        store_somewhere(location, operation);
        return;
    }
    const uint32_t index = read_one(location, operation);
    model_races_note(operation->offset, operation->size, MODEL_ATOMIC_READ);
    if (operation->site.kind == MODEL_LOAD ||
        (operation->site.kind == MODEL_COMPARE && !operation->compared))
        return;
    model_races_note(operation->offset, operation->size, MODEL_ATOMIC_WRITE);
    const uint64_t value = operation->site.kind == MODEL_CHANGE
                               ? operation->apply(operation->result, operation->operand)
                               : operation->operand;
    write_behind(location, operation, index, value);
    operation->index = index + 1;
}

void model_memory_perform(struct model_operation *operation)
{
    struct model_thread *self = &model_threads[model_self];
    self->waits = false;
    if (operation->site.kind == MODEL_FENCE)
        fence(operation);
    else
        access_location(operation);
    self->digest = model_mix(self->digest, (uint64_t)operation->offset << 32 | operation->read_id);
    self->now.at[model_self]++;
}

void model_memory_plain_write(uint32_t offset, uint32_t length)
{
    struct model_thread *self = &model_threads[model_self];
    const struct location *last = NULL;
    for (uint32_t at = offset; at < offset + length; at++) {
        struct location *location = location_of[at] ? &locations[location_of[at] - 1] : NULL;
        if (location == NULL || location == last)
            continue;
        last = location;
        if (location->count == STORES_MOST)
            model_give_up("too many stores to one location", &model_memory[offset]);
        // No race was found, so everything there happened before, and this is the newest.
        location->order[location->count++] = (struct store){
            .id = (uint32_t)(model_self + 1) << 16 | self->now.at[model_self],
            .thread = (uint16_t)model_self,
            .event = self->now.at[model_self],
        };
        location->plain = true;
        digest_of_location(location);
        self->now.at[model_self]++;
    }
}

uint64_t model_memory_digest(void)
{
    uint64_t digest = 0;
    for (uint32_t i = 0; i < location_count; i++)
        digest += locations[i].digest; // in any order: locations are met in different ones
    return digest;
}
