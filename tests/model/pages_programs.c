// SPDX-License-Identifier: MIT
// Messages that are pages under the checker: two pages as one message, while somebody takes the
// receiver for dead and reclaims what it owns. However that falls, no page is lost and none is
// freed twice: a receiver that finds one page gone gives the other back. The orders are the ring's
// and the pool's, which have programs of their own.
#include "beside_programs.h"
#include "compiler.h"
#include "ring_fusion_spsc.h"
#include "ring_zero_copy.h"

#define PAGES     2u
#define SLOTS     2u
#define SENDER    1u
#define RECEIVER  2u
#define RING      ((void *)model_memory)
#define SLOTS_AT  (model_memory + 4 * PAGE_SIZE)
#define POOL      ((struct ring_pool *)(void *)(model_memory + 5 * PAGE_SIZE))
#define SHARED_AT (model_memory + 6 * PAGE_SIZE)
#define PAGES_AT  (model_memory + 7 * PAGE_SIZE)
#define RECEIVED  ((uint64_t *)(void *)(model_memory + 5 * PAGE_SIZE + 512)) // 1: whole

static const struct ring_parties parties = {SENDER, RECEIVER};

static void begin(void)
{
    model_require(ring_pool_init(POOL, PAGES_AT, SHARED_AT, PAGES, 3) == STATUS_OK, "no pool");
    model_require(ring_fusion_spsc_init(RING, SLOTS_AT, SLOTS) == STATUS_OK, "no ring");
    *RECEIVED = 0;
}

static void send_pages(void)
{
    struct ring_pages pages = {.pool = 3, .count = PAGES, .length = PAGE_SIZE + 8};
    for (unsigned i = 0; i < PAGES; i++) {
        struct ring_descriptor name;
        void *bytes;
        model_begin();
        model_require(ring_pool_allocate(POOL, SENDER, &name, &bytes) == STATUS_OK, "no page");
        *(uint64_t *)bytes = 7 + i;
        pages.page[i].index = name.index;
        pages.page[i].generation = name.generation;
    }
    model_begin();
    model_require(ring_send_pages(&ring_fusion_spsc_ops, RING, POOL, parties, &pages) == STATUS_OK,
                  "pages were not sent");
}

static void receive_pages(void)
{
    struct ring_pages pages = {.count = 0};
    void *bytes[RING_PAGES_MOST];
    enum status status;
    MODEL_UNTIL((status = ring_receive_pages(&ring_fusion_spsc_ops, RING, POOL, RECEIVER, &pages,
                                             bytes)) != STATUS_EMPTY);
    if (status != STATUS_OK) {
        model_require(status == STATUS_STALE, "a page that is gone has another status");
        return;
    }
    for (unsigned i = 0; i < PAGES; i++)
        model_require(*(uint64_t *)bytes[i] == 7 + i, "a page came without its bytes");
    *RECEIVED = 1;
    model_begin();
    const enum status freed = ring_free_pages(POOL, RECEIVER, &pages);
    model_require(freed == STATUS_OK || freed == STATUS_STALE, "a free has another status");
}

static void reclaim(void)
{
    model_begin();
    ring_pool_reclaim(POOL, RECEIVER, 0);
}

static void finish(void)
{
    struct ring_pool_statistics end;
    ring_pool_statistics(POOL, &end);
    model_require(ring_pool_check(POOL), "an invariant is broken at the end");
    model_require(end.held == 0, "a page is lost");
    model_require(end.allocated == PAGES && end.freed + end.reclaimed == PAGES, "freed twice");
    model_outcome(*RECEIVED << 4 | end.reclaimed);
}

static const struct model_program undisturbed = {
    "undisturbed", 2, begin, {send_pages, receive_pages}, finish};
static const struct model_program reclaimed = {
    "reclaimed meanwhile", 3, begin, {send_pages, receive_pages, reclaim}, finish};

const struct model_set pages_set = {
    .name = "pages",
    .programs = {&undisturbed, &reclaimed},
    .functions = {"ring_receive_pages", "ring_send_pages", "ring_free_pages"}, // which have none
};
