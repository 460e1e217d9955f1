// SPDX-License-Identifier: MIT
// Checked caches: what surrounds their objects, and what is looked at when they come and go. Only
// slow paths come here.
//
//   slot     link and red zone | object | red zone, at least 16 bytes | notes
//   link     of the list of free slots: in front of the object, so that all of it can be poisoned
#include "assert.h"
#include "format.h"
#include "slub.h"
#include "slub_depot.h"
#include "string.h"

#define RED_FREE   0xbbu
#define RED_USED   0xccu
#define POISON     0x6bu
#define ZONE_BYTES 16u

#define STATE_NEW  0x534c55426e657700ull // cut off and never handed out
#define STATE_USED 0x534c554275736564ull
#define STATE_FREE 0x534c554266726565ull

// At the end of a slot.
struct notes {
    const void *allocator, *freer; // return addresses
    uint64_t state;                // atomic: of two who free an object only one is let through
    uint64_t unused;
};

static struct notes *notes_of(const struct slub_cache *cache, const struct heap_object *slot)
{
    return (struct notes *)((uintptr_t)slot + cache->slot - sizeof(struct notes));
}

static uint8_t *object_of(const struct slub_cache *cache, const struct heap_object *slot)
{
    return (uint8_t *)(uintptr_t)slot + cache->before;
}

void slub_checked_layout(struct slub_cache *cache)
{
    cache->before = (uint32_t)max_u64(cache->align, ZONE_BYTES);
    const uint64_t zone_end = align_up(cache->size + ZONE_BYTES, 8);
    cache->slot = (uint32_t)align_up(cache->before + zone_end + sizeof(struct notes),
                                     max_u64(cache->align, 16));
}

_Noreturn void slub_misuse(const struct slub_cache *cache, const char *what, const void *address,
                           const struct heap_object *slot)
{
    char text[160];
    const char *const name = cache != NULL ? cache->name : "pages";
    if (cache != NULL && slot != NULL && (cache->flags & SLUB_OWNERS) != 0) {
        const struct notes *notes = notes_of(cache, slot);
        format(text, sizeof(text), "slub %s: %s at 0x%lx, allocated by 0x%lx, freed by 0x%lx", name,
               what, (uint64_t)(uintptr_t)address, (uint64_t)(uintptr_t)notes->allocator,
               (uint64_t)(uintptr_t)notes->freer);
    } else {
        format(text, sizeof(text), "slub %s: %s at 0x%lx, owners unknown", name, what,
               (uint64_t)(uintptr_t)address);
    }
    platform_panic(text, __FILE__, __LINE__);
}

// The first byte in [from, from + length) that is not `value`; NULL if all are.
static const uint8_t *first_other(const uint8_t *from, size_t length, uint8_t value)
{
    for (size_t i = 0; i < length; i++)
        if (from[i] != value)
            return from + i;
    return NULL;
}

// The red zones: behind the link, and from the object's last byte to the notes.
struct zones {
    uint8_t *before, *after;
    size_t before_bytes, after_bytes;
};

static struct zones zones_of(const struct slub_cache *cache, const struct heap_object *slot)
{
    uint8_t *const object = object_of(cache, slot);
    struct zones zones = {.before = (uint8_t *)(uintptr_t)slot + sizeof(struct heap_object),
                          .after = object + cache->size};
    zones.before_bytes = (size_t)(object - zones.before);
    zones.after_bytes = (size_t)((uint8_t *)notes_of(cache, slot) - zones.after);
    return zones;
}

static void paint_zones(const struct slub_cache *cache, const struct heap_object *slot,
                        uint8_t value)
{
    if ((cache->flags & SLUB_RED_ZONES) == 0)
        return;
    const struct zones zones = zones_of(cache, slot);
    memset(zones.before, value, zones.before_bytes);
    memset(zones.after, value, zones.after_bytes);
}

static void look_at_zones(const struct slub_cache *cache, const struct heap_object *slot,
                          uint8_t value)
{
    if ((cache->flags & SLUB_RED_ZONES) == 0)
        return;
    const struct zones zones = zones_of(cache, slot);
    const uint8_t *harmed = first_other(zones.before, zones.before_bytes, value);
    if (harmed != NULL)
        slub_misuse(cache, "write in front of an object", harmed, slot);
    harmed = first_other(zones.after, zones.after_bytes, value);
    if (harmed != NULL)
        slub_misuse(cache, "write behind an object", harmed, slot);
}

void slub_checked_new(const struct slub_cache *cache, struct heap_object *slot)
{
    *notes_of(cache, slot) = (struct notes){.state = STATE_NEW};
    paint_zones(cache, slot, RED_FREE);
    if (cache->flags & SLUB_POISON)
        memset(object_of(cache, slot), POISON, cache->size);
}

void *slub_checked_open(struct slub_cache *cache, struct heap_object *slot, const void *caller)
{
    struct notes *notes = notes_of(cache, slot);
    uint8_t *const object = object_of(cache, slot);
    look_at_zones(cache, slot, RED_FREE);
    if (cache->flags & SLUB_POISON) {
        const uint8_t *harmed = first_other(object, cache->size, POISON);
        if (harmed != NULL)
            slub_misuse(cache, "write after free", harmed, slot);
    }
    paint_zones(cache, slot, RED_USED);
    if (cache->flags & SLUB_OWNERS)
        notes->allocator = caller;
    // Release: who reads the state sees the owner with it.
    __atomic_store_n(&notes->state, STATE_USED, __ATOMIC_RELEASE);
    return object;
}

struct heap_object *slub_checked_close(struct slub_cache *cache, struct slub_node *node,
                                       void *pointer, const void *caller)
{
    struct heap_object *const slot = (struct heap_object *)((uintptr_t)pointer - cache->before);
    const struct slub_slab *slab = slub_slab_of(node, pointer);
    if (!slub_slab_at(cache, node, slab, slot))
        slub_misuse(cache, "misaligned free", pointer, NULL);
    struct notes *notes = notes_of(cache, slot);
    // Acquire and release: of two who free the object one finds it used.
    const uint64_t state = __atomic_exchange_n(&notes->state, STATE_FREE, __ATOMIC_ACQ_REL);
    if (state == STATE_FREE)
        slub_misuse(cache, "double free", pointer, slot);
    if (state != STATE_USED)
        slub_misuse(cache, "wild free", pointer, NULL);
    look_at_zones(cache, slot, RED_USED);
    if (cache->flags & SLUB_OWNERS)
        notes->freer = caller;
    paint_zones(cache, slot, RED_FREE);
    if (cache->flags & SLUB_POISON)
        memset(pointer, POISON, cache->size);
    return slot;
}

bool slub_checked_is_out(const struct slub_cache *cache, const struct heap_object *slot,
                         const void **allocator)
{
    const struct notes *notes = notes_of(cache, slot);
    *allocator = notes->allocator;
    return notes->state == STATE_USED;
}
