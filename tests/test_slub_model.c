// SPDX-License-Identifier: MIT
// SLUB: objects of any size, against a plain array as the model.
#include <check.h>

#include "run_checks.h"
#include "seed.h"
#include "slub_subject.h"
#include "soak.h"

// ---- the model ----------------------------------------------------------------------------------

#define SLOTS 500u
#define CPUS  3u
#define NODES 2u

struct object {
    uint8_t *pointer; // NULL: the slot is empty
    size_t size;
    uint8_t pattern;
    bool aligned; // its class is not its size's
};

struct model {
    struct subject subject;
    struct object objects[SLOTS];
    struct random random;
    uint64_t allocations, frees, failures;
};

static void took(struct model *m, struct object *object, void *pointer, size_t size, bool aligned)
{
    const uint8_t pattern = (uint8_t)random_u64(&m->random);
    const uintptr_t offset = (uintptr_t)pointer - (uintptr_t)m->subject.arena;
    *object = (struct object){pointer, size, pattern, aligned};
    if (pointer == NULL) {
        m->failures++;
        return;
    }
    EXPECT(offset + size <= NODES * m->subject.node_bytes);
    EXPECT((uintptr_t)pointer % (size % 16 == 0 && size != 0 ? 16u : 8u) == 0);
    memset(pointer, pattern, size);
    m->allocations++;
}

static void look_at(const struct object *object)
{
    for (size_t i = 0; i < object->size; i++)
        if (object->pointer[i] != object->pattern)
            ck_abort_msg("byte %zu of %zu was overwritten", i, object->size);
}

static size_t some_size(struct model *m)
{
    const uint64_t bits = random_below(&m->random, 15); // up to 32 KiB
    return (1ull << bits) - 1 + random_below(&m->random, 1ull << bits);
}

static void allocate_some(struct model *m, struct object *object)
{
    struct slub *slub = m->subject.slub;
    size_t size = some_size(m);
    const uint64_t how = random_below(&m->random, 4);
    if (how == 0) {
        uint8_t *pointer = slub_allocate(slub, size, SLUB_ZERO);
        for (size_t i = 0; pointer != NULL && i < size; i++)
            EXPECT(pointer[i] == 0);
        took(m, object, pointer, size, false);
    } else if (how == 1) {
        const size_t align = 1ull << random_below(&m->random, 15);
        void *pointer = slub_allocate_aligned(slub, size, align, 0);
        EXPECT((uintptr_t)pointer % align == 0);
        took(m, object, pointer, size, true);
    } else {
        took(m, object, slub_allocate(slub, size, 0), size, false);
    }
}

static void free_some(struct model *m, struct object *object)
{
    struct slub *slub = m->subject.slub;
    look_at(object);
    if (!object->aligned && random_below(&m->random, 2) == 0)
        slub_free_sized(slub, object->pointer, object->size);
    else
        slub_free(slub, object->pointer);
    object->pointer = NULL;
    m->frees++;
}

// Empty slots in a row get objects of one size; full ones in a row are freed.
static void in_bulk(struct model *m, unsigned first)
{
    void *pointers[40];
    unsigned count = 0;
    const unsigned most = (unsigned)min_u64(40, SLOTS - first);
    const bool full = m->objects[first].pointer != NULL;
    while (count < most && (m->objects[first + count].pointer != NULL) == full)
        count++;
    if (full) {
        for (unsigned i = 0; i < count; i++) {
            look_at(&m->objects[first + i]);
            pointers[i] = m->objects[first + i].pointer;
            m->objects[first + i].pointer = NULL;
        }
        slub_free_bulk(m->subject.slub, count, pointers);
        m->frees += count;
        return;
    }
    const size_t size = some_size(m) % 2000;
    const size_t got = slub_allocate_bulk(m->subject.slub, size, count, pointers, 0);
    for (unsigned i = 0; i < got; i++)
        took(m, &m->objects[first + i], pointers[i], size, false);
    m->failures += got < count;
}

static void expect_counts(const struct model *m)
{
    struct slub_totals totals;
    slub_statistics(m->subject.slub, &totals);
    EXPECT(totals.objects.allocations == m->allocations);
    EXPECT(totals.objects.frees == m->frees);
    EXPECT(totals.objects.failures == m->failures);
    EXPECT(totals.pages_taken - totals.pages_returned == subject_pages(&m->subject));
    EXPECT(slub_check(m->subject.slub));
}

// Which CPU calls changes all the time: objects are freed far from where they came from.
static void run_model(const char *name, uint64_t node_bytes, const struct slub_settings *settings)
{
    static struct model model;
    struct model *m = &model;
    struct numa numa;
    const uint64_t operations = soaked(100000, 10000000);
    memset(m, 0, sizeof *m);
    m->random = seeded_for(name);
    numa_init(&numa);
    numa_set_nodes(&numa, NODES);
    numa.cpu_node[1] = 1;
    subject_open(&m->subject, NODES, node_bytes, CPUS, settings, &numa);
    for (uint64_t i = 0; i < operations; i++) {
        const unsigned slot = (unsigned)random_below(&m->random, SLOTS);
        const uint64_t what = random_below(&m->random, 1000);
        test_cpu_enter((unsigned)random_below(&m->random, CPUS));
        if (what < 5)
            in_bulk(m, slot);
        else if (what == 5)
            slub_emergency_shrink(m->subject.slub);
        else if (what == 6)
            slub_balance(m->subject.slub);
        else if (m->objects[slot].pointer != NULL)
            free_some(m, &m->objects[slot]);
        else
            allocate_some(m, &m->objects[slot]);
        if (i % 2000 == 0)
            expect_counts(m);
    }
    for (unsigned i = 0; i < SLOTS; i++)
        if (m->objects[i].pointer != NULL)
            free_some(m, &m->objects[i]);
    expect_counts(m);
    subject_expect_all_back(&m->subject);
    test_cpu_enter(0);
    subject_close(&m->subject);
}

START_TEST(random_calls_on_three_cpus_and_two_nodes_keep_contents_and_counts)
{
    run_model("plain", 4u << 20, NULL);
}
END_TEST

START_TEST(random_calls_survive_memory_that_is_nearly_used_up)
{
    run_model("nearly full", 512u << 10, NULL);
}
END_TEST

START_TEST(random_calls_survive_extreme_settings)
{
    const struct slub_settings small = {.per_cpu_objects = 2,
                                        .bulk_objects = 1,
                                        .release_percent = 100,
                                        .emergency_percent = 1,
                                        .extra_count = 2,
                                        .extra = {48, 1536}};
    const struct slub_settings large = {.per_cpu_objects = SLUB_PER_CPU_MOST,
                                        .preload_objects = SLUB_PER_CPU_MOST,
                                        .bulk_objects = SLUB_BULK_MOST,
                                        .release_percent = 1,
                                        .empty_percent = 100,
                                        .emergency_percent = 100,
                                        .colour_range = PAGE_SIZE,
                                        .class_flags = SLUB_PROFILE};
    run_model("small", 4u << 20, &small);
    run_model("large", 8u << 20, &large);
}
END_TEST

START_TEST(random_calls_keep_their_counts_when_every_class_is_checked)
{
    struct slub_settings checked = slub_defaults;
    checked.class_flags = SLUB_CHECKED;
    run_model("checked", 8u << 20, &checked);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("slub, model");
    TCase *tests = tcase_create("random calls");
    tcase_set_timeout(tests, 3600);
    tcase_add_test(tests, random_calls_on_three_cpus_and_two_nodes_keep_contents_and_counts);
    tcase_add_test(tests, random_calls_survive_memory_that_is_nearly_used_up);
    tcase_add_test(tests, random_calls_survive_extreme_settings);
    tcase_add_test(tests, random_calls_keep_their_counts_when_every_class_is_checked);
    suite_add_tcase(suite, tests);
    return run_checks(suite);
}
