// SPDX-License-Identifier: MIT
// kernel/memory/page_map against a plain array of pages.
#include <check.h>
#include <string.h>

#include "page_map_subject.h"
#include "run_checks.h"
#include "seed.h"
#include "soak.h"

// ---- the model ----------------------------------------------------------------------------------

// Windows where something is special: a boundary of root entries, both edges of the hole, the end.
#define WINDOW_BYTES (2 * GIB)
#define WINDOW_PAGES (WINDOW_BYTES / 4096)
static const uint64_t windows[] = {511 * GIB, ((uint64_t)1 << 47) - 2 * GIB, ~(uint64_t)0 << 47,
                                   (uint64_t)0 - 2 * GIB};

struct model_page {
    uint64_t physical : 52, rights : 3, cache : 2, global : 1, mapped : 1;
};
static struct model_page model[ARRAY_COUNT(windows)][WINDOW_PAGES];

static struct model_page *model_of(uint64_t address)
{
    for (unsigned i = 0; i < ARRAY_COUNT(windows); i++) {
        if (address - windows[i] < WINDOW_BYTES)
            return &model[i][(address - windows[i]) / 4096];
    }
    ck_abort_msg("%lx is in no window", (unsigned long)address);
    return NULL;
}

static bool agrees(const struct model_page *expected, bool mapped, uint64_t physical,
                   struct page_kind kind)
{
    if (!mapped || !expected->mapped)
        return mapped == expected->mapped;
    return expected->physical == physical && expected->rights == kind.rights &&
           expected->cache == kind.cache && expected->global == kind.global;
}

static void check_address(uint64_t address)
{
    struct page page = {0}, again = {0};
    const bool mapped = page_map_query(&map, address, &page);
    must(walk(address, &again) == mapped);
    must(!mapped || (page.address == again.address && page.physical == again.physical &&
                     page.bytes == again.bytes && same_kind(page.kind, again.kind)));
    const uint64_t offset = (address & ~(uint64_t)4095) - page.address;
    must(agrees(model_of(address), mapped, page.physical + offset, page.kind));
}

// Tables by a count of their own; none is empty but the root.
static unsigned count_tables(uint64_t table, unsigned level, unsigned said)
{
    unsigned count = 1, used = 0;
    for (unsigned i = 0; i < 512; i++) {
        const uint64_t entry = table_at(tables, table)[i];
        used += entry != 0;
        if (entry != 0 && level > 0 && (entry & 0x80) == 0)
            count += count_tables(entry & 0xffffffffff000u, level - 1, entry >> 52 & 1023);
    }
    must(used > 0 || level == 3);
    must(used == said || level == 3);
    return count;
}

static void check_all(void)
{
    struct page page;
    struct page_counts counts;
    uint64_t bytes = 0, expected = 0, at = 0, pages = 0, last_end = 0;
    bool same = true;
    while (page_map_next(&map, at, &page)) {
        must(page.address >= last_end);
        for (uint64_t k = 0; k < page.bytes && same; k += 4096)
            same = agrees(model_of(page.address + k), true, page.physical + k, page.kind);
        must(same);
        bytes += page.bytes;
        pages++;
        last_end = at = page.address + page.bytes;
        if (at == 0)
            break;
    }
    for (unsigned i = 0; i < ARRAY_COUNT(windows); i++) {
        for (unsigned k = 0; k < WINDOW_PAGES; k++)
            expected += model[i][k].mapped * (uint64_t)4096;
    }
    must((bytes) == (expected));
    page_map_count(&map, &counts);
    must((counts.bytes) == (bytes));
    must((counts.pages_4k + counts.pages_2m + counts.pages_1g) == (pages));
    must((map.tables) == (tables_live));
    must((count_tables(map.root, 3, 0)) == (tables_live));
}

// What the modelled CPU still remembers must be true.
static void check_remembered(void)
{
    for (unsigned i = 0; i < TRANSLATIONS; i++) {
        const struct translation *one = &remembered[i];
        struct page page;
        if (!one->known)
            continue;
        must(page_map_query(&map, one->address, &page));
        must(page.physical + (one->address - page.address) ==
                 one->page.physical + (one->address - one->page.address) &&
             same_kind(page.kind, one->page.kind));
    }
}

static void remember(uint64_t address)
{
    struct translation *one = &remembered[address / 4096 % TRANSLATIONS];
    one->address = address;
    one->known = page_map_query(&map, address, &one->page);
}

// ---- random operations --------------------------------------------------------------------------

struct range {
    uint64_t address, length;
};

// Of the long test: changes of few pages near the beginning of a window, hardly ever large ones.
static struct range small_range(struct random *random)
{
    const uint64_t window = windows[random_below(random, ARRAY_COUNT(windows))];
    if (random_below(random, 4000) == 0)
        return (struct range){window + random_below(random, 2) * GIB, GIB};
    if (random_below(random, 32) == 0)
        return (struct range){window + random_below(random, 16) * 2 * MIB, 2 * MIB};
    return (struct range){window + random_below(random, 16 * 512) * 4096,
                          (1 + random_below(random, 4)) * 4096};
}

// Aligned to pages of some size mostly, sometimes off by a page or two.
static struct range random_range(struct random *random)
{
    static const uint64_t units[] = {4096, 4096, 2 * MIB, 2 * MIB, GIB};
    const uint64_t unit = units[random_below(random, ARRAY_COUNT(units))];
    uint64_t start = random_below(random, WINDOW_BYTES / unit) * unit;
    uint64_t length = unit * (1 + random_below(random, unit == GIB ? 2 : 6));
    if (random_below(random, 4) == 0)
        start += 4096 * random_below(random, 3);
    if (random_below(random, 4) == 0)
        length += 4096 * random_below(random, 600);
    start = min_u64(start, WINDOW_BYTES - 4096);
    length = min_u64(length, WINDOW_BYTES - start);
    return (struct range){windows[random_below(random, ARRAY_COUNT(windows))] + start, length};
}

static struct page_kind random_kind(struct random *random)
{
    static const unsigned rights[] = {READ, WRITE, EXECUTE};
    return (struct page_kind){.rights = rights[random_below(random, 3)],
                              .cache = (enum page_cache)random_below(random, 3),
                              .global = random_below(random, 2)};
}

static uint64_t mapped_pages(struct range range)
{
    uint64_t count = 0;
    for (uint64_t k = 0; k < range.length / 4096; k++)
        count += model_of(range.address)[k].mapped;
    return count;
}

static void model_change(struct range range, bool mapped, const uint64_t *physical,
                         struct page_kind kind)
{
    for (uint64_t k = 0; k < range.length / 4096; k++) {
        struct model_page *page = &model_of(range.address)[k];
        page->mapped = mapped;
        page->rights = kind.rights & 7;
        page->cache = kind.cache & 3;
        page->global = kind.global;
        if (physical != NULL)
            page->physical = *physical + k * 4096;
    }
}

static enum status do_map(struct random *random, struct range range)
{
    static const uint64_t largest[] = {PAGE_BYTES_1G, PAGE_BYTES_1G, PAGE_BYTES_2M, PAGE_BYTES_4K};
    const struct page_kind kind = random_kind(random);
    // In step with the address mostly, so that large pages come about.
    uint64_t physical = 4 * GIB + random_below(random, 8) * GIB + (range.address & (GIB - 1));
    if (random_below(random, 4) == 0)
        physical += 4096 * random_below(random, 1000);
    const uint64_t most = largest[random_below(random, ARRAY_COUNT(largest))];
    const bool free = mapped_pages(range) == 0;
    const enum status status =
        page_map_map_by(&map, range.address, physical, range.length, kind, most);
    must(free ? status == STATUS_OK || status == STATUS_NO_MEMORY
              : status == STATUS_FULL || status == STATUS_NO_MEMORY);
    if (status == STATUS_OK)
        model_change(range, true, &physical, kind);
    return status;
}

static enum status do_change(struct random *random, struct range range, bool unmap)
{
    const struct page_kind kind = random_kind(random);
    const bool whole = mapped_pages(range) == range.length / 4096;
    const enum status status = unmap ? page_map_unmap(&map, range.address, range.length)
                                     : page_map_protect(&map, range.address, range.length, kind);
    must(whole ? status == STATUS_OK || status == STATUS_NO_MEMORY : status == STATUS_EMPTY);
    if (status == STATUS_OK)
        model_change(range, !unmap, NULL, kind);
    return status;
}

// Neither changes what the model sees.
static enum status do_split(struct random *random, struct range range)
{
    struct page page;
    const uint64_t bytes = random_below(random, 2) ? PAGE_BYTES_4K : PAGE_BYTES_2M;
    const enum status status = page_map_split(&map, range.address, bytes);
    const bool mapped = page_map_query(&map, range.address, &page);
    must(mapped ? status == STATUS_OK || status == STATUS_NO_MEMORY : status == STATUS_EMPTY);
    must(status != STATUS_OK || page.bytes <= bytes);
    return status;
}

static unsigned giants = 2; // one merge in so many is to 1 GiB

static enum status do_merge(struct random *random, struct range range)
{
    struct page page;
    const uint64_t bytes = random_below(random, giants) ? PAGE_BYTES_2M : PAGE_BYTES_1G;
    range = (struct range){range.address & ~(bytes - 1), bytes};
    const struct model_page *first = model_of(range.address);
    bool alike = first->physical % bytes == 0;
    for (uint64_t k = 1; k < bytes / 4096 && alike; k++) {
        struct model_page next = *first;
        next.physical += k * 4096;
        alike = memcmp(&next, &first[k], sizeof(next)) == 0;
    }
    const bool whole = mapped_pages(range) == bytes / 4096;
    const enum status status = page_map_merge(&map, range.address, bytes);
    must((status) == (!whole ? STATUS_EMPTY : alike ? STATUS_OK : STATUS_FOREIGN));
    must(!whole || page_map_query(&map, range.address, &page));
    must(status != STATUS_OK || page.bytes >= bytes);
    return status;
}

static enum status do_one(struct random *random, struct range range)
{
    switch (random_below(random, 8)) {
    case 0:
    case 1:
    case 2:
        return do_map(random, range);
    case 3:
    case 4:
        return do_change(random, range, true);
    case 5:
        return do_change(random, range, false);
    case 6:
        return do_split(random, range);
    default:
        return do_merge(random, range);
    }
}

START_TEST(any_sequence_of_changes_gives_what_a_plain_array_gives)
{
    struct random random = seeded_for("page_map model");
    unsigned done[10] = {0};
    memset(model, 0, sizeof(model));
    for (unsigned i = 0; i < 1500; i++) {
        const struct range range = random_range(&random);
        // Memory runs out in the middle of some changes.
        tables_left =
            random_below(&random, 8) == 0 ? (unsigned)random_below(&random, 4) : TABLES_MOST;
        for (unsigned k = 0; k < 8; k++)
            remember(range.address + 4096 * random_below(&random, range.length / 4096));
        invalidated = false;
        const enum status status = do_one(&random, range);
        done[-status]++;
        check_remembered();
        check_address(range.address);
        check_address(range.address + range.length - 1);
        check_address(range.address + random_below(&random, range.length));
        if (i % 64 == 0 || status == STATUS_NO_MEMORY)
            check_all();
    }
    check_all();
    // The operations were not all refused, and the refusals that are not rare came about.
    ck_assert_uint_gt(done[-STATUS_OK], 200);
    ck_assert_uint_gt(done[-STATUS_EMPTY], 50);
    ck_assert_uint_gt(done[-STATUS_FULL], 50);
    ck_assert_uint_gt(done[-STATUS_NO_MEMORY], 0);
}
END_TEST

// What is looked at often enough to find it, seldom enough for a million.
#define LOOK_EVERY 16u
#define WALK_EVERY 125000u

START_TEST(a_million_small_changes_give_what_a_plain_array_gives)
{
    struct random random = seeded_for("page_map model, a million");
    const unsigned most = soaked(1000000, 10000000);
    unsigned done[10] = {0};
    memset(model, 0, sizeof(model));
    giants = 4000;
    for (unsigned i = 0; i < most; i++) {
        const struct range range = small_range(&random);
        uint64_t physical = 0;
        tables_left =
            random_below(&random, 4) == 0 ? (unsigned)random_below(&random, 3) : TABLES_MOST;
        remember(range.address + 4096 * random_below(&random, range.length / 4096));
        invalidated = false;
        done[-do_one(&random, range)]++;
        check_address(range.address);
        const struct model_page *one = model_of(range.address);
        must(page_translate(&map, range.address + 5, &physical) == one->mapped);
        must(!one->mapped || physical == one->physical + 5);
        if (i % LOOK_EVERY == 0)
            check_remembered();
        if (i % WALK_EVERY == 0)
            check_all();
    }
    check_all();
    ck_assert_uint_gt(done[-STATUS_OK], most / 6);
    ck_assert_uint_gt(done[-STATUS_EMPTY], most / 20);
    ck_assert_uint_gt(done[-STATUS_FULL], most / 20);
    ck_assert_uint_gt(done[-STATUS_NO_MEMORY], 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("page_map_model");
    TCase *random = tcase_create("random");
    tcase_add_checked_fixture(random, setup, teardown);
    tcase_set_timeout(random, 300);
    tcase_add_test(random, any_sequence_of_changes_gives_what_a_plain_array_gives);
    tcase_add_test(random, a_million_small_changes_give_what_a_plain_array_gives);
    suite_add_tcase(suite, random);
    return run_checks(suite);
}
