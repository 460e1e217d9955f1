// SPDX-License-Identifier: MIT
// Pages of 4 KB for messages that are not copied: a sender writes into a page and sends what names
// it, the descriptor; the receiver reads it there and frees it.
//
// Rules for callers
//   threads    any number on any CPU, all calls but init; no call waits or spins without a bound
//   memory     `pages` and `shared` are the caller's. Those who pass messages between protection
//              domains give each its own struct ring_pool (attach) over the same two
//   owners     every page that is not free has an owner, 1 to 65535, a number that its users agree
//              on (a seat of ring_seats.h + 1). A send passes a page to the receiver, who frees it
//   failure    a status. A descriptor is the caller's own copy; whatever is in it, and whatever
//              another domain writes into `shared` meanwhile, no call reaches memory outside of
//              the pool: indexes are compared with the private count, what is shared is read once
//
// A page has a generation, one more for each time it was freed. A descriptor names the generation
// it was made for, so what comes after the free is STATUS_STALE: a second free, a receiver that
// was given up, a descriptor kept or made up. The generation has 32 bits: a descriptor that was
// kept for exactly 2^32 lives of its page is taken for a new one.
//
// A receiver that died or does not free is dealt with by its number: ring_pool_reclaim frees what
// it owns, all of it or what it has held for so many epochs. The receiver, if it lives, may have
// been reading: ring_pool_holds after the reading says whether what was read was the message.
#ifndef RING_POOL_H
#define RING_POOL_H

#include "compiler.h"
#include "ring.h"

#define RING_POOL_PAGES_MOST (1u << 20)
#define RING_POOL_OWNER_MOST 0xffffu
#define RING_PAGES_MOST      6u // in one message

// What a message of the kind RING_DESCRIPTOR carries.
struct ring_descriptor {
    uint32_t pool;
    uint32_t index;
    uint32_t generation;
    uint16_t offset; // in the page
    uint16_t length; // offset + length <= 4096
};

_Static_assert(sizeof(struct ring_descriptor) == 16, "sent as it is");

// What a message of the kind RING_PAGES carries, the batch descriptor: all pages but the last are
// full. More than that takes several messages.
struct ring_pages {
    uint16_t pool;
    uint16_t count;  // 1 .. RING_PAGES_MOST
    uint32_t length; // of all together; more than count - 1 pages hold, not more than count
    struct ring_page_name {
        uint32_t index;
        uint32_t generation;
    } page[RING_PAGES_MOST];
};

_Static_assert(sizeof(struct ring_pages) == RING_PAYLOAD_MOST, "sent as it is");

struct ring_pool_statistics {
    uint64_t allocated;    // pages, since init
    uint64_t freed;        // by their owners
    uint64_t reclaimed;    // for them
    uint64_t held;         // now
    uint64_t refused;      // allocations that found no free page
    uint64_t rejected;     // descriptors: foreign, invalid or stale
    uint64_t bytes_copied; // of payload, as counted by ring_pool_count_copied
};

// In memory that all users share. A record: generation 32 | epoch 16 | owner 16, owner 0 is free.
struct ring_pool_shared {
    uint64_t epoch CACHE_ALIGNED;
    uint64_t reclaimed;
    uint64_t refused;
    uint64_t rejected;
    uint64_t bytes_copied;
    uint64_t records[] CACHE_ALIGNED; // a word a page, then a bit a page: free
};

// A user's own; constant after init.
struct ring_pool {
    uint8_t *pages;
    struct ring_pool_shared *shared;
    uint64_t *bitmap; // behind the records
    uint32_t count;
    uint32_t words; // of the bitmap
    uint32_t number;
};

// Bytes of `shared` for so many pages.
size_t ring_pool_shared_bytes(size_t pages);

// `pages` is 4096-aligned and holds 1 to RING_POOL_PAGES_MOST pages; `shared` is line-aligned.
// `number` (below 65536) is what descriptors know the pool by. STATUS_INVALID for another count.
enum status ring_pool_init(struct ring_pool *pool, void *pages, void *shared, size_t count,
                           uint32_t number);

// Another user's view of a pool that was made by init: touches nothing that is shared.
enum status ring_pool_attach(struct ring_pool *pool, void *pages, void *shared, size_t count,
                             uint32_t number);

// A page for `owner`, named by *descriptor with offset and length 0, its bytes at *bytes: the
// owner writes them and sets offset and length. STATUS_NO_MEMORY if there is none. One locked
// instruction while others do not take pages from the same 64.
enum status ring_pool_allocate(struct ring_pool *pool, unsigned owner,
                               struct ring_descriptor *descriptor, void **bytes);

// Where the described bytes are. STATUS_FOREIGN: another pool, or no such page; STATUS_INVALID:
// bytes outside of the page; STATUS_STALE: freed since, or not `owner`'s. The page is `owner`'s
// until it frees or passes it, or somebody reclaims it.
enum status ring_pool_open(struct ring_pool *pool, unsigned owner,
                           const struct ring_descriptor *descriptor, void **bytes);

// The page is still `owner`'s, so all that was read there since it was opened was the message.
bool ring_pool_holds(struct ring_pool *pool, unsigned owner,
                     const struct ring_descriptor *descriptor);

// Gives the page back; statuses as open.
enum status ring_pool_free(struct ring_pool *pool, unsigned owner,
                           const struct ring_descriptor *descriptor);

// Makes it another's and of this epoch; statuses as open.
enum status ring_pool_pass(struct ring_pool *pool, unsigned from, unsigned to,
                           const struct ring_descriptor *descriptor);

// The next epoch: at whatever rate reclaiming is to be thought in. Wraps at 65536.
void ring_pool_advance(struct ring_pool *pool);

// Frees the pages that `owner` has held for `epochs` or more (0: all); how many.
size_t ring_pool_reclaim(struct ring_pool *pool, unsigned owner, unsigned epochs);

// Exact while nobody is in a call; a moment's view else. Looks at every page.
void ring_pool_statistics(const struct ring_pool *pool, struct ring_pool_statistics *statistics);
// Walks all invariants while nobody is in a call; false if one is broken.
bool ring_pool_check(const struct ring_pool *pool);

// Whoever copies payload into or out of pages says so.
void ring_pool_count_copied(struct ring_pool *pool, size_t bytes);

#endif
