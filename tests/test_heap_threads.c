// SPDX-License-Identifier: MIT
// Every heap that has further handles, used by several threads on several CPUs at once: they free
// each other's memory, migrate between two calls, and die without a word.
#include <pthread.h>
#include <sched.h>
#include <signal.h>

#include "heap_subject.h"

#define THREADS   4u
#define CPUS      (THREADS + 3) // one a thread, one for the main thread, two that nobody is on
#define MAILBOXES 256u
#define ROUNDS    4u

// ---- CPUs: a thread owns the one it is on, and changes it for one that nobody is on
// --------------

static unsigned vacant[2];

static unsigned migrate(unsigned cpu, uint64_t dice)
{
    // Acquire, release: what the CPU's last thread did there comes before what this one does.
    const unsigned next = __atomic_exchange_n(&vacant[dice % 2], cpu, __ATOMIC_ACQ_REL);
    test_cpu_enter(next);
    return next;
}

// ---- threads that throw what they allocate into mailboxes, and free what they find there
// ----------

struct worker {
    const struct fixture *f;
    pthread_t thread;
    void *handle_memory, *handle;
    unsigned number, cpu, operations;
    bool leaves; // else it is the main thread that finds it dead
    uint64_t seed;
    uint64_t allocations, frees, failures;
};

static void *mailboxes[MAILBOXES];

static void release(struct worker *w, void *object)
{
    w->f->ops->release(w->handle, object, expect_whole(object));
    w->frees++;
}

static void *work(void *argument)
{
    struct worker *w = argument;
    const struct heap_ops *ops = w->f->ops;
    struct random random = random_seeded(w->seed);
    test_cpu_enter(w->cpu);
    w->handle = ops->join(w->f->heap, w->handle_memory);
    for (unsigned i = 0; i < w->operations && w->handle != NULL; i++) {
        const size_t size = log_uniform(&random, random_below(&random, 8) == 0 ? 65536 : 2048);
        void *object = ops->allocate(w->handle, size);
        if (object != NULL) {
            fill_object(object, size);
            w->allocations++;
        } else {
            w->failures++;
        }
        void **box = &mailboxes[random_below(&random, MAILBOXES)];
        // Release: the object is written; acquire: so is the one found.
        void *found = __atomic_exchange_n(box, object, __ATOMIC_ACQ_REL);
        if (found != NULL)
            release(w, found);
        if (random_below(&random, 64) == 0)
            w->cpu = migrate(w->cpu, random_u64(&random));
        if (ops->trim != NULL && random_below(&random, 4096) == 0)
            ops->trim(w->handle);
    }
    if (w->handle != NULL && w->leaves)
        ops->leave(w->handle);
    return NULL;
}

static void start(struct worker *w, unsigned number, const struct fixture *f, struct random *random)
{
    w->f = f;
    w->number = number;
    w->seed = random_u64(random);
    w->leaves = random_below(random, 2) == 0;
    w->operations = how_many(6000 / SOAK_RACES_PART, 600000);
    ck_assert_int_eq(pthread_create(&w->thread, NULL, work, w), 0);
}

static void finish(struct worker *w)
{
    ck_assert_int_eq(pthread_join(w->thread, NULL), 0);
    ck_assert_ptr_nonnull(w->handle);
    if (!w->leaves) // while the others go on
        w->f->ops->leave(w->handle);
}

static void expect_counts(const struct fixture *f, const struct worker *workers, uint64_t base)
{
    struct heap_statistics s;
    uint64_t allocations = base, frees = base, failures = 0;
    for (unsigned i = 0; i < THREADS; i++) {
        allocations += workers[i].allocations;
        frees += workers[i].frees;
        failures += workers[i].failures;
    }
    f->ops->statistics(f->heap, &s);
    ck_assert_uint_eq(s.allocations, allocations);
    ck_assert_uint_eq(s.frees, frees);
    ck_assert_uint_eq(s.failures, failures + 1); // and the one that counted the blocks
}

static void run_rounds(const struct heap_ops *ops, size_t length)
{
    struct fixture f = heap_over(ops, length);
    struct random random = seeded_for(ops->about.name);
    static struct worker workers[THREADS];
    f.whole = whole_blocks(&f);
    memset(workers, 0, sizeof workers);
    vacant[0] = THREADS + 1;
    vacant[1] = THREADS + 2;
    for (unsigned i = 0; i < THREADS; i++) {
        workers[i].handle_memory = handle_of(&f);
        workers[i].cpu = i + 1;
    }
    for (unsigned round = 0; round < ROUNDS; round++) {
        for (unsigned i = 0; i < THREADS; i++)
            start(&workers[i], i, &f, &random);
        for (unsigned i = 0; i < THREADS; i++)
            finish(&workers[i]);
        ck_assert(ops->check(f.heap));
    }
    for (unsigned i = 0; i < MAILBOXES; i++)
        if (mailboxes[i] != NULL) {
            ops->release(f.heap, mailboxes[i], expect_whole(mailboxes[i]));
            workers[0].frees++;
            mailboxes[i] = NULL;
        }
    expect_counts(&f, workers, f.whole);
    expect_all_back(&f, CPUS);
    for (unsigned i = 0; i < THREADS; i++)
        free(workers[i].handle_memory);
    discard(&f);
}

START_TEST(threads_free_each_others_memory_migrate_and_die)
{
    run_rounds(shared[_i], 32u << 20);
}
END_TEST

// Half of what the mailboxes want to hold: allocations fail all the time, and look for memory in
// each other's slabs.
START_TEST(threads_that_run_out_of_memory_together_lose_none)
{
    run_rounds(shared[_i], 2u << 20);
}
END_TEST

// ---- a producer that never frees, a consumer that never allocates -------------------------------

#define QUEUE 256u

static struct {
    void *slots[QUEUE];
    uint64_t sent CACHE_ALIGNED;
    uint64_t received CACHE_ALIGNED;
} queue;

struct side {
    const struct fixture *f;
    void *handle;
    unsigned cpu, messages;
    uint64_t failures;
};

static void *produce(void *argument)
{
    struct side *side = argument;
    const struct heap_ops *ops = side->f->ops;
    struct random random = random_seeded(side->messages);
    test_cpu_enter(side->cpu);
    for (uint64_t i = 0; i < side->messages; i++) {
        const size_t size = log_uniform(&random, 2048);
        void *object;
        while ((object = ops->allocate(side->handle, size)) == NULL) {
            side->failures++;
            sched_yield();
        }
        fill_object(object, size);
        while (i - __atomic_load_n(&queue.received, __ATOMIC_ACQUIRE) == QUEUE)
            sched_yield();
        queue.slots[i % QUEUE] = object;
        __atomic_store_n(&queue.sent, i + 1, __ATOMIC_RELEASE);
    }
    return NULL;
}

static void *consume(void *argument)
{
    struct side *side = argument;
    test_cpu_enter(side->cpu);
    for (uint64_t i = 0; i < side->messages; i++) {
        while (i == __atomic_load_n(&queue.sent, __ATOMIC_ACQUIRE))
            sched_yield();
        void *object = queue.slots[i % QUEUE];
        __atomic_store_n(&queue.received, i + 1, __ATOMIC_RELEASE);
        side->f->ops->release(side->handle, object, expect_whole(object));
    }
    return NULL;
}

START_TEST(a_producer_and_a_consumer_use_the_same_memory_over_and_over)
{
    struct fixture f = heap_over(shared[_i], 4u << 20);
    const unsigned messages = how_many(100000 / SOAK_RACES_PART, 10000000);
    void *memory[2] = {handle_of(&f), handle_of(&f)};
    struct side sides[2];
    pthread_t threads[2];
    f.whole = whole_blocks(&f);
    queue.sent = queue.received = 0;
    for (unsigned i = 0; i < 2; i++)
        sides[i] = (struct side){
            .f = &f, .handle = f.ops->join(f.heap, memory[i]), .cpu = i + 1, .messages = messages};
    ck_assert_int_eq(pthread_create(&threads[0], NULL, produce, &sides[0]), 0);
    ck_assert_int_eq(pthread_create(&threads[1], NULL, consume, &sides[1]), 0);
    for (unsigned i = 0; i < 2; i++)
        ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
    ck_assert_uint_eq(sides[0].failures, 0);
    for (unsigned i = 0; i < 2; i++) {
        f.ops->leave(sides[i].handle);
        free(memory[i]);
    }
    expect_all_back(&f, 3);
    discard(&f);
}
END_TEST

// ---- several handles on several CPUs, one thread: against a plain array -------------------------

#define HANDLES 6u
#define SLOTS   600u

struct model {
    struct fixture f;
    struct random random;
    void *memory[HANDLES], *handles[HANDLES]; // NULL: not joined; [0] is the heap
    void *objects[SLOTS];
    uint64_t allocations, frees, failures, live_bytes;
};

static void *any_handle(struct model *m)
{
    void *handle = NULL;
    while (handle == NULL)
        handle = m->handles[random_below(&m->random, HANDLES)];
    test_cpu_enter((unsigned)random_below(&m->random, CPUS));
    return handle;
}

static void come_and_go(struct model *m)
{
    const uint64_t i = 1 + random_below(&m->random, HANDLES - 1);
    test_cpu_enter((unsigned)random_below(&m->random, CPUS));
    if (m->handles[i] == NULL) {
        m->handles[i] = m->f.ops->join(m->f.heap, m->memory[i]);
        ck_assert_ptr_nonnull(m->handles[i]);
    } else {
        m->f.ops->leave(m->handles[i]);
        m->handles[i] = NULL;
    }
}

static void step(struct model *m, size_t highest)
{
    const struct heap_ops *ops = m->f.ops;
    void **slot = &m->objects[random_below(&m->random, SLOTS)];
    void *const handle = any_handle(m);
    if (*slot != NULL) {
        const size_t size = expect_whole(*slot);
        ops->release(handle, *slot, size);
        *slot = NULL;
        m->frees++;
        m->live_bytes -= size;
        return;
    }
    const size_t size = log_uniform(&m->random, highest);
    *slot = ops->allocate(handle, size);
    if (*slot == NULL) {
        m->failures++;
        // Small sizes are refused when nothing is left but what others hold.
        if (size <= 2048 && 4 * m->live_bytes < m->f.length)
            ck_abort_msg("%zu bytes refused while %lu of %zu are in use", size,
                         (unsigned long)m->live_bytes, m->f.length);
        return;
    }
    ck_assert_uint_lt((uintptr_t)*slot - (uintptr_t)m->f.memory, m->f.length);
    fill_object(*slot, size);
    m->allocations++;
    m->live_bytes += size;
}

static void expect_model(const struct model *m)
{
    struct heap_statistics s;
    if (!m->f.ops->check(m->f.heap))
        ck_abort_msg("an invariant is broken");
    m->f.ops->statistics(m->f.heap, &s);
    if (s.allocations != m->allocations + m->f.whole || s.frees != m->frees + m->f.whole ||
        s.failures != m->failures + 1 || s.bytes_allocated - s.bytes_freed < m->live_bytes)
        ck_abort_msg("the statistics tell another story");
}

static void run_model(const struct heap_ops *ops, unsigned operations, size_t length)
{
    struct model *m = calloc(1, sizeof *m);
    m->f = heap_over(ops, length);
    m->f.whole = whole_blocks(&m->f);
    m->random = seeded_for(ops->about.name);
    m->handles[0] = m->f.heap;
    for (unsigned i = 1; i < HANDLES; i++)
        m->memory[i] = handle_of(&m->f);
    for (unsigned i = 0; i < operations; i++) {
        step(m, i % 16 == 0 ? 65536 : 2048);
        if (i % 500 == 0)
            come_and_go(m);
        if (i % 700 == 0 && ops->trim != NULL)
            ops->trim(any_handle(m));
        if (i % 5000 == 0)
            expect_model(m);
    }
    for (unsigned i = 0; i < SLOTS; i++)
        if (m->objects[i] != NULL) {
            const size_t size = expect_whole(m->objects[i]);
            ops->release(any_handle(m), m->objects[i], size);
            m->frees++;
            m->live_bytes -= size;
        }
    for (unsigned i = 1; i < HANDLES; i++) {
        if (m->handles[i] != NULL)
            ops->leave(m->handles[i]);
        free(m->memory[i]);
    }
    expect_model(m);
    expect_all_back(&m->f, CPUS);
    discard(&m->f);
    free(m);
}

START_TEST(handles_that_come_and_go_on_any_cpu_keep_every_object_and_count)
{
    run_model(shared[_i], how_many(100000 / SOAK_RACES_PART, 10000000), 32u << 20);
}
END_TEST

// ---- what a dead thread or an idle CPU has is not lost
// -------------------------------------------

START_TEST(memory_freed_elsewhere_is_found_when_its_cpu_never_comes_back)
{
    struct fixture f = heap_over(shared[_i], 2u << 20);
    void *memory = handle_of(&f), *handle = f.ops->join(f.heap, memory);
    static void *objects[(2u << 20) / 8];
    f.whole = whole_blocks(&f);
    for (size_t size = 8; size <= 2048; size *= 4) {
        unsigned count = 0;
        // On CPU 1, never seen again, through a handle whose thread dies.
        test_cpu_enter(1);
        while ((objects[count] = f.ops->allocate(handle, size)) != NULL)
            count++;
        // On CPU 2, every other one first, so that no slab is empty before the end; from above,
        // which costs the linked list no search.
        test_cpu_enter(2);
        for (unsigned odd = 2; odd-- > 0;)
            for (unsigned i = count; i-- > 0;)
                if (i % 2 == odd)
                    f.ops->release(handle, objects[i], size);
        f.ops->leave(handle);
        // What a CPU keeps without a lock only that CPU can give back.
        for (unsigned cpu = 1; cpu <= 2 && f.ops->cpu_keeps; cpu++) {
            test_cpu_enter(cpu);
            f.ops->trim(f.heap);
        }
        test_cpu_enter(0);
        ck_assert_uint_eq(whole_blocks(&f), f.whole);
        handle = f.ops->join(f.heap, memory);
    }
    f.ops->leave(handle);
    free(memory);
    discard(&f);
}
END_TEST

START_TEST(a_handle_whose_thread_is_gone_gives_all_back)
{
    struct fixture f = heap_over(shared[_i], 2u << 20);
    void *memory = handle_of(&f);
    f.whole = whole_blocks(&f);
    for (unsigned turn = 0; turn < 100; turn++) {
        void *objects[200];
        test_cpu_enter(1);
        void *handle = f.ops->join(f.heap, memory);
        for (unsigned i = 0; i < ARRAY_COUNT(objects); i++)
            objects[i] = f.ops->allocate(handle, 8u << i % 9);
        for (unsigned i = 0; i < ARRAY_COUNT(objects); i++)
            f.ops->release(handle, objects[i], 8u << i % 9);
        test_cpu_enter(0);
        f.ops->leave(handle);
        ck_assert(f.ops->check(f.heap));
    }
    expect_all_back(&f, 2);
    free(memory);
    discard(&f);
}
END_TEST

START_TEST(what_a_handle_did_stays_in_the_counts_when_it_leaves)
{
    struct fixture f = heap_over(shared[_i], 2u << 20);
    void *memory = handle_of(&f);
    struct heap_statistics with, without;
    void *handle = f.ops->join(f.heap, memory);
    void *small = f.ops->allocate(handle, 100), *large = f.ops->allocate(handle, 10000);
    f.ops->release(handle, f.ops->allocate(handle, 48), 48);
    ck_assert_ptr_null(f.ops->allocate(handle, SIZE_MAX / 2));
    f.ops->statistics(f.heap, &with);
    ck_assert_uint_eq(with.allocations, 3);
    ck_assert_uint_eq(with.frees, 1);
    ck_assert_uint_eq(with.failures, 1);
    f.ops->leave(handle);
    f.ops->statistics(f.heap, &without);
    ck_assert_uint_eq(without.allocations, with.allocations);
    ck_assert_uint_eq(without.frees, with.frees);
    ck_assert_uint_eq(without.failures, with.failures);
    ck_assert_uint_eq(without.bytes_allocated, with.bytes_allocated);
    ck_assert_uint_eq(without.bytes_freed, with.bytes_freed);
    ck_assert_uint_eq(without.cache_hits, with.cache_hits);
    ck_assert_uint_eq(without.cache_misses, with.cache_misses);
    // Objects live on without the handle they came from.
    f.ops->release(f.heap, small, 100);
    f.ops->release(f.heap, large, 10000);
    ck_assert(f.ops->check(f.heap));
    free(memory);
    discard(&f);
}
END_TEST

// ---- programmer's errors over two threads: each ends in a panic ---------------------------------

struct other {
    const struct fixture *f;
    void *object;
    size_t size;
};

static void *release_there(void *argument)
{
    struct other *other = argument;
    void *memory = handle_of(other->f);
    test_cpu_enter(1);
    other->f->ops->release(other->f->ops->join(other->f->heap, memory), other->object, other->size);
    return NULL;
}

static void release_on_another_thread(const struct fixture *f, void *object, size_t size)
{
    struct other other = {f, object, size};
    pthread_t thread;
    ck_assert_int_eq(pthread_create(&thread, NULL, release_there, &other), 0);
    pthread_join(thread, NULL);
}

// All but SLUB, whose plain caches know what is free on this CPU and in the slabs; it finds a free
// on two CPUs in a checked cache (test_slub_debug.c).
static const struct heap_ops *everywhere[ARRAY_COUNT(variants)];
static int everywhere_count;

static void find_everywhere(void)
{
    for (int i = 0; i < shared_count; i++)
        if (shared[i] != &heap_slub_ops)
            everywhere[everywhere_count++] = shared[i];
}

START_TEST(an_object_freed_here_and_there_panics)
{
    static const size_t sizes[] = {8, 64, 2048, 8192};
    const size_t size = sizes[_i % 4];
    struct fixture f = heap_over(everywhere[_i / 4], 1u << 20);
    void *object = f.ops->allocate(f.heap, size), *kept = f.ops->allocate(f.heap, size);
    ck_assert_ptr_nonnull(kept);
    release_on_another_thread(&f, object, size);
    f.ops->release(f.heap, object, size);
}
END_TEST

START_TEST(a_pointer_into_an_object_of_another_thread_panics)
{
    struct fixture f = heap_over(shared[_i], 1u << 20);
    char *object = f.ops->allocate(f.heap, 256);
    memset(object, 0xa5, 256);
    release_on_another_thread(&f, object + 64, 64);
}
END_TEST

START_TEST(memory_never_handed_out_panics_on_another_thread)
{
    struct fixture f = heap_over(shared[_i], 1u << 20);
    memset((char *)f.memory + (512u << 10), 0, 4096);
    release_on_another_thread(&f, (char *)f.memory + (512u << 10) + 64, 64);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("heap_threads");
    TCase *all = tcase_create("heaps with handles"), *panics = tcase_create("panics");
    find_variants();
    find_everywhere();
    const int count = shared_count;
    tcase_set_timeout(all, 600);
    tcase_add_loop_test(all, threads_free_each_others_memory_migrate_and_die, 0, count);
    tcase_add_loop_test(all, threads_that_run_out_of_memory_together_lose_none, 0, count);
    tcase_add_loop_test(all, a_producer_and_a_consumer_use_the_same_memory_over_and_over, 0, count);
    tcase_add_loop_test(all, handles_that_come_and_go_on_any_cpu_keep_every_object_and_count, 0,
                        count);
    tcase_add_loop_test(all, memory_freed_elsewhere_is_found_when_its_cpu_never_comes_back, 0,
                        count);
    tcase_add_loop_test(all, a_handle_whose_thread_is_gone_gives_all_back, 0, count);
    tcase_add_loop_test(all, what_a_handle_did_stays_in_the_counts_when_it_leaves, 0, count);
    suite_add_tcase(suite, all);
    if (CONFIG_ASSERT_SLOW) { // heaps may find these out at once in test builds only
        tcase_add_loop_test_raise_signal(panics, an_object_freed_here_and_there_panics, SIGABRT, 0,
                                         4 * everywhere_count);
        tcase_add_loop_test_raise_signal(panics, a_pointer_into_an_object_of_another_thread_panics,
                                         SIGABRT, 0, count);
        tcase_add_loop_test_raise_signal(panics, memory_never_handed_out_panics_on_another_thread,
                                         SIGABRT, 0, count);
        suite_add_tcase(suite, panics);
    }
    return run_checks(suite);
}
