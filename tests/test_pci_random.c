// SPDX-License-Identifier: MIT
// kernel/hardware/pci on random spaces: whole ones, of which all is known, and damaged ones, where
// the search must end, hold together and leave everything as it was. SEED repeats.
#include "pci_fixture.h"
#include "run_checks.h"
#include "seed.h"

#define WHOLE_TURNS   300u
#define DAMAGED_TURNS 10000u

static struct space kept; // the space before the search

static void check_restored(void)
{
    bool same = true; // one assertion for all: each is slow
    for (unsigned i = 0; i < space.count; i++)
        same &= memcmp(space.functions[i].bytes, kept.functions[i].bytes, PCI_BYTES_EXTENDED) == 0;
    ck_assert(same);
}

static void enumerate_and_check(void)
{
    kept.count = space.count;
    for (unsigned i = 0; i < space.count; i++)
        memcpy(kept.functions[i].bytes, space.functions[i].bytes, PCI_BYTES_EXTENDED);
    enumerate();
}

// ---- whole spaces ------------------------------------------------------------------------------

// What a BAR that was put there must read.
static struct pci_bar planned[SPACE_MOST][PCI_BARS];

static void plan_bars(struct random *random, struct space_function *function,
                      struct pci_bar bars[PCI_BARS], unsigned slots)
{
    memset(bars, 0, PCI_BARS * sizeof(*bars));
    for (unsigned slot = 0; slot < slots; slot++) {
        const unsigned kind = (unsigned)random_below(random, 4);
        if (kind == 0)
            continue;
        struct pci_bar *bar = &bars[slot];
        bar->state = PCI_BAR_ASSIGNED;
        bar->io = kind == 1;
        bar->wide = kind == 3 && slot + 1 < slots;
        bar->prefetchable = !bar->io && random_below(random, 2) != 0;
        const unsigned most = bar->io ? 8 : bar->wide ? 46 : 28;
        const unsigned least = bar->io ? 2 : 4;
        bar->size = (uint64_t)1 << (least + random_below(random, most - least + 1));
        // Neither the first place nor the last: those mean that it has none.
        const uint64_t places = (bar->io     ? 0x10000
                                 : bar->wide ? 1ull << 52
                                             : 1ull << 32) /
                                bar->size;
        bar->address = (1 + random_below(random, places - 2)) * bar->size;
        const uint32_t flags = bar->io ? 1 : (bar->wide ? 4u : 0) | (bar->prefetchable ? 8u : 0);
        space_bar(function, slot, bar->address, bar->size, flags);
        if (bar->wide)
            bars[++slot].state = PCI_BAR_UPPER;
    }
}

// Fills buses first..last: some functions, and bridges that share out what is left.
static void plan_bus(struct random *random, unsigned bus, unsigned last, unsigned depth)
{
    unsigned next = bus + 1;
    for (unsigned device = 0; device < 31 && space.count < PCI_FUNCTIONS_MOST; device++) {
        if (random_below(random, 4) != 0)
            continue;
        const unsigned index = space.count;
        if (depth > 0 && next <= last && random_below(random, 3) == 0) {
            const unsigned end = next + (unsigned)random_below(random, last - next + 1);
            struct space_function *bridge =
                space_add_bridge(&space, SPACE_AT(bus, device, 0), next, end);
            plan_bars(random, bridge, planned[index], 2);
            plan_bus(random, next, end, depth - 1);
            next = end + 1;
        } else {
            struct space_function *one = space_add(&space, SPACE_AT(bus, device, 0), DISK, NVME);
            plan_bars(random, one, planned[index], PCI_BARS);
        }
    }
}

START_TEST(everything_of_a_whole_space_is_found)
{
    struct random random = seeded_for("everything_of_a_whole_space_is_found");
    unsigned most = 0;
    for (unsigned turn = 0; turn < WHOLE_TURNS; turn++) {
        space_init(&space);
        plan_bus(&random, 0, (unsigned)random_below(&random, 256), 4);
        enumerate_and_check();
        check_restored();
        ck_assert_uint_eq(pci.count, space.count);
        ck_assert_uint_eq(pci.problems, 0);
        most = pci.count > most ? pci.count : most;
        for (unsigned i = 0; i < space.count; i++) {
            const struct pci_address at = space.functions[i].at;
            const struct pci_function *function = found(at.bus, at.device, at.function);
            ck_assert_ptr_nonnull(function);
            bool same = true;
            for (unsigned k = 0; k < PCI_BARS; k++) {
                const struct pci_bar *is = &function->bars[k], *should = &planned[i][k];
                same &= is->state == should->state && is->address == should->address &&
                        is->size == should->size && is->io == should->io &&
                        is->wide == should->wide && is->prefetchable == should->prefetchable;
            }
            ck_assert(same);
        }
    }
    ck_assert_uint_gt(most, 30);
}
END_TEST

// ---- damaged ones ------------------------------------------------------------------------------

static uint32_t now_and_then(struct space *twisted, struct space_function *function,
                             unsigned offset, unsigned bytes, uint32_t value)
{
    struct random *random = twisted->twist_context;
    (void)function;
    (void)offset;
    if (random_below(random, 40) != 0)
        return value;
    const uint64_t other = random_below(random, 2) != 0 ? UINT32_MAX : random_u64(random);
    return (uint32_t)other & UINT32_MAX >> (32 - 8 * bytes);
}

static void damage(struct random *random, struct space_function *function)
{
    // Where it hurts: the header's own fields, the lists, and anything.
    static const uint8_t places[] = {0x00, 0x04, 0x06, 0x0b, 0x0e, 0x10, 0x14, 0x18, 0x19, 0x1a,
                                     0x24, 0x34, 0x40, 0x41, 0x42, 0x44, 0x50, 0x51, 0x61, 0xfd};
    for (uint64_t left = random_below(random, 6); left > 0; left--) {
        const unsigned at = random_below(random, 3) != 0
                                ? places[random_below(random, ARRAY_COUNT(places))]
                                : (unsigned)random_below(random, PCI_BYTES_EXTENDED);
        function->bytes[at] = (uint8_t)random_u64(random);
        if (random_below(random, 3) == 0)
            function->writable[at] = (uint8_t)random_u64(random);
    }
}

START_TEST(search_of_a_damaged_space_ends_and_holds_together)
{
    struct random random = seeded_for("search_of_a_damaged_space_ends_and_holds_together");
    struct random twists = random_seeded(random_u64(&random));
    unsigned clean = 0, problems = 0;
    for (unsigned turn = 0; turn < DAMAGED_TURNS; turn++) {
        space_init(&space);
        space.reach = turn % 3 == 0 ? PCI_BYTES_EXTENDED : PCI_BYTES;
        for (unsigned i = 0; i < 8; i++) {
            const struct pci_address at =
                SPACE_AT(random_below(&random, 4), i, random_below(&random, 3) == 0 ? i : 0);
            struct space_function *function;
            if (random_below(&random, 2) == 0)
                function = space_add_bridge(&space, at, 1 + (unsigned)random_below(&random, 6),
                                            3 + (unsigned)random_below(&random, 5));
            else
                function = space_add(&space, at, DISK, NVME);
            plan_bars(&random, function, planned[i], 2);
            space_capability(function, 0x40, PCI_CAPABILITY_MSI);
            space_capability(function, 0x50, PCI_CAPABILITY_EXPRESS);
            space_capability(function, 0x60, PCI_CAPABILITY_MSIX);
            space_put(function, 0x100, 4, 0x14010001);
            damage(&random, function);
        }
        if (turn % 4 == 0) {
            space.twist = now_and_then;
            space.twist_context = &twists;
        }
        enumerate_and_check();
        if (space.twist == NULL)
            check_restored();
        clean += pci.problems == 0;
        problems += pci.problems;
    }
    // The damage has reached what it should, and not only that.
    ck_assert_uint_gt(clean, DAMAGED_TURNS / 50);
    ck_assert_uint_gt(problems, DAMAGED_TURNS / 4);
}
END_TEST

static Suite *random_suite(void)
{
    Suite *suite = suite_create("pci_random");
    TCase *spaces = tcase_create("spaces");
    tcase_set_timeout(spaces, 120);
    tcase_add_test(spaces, everything_of_a_whole_space_is_found);
    tcase_add_test(spaces, search_of_a_damaged_space_ends_and_holds_together);
    suite_add_tcase(suite, spaces);
    return suite;
}

int main(void)
{
    return run_checks(random_suite());
}
