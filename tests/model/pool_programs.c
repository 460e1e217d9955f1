// SPDX-License-Identifier: MIT
// Pages of a pool under the checker: two owners and one page between them, allocated, passed on,
// freed, and reclaimed from under its owner.
#include "beside_programs.h"

#include "compiler.h"
#include "ring_pool.h"

#define PAGES     1u
#define ONE       1u // owners
#define OTHER     2u
#define POOL      ((struct ring_pool *)(void *)model_memory)
#define SHARED_AT (model_memory + 512)
#define PAGE_AT   (model_memory + PAGE_SIZE)
#define HANDED    ((uint64_t *)(void *)(model_memory + 256)) // a flag beside the pool
#define NAME      ((struct ring_descriptor *)(void *)(model_memory + 320))

static void begin(void)
{
    model_require(ring_pool_init(POOL, PAGE_AT, SHARED_AT, PAGES, 3) == STATUS_OK, "no pool");
}

// The page is nobody else's while it is held: plain accesses tell.
static void use(uint64_t *bytes, uint64_t mark)
{
    bytes[0] = mark;
    bytes[1] = mark;
    model_require(bytes[0] == mark && bytes[1] == mark, "somebody else writes the page");
}

static void allocate_and_free(unsigned owner)
{
    struct ring_descriptor name;
    void *bytes;
    MODEL_UNTIL(ring_pool_allocate(POOL, owner, &name, &bytes) == STATUS_OK);
    use(bytes, owner);
    name.length = 16;
    model_require(ring_pool_open(POOL, owner, &name, &bytes) == STATUS_OK, "own page not open");
    model_require(ring_pool_free(POOL, owner, &name) == STATUS_OK, "own page not freed");
    model_begin();
    model_require(ring_pool_free(POOL, owner, &name) == STATUS_STALE, "a page was freed twice");
}

static void allocate_as_one(void)
{
    allocate_and_free(ONE);
}

static void allocate_as_other(void)
{
    allocate_and_free(OTHER);
}

// Hands the page on by a flag that orders nothing: what orders the bytes is the pool's own.
static void pass_on(void)
{
    void *bytes;
    MODEL_UNTIL(ring_pool_allocate(POOL, ONE, NAME, &bytes) == STATUS_OK);
    use(bytes, 7);
    model_require(ring_pool_pass(POOL, ONE, OTHER, NAME) == STATUS_OK, "own page not passed");
}

static void open_passed(void)
{
    // The name of the first page that was ever allocated is known without being told.
    const struct ring_descriptor name = {.pool = 3, .length = 16};
    void *bytes;
    MODEL_UNTIL(ring_pool_open(POOL, OTHER, &name, &bytes) == STATUS_OK);
    const uint64_t *words = bytes;
    model_require(words[0] == 7 && words[1] == 7, "the page came without its bytes");
    model_require(ring_pool_free(POOL, OTHER, &name) == STATUS_OK, "passed page not freed");
}

static void take_again(void)
{
    struct ring_descriptor name;
    void *bytes;
    MODEL_UNTIL(ring_pool_allocate(POOL, OTHER, &name, &bytes) == STATUS_OK);
    use(bytes, 8);
    model_require(ring_pool_free(POOL, OTHER, &name) == STATUS_OK, "own page not freed");
}

// Frees what was passed without looking at it, and gets it again: whoever wrote it is done.
static void free_passed_and_take(void)
{
    const struct ring_descriptor name = {.pool = 3};
    MODEL_UNTIL(ring_pool_free(POOL, OTHER, &name) == STATUS_OK);
    take_again();
}

static void reclaim_passed_and_take(void)
{
    MODEL_UNTIL(ring_pool_reclaim(POOL, OTHER, 0) == 1);
    take_again();
}

// Owner ONE holds the page when this begins.
static void begin_held(void)
{
    void *bytes;
    begin();
    model_require(ring_pool_allocate(POOL, ONE, NAME, &bytes) == STATUS_OK, "no page");
    *HANDED = 0;
}

static void free_held(void)
{
    const enum status status = ring_pool_free(POOL, ONE, NAME);
    model_require(status == STATUS_OK || status == STATUS_STALE, "a free has another status");
    __atomic_fetch_add(HANDED, status == STATUS_OK, __ATOMIC_RELAXED);
}

static void reclaim_held(void)
{
    __atomic_fetch_add(HANDED, ring_pool_reclaim(POOL, ONE, 0), __ATOMIC_RELAXED);
}

static void finish(void)
{
    struct ring_pool_statistics end;
    ring_pool_statistics(POOL, &end);
    model_require(ring_pool_check(POOL), "an invariant is broken at the end");
    model_require(end.held == 0, "a page is lost");
}

static void finish_freed_once(void)
{
    finish();
    model_require(*HANDED == 1, "the page was freed twice, or by nobody");
}

static const struct model_program two_owners = {
    "two owners", 2, begin, {allocate_as_one, allocate_as_other}, finish};
static const struct model_program passed = {"passed on", 2, begin, {pass_on, open_passed}, finish};
static const struct model_program passed_and_freed = {
    "passed, freed unseen", 2, begin, {pass_on, free_passed_and_take}, finish};
static const struct model_program passed_and_reclaimed = {
    "passed, reclaimed", 2, begin, {pass_on, reclaim_passed_and_take}, finish};
static const struct model_program freed_or_reclaimed = {
    "freed or reclaimed", 2, begin_held, {free_held, reclaim_held}, finish_freed_once};
static const struct model_program reclaimed_and_allocated = {
    "reclaimed, allocated", 3, begin_held, {free_held, reclaim_held, allocate_as_other}, finish};

const struct model_set pool_set = {
    .name = "pool",
    .programs = {&two_owners, &passed, &passed_and_freed, &passed_and_reclaimed,
                 &freed_or_reclaimed, &reclaimed_and_allocated},
    .weakenings = 7,
    .harmless = {{"ring_pool_reclaim: compare acq_rel as acquire",
                  "give_back releases the same, and nobody opens the record of a free page"}},
};
