// SPDX-License-Identifier: MIT
// One body for every message queue: against a model, around the wraps, between two threads.
//
// The floor checks nothing but full and empty and reads 56 bytes whatever the length: it is left
// out where a test hands in bad arguments or short buffers, and all buffers elsewhere have 56.
#include <check.h>
#include <pthread.h>
#include <sched.h>
#include <time.h>

#include "random.h"
#include "ring_subject.h"
#include "run_checks.h"
#include "seed.h"
#include "soak.h"
#include "test_platform.h"

// The obvious queue: what a ring of `slots` has to do.
struct model {
    struct ring_message queued[BATCH_MOST];
    size_t count, slots;
    struct ring_statistics statistics;
};

static size_t model_send(struct model *model, const struct ring_message *messages, size_t count)
{
    const size_t fitting = min_u64(count, model->slots - model->count);
    memcpy(&model->queued[model->count], messages, fitting * sizeof(*messages));
    model->count += fitting;
    model->statistics.sent += fitting;
    model->statistics.refused_full += fitting == 0;
    return fitting;
}

static void model_receive(struct model *model, size_t count)
{
    model->count -= count;
    memmove(model->queued, &model->queued[count], model->count * sizeof(model->queued[0]));
    model->statistics.received += count;
}

static void require(bool condition, const struct subject *s, const char *what)
{
    if (!condition) // Check writes a mark for every assertion: too slow for each step here
        ck_abort_msg("%s: %s", NAME(s->ops), what);
}

static void step_send(struct model *model, const struct subject *s, struct random *random)
{
    struct ring_message message = message_of(random_u64(random));
    const bool too_large = checks_arguments(s->ops) && random_below(random, 16) == 0;
    message.length = too_large ? 57 + (random_u64(random) >> 1) : message.length;
    const enum status status = s->ops->send(s->ring, message.payload, message.length);
    if (too_large)
        require(status == STATUS_TOO_LARGE, s, "a send was not too large");
    else
        require(status == (model_send(model, &message, 1) == 1 ? STATUS_OK : STATUS_FULL), s,
                "a send has another status");
}

static void step_send_batch(struct model *model, const struct subject *s, struct random *random)
{
    struct ring_message messages[BATCH_MOST + 2];
    const bool bad = checks_arguments(s->ops);
    const size_t count =
        bad ? random_below(random, model->slots + 3) : 1 + random_below(random, model->slots);
    for (size_t i = 0; i < count; i++)
        messages[i] = message_of(random_u64(random));
    const bool too_large = bad && count > 0 && random_below(random, 4) == 0;
    if (too_large)
        messages[random_below(random, count)].length = 57 + random_below(random, 1000);
    size_t sent = 99, expected_sent = 0;
    enum status expected = STATUS_OK;
    if (count == 0 || count > model->slots)
        expected = STATUS_INVALID;
    else if (too_large)
        expected = STATUS_TOO_LARGE;
    else if ((expected_sent = model_send(model, messages, count)) == 0)
        expected = STATUS_FULL;
    require(s->ops->send_batch(s->ring, messages, count, &sent) == expected, s,
            "a batch has another status");
    require(sent == expected_sent, s, "another number of messages of a batch was sent");
}

static void step_receive(struct model *model, const struct subject *s)
{
    struct ring_message actual;
    const enum status status = s->ops->receive(s->ring, actual.payload, &actual.length);
    require(status == (model->count == 0 ? STATUS_EMPTY : STATUS_OK), s,
            "a receive has another status");
    if (status != STATUS_OK)
        return;
    require(same_message(&actual, &model->queued[0]), s, "another message was received");
    model_receive(model, 1);
}

static void step_receive_batch(struct model *model, const struct subject *s, struct random *random)
{
    struct ring_message actual[BATCH_MOST];
    const size_t count = random_below(random, BATCH_MOST + 1);
    const size_t expected = min_u64(count, model->count);
    size_t received = 99;
    const enum status status = s->ops->receive_batch(s->ring, actual, count, &received);
    require(status == (expected == 0 ? STATUS_EMPTY : STATUS_OK), s,
            "a batch receive has another status");
    require(received == expected, s, "another number of messages was received");
    for (size_t i = 0; i < received; i++)
        require(same_message(&actual[i], &model->queued[i]), s, "a received batch differs");
    model_receive(model, received);
}

static void run_model(struct subject *s, struct random *random, unsigned steps)
{
    struct model model = {.slots = s->slots};
    unsigned bias = 2; // phases that fill, that drain, and that do neither
    for (unsigned step = 0; step < steps; step++) {
        if (step % 64 == 0)
            bias = 1 + (unsigned)random_below(random, 3);
        const bool send = random_below(random, 4) < bias;
        const bool batch = random_below(random, 3) == 0;
        if (send && batch)
            step_send_batch(&model, s, random);
        else if (send)
            step_send(&model, s, random);
        else if (batch)
            step_receive_batch(&model, s, random);
        else
            step_receive(&model, s);
        require(s->ops->free_slots(s->ring) == s->slots - model.count, s, "free_slots differs");
        require(step % 8 != 0 || s->ops->check(s->ring), s, "an invariant is broken");
    }
    const struct ring_statistics statistics = statistics_of(s);
    require(statistics.sent == model.statistics.sent, s, "sent differs");
    require(statistics.received == model.statistics.received, s, "received differs");
    require(statistics.refused_full == model.statistics.refused_full, s, "refused_full differs");
    require(statistics.refused_full > 0 || steps < 1000, s, "the ring was never full");
}

START_TEST(a_ring_behaves_like_an_array_that_is_a_queue)
{
    struct random random = seeded_for(NAME(variants[_i]));
    for (size_t slots = 2; slots <= BATCH_MOST; slots *= 2) {
        struct subject s = create(variants[_i], slots);
        run_model(&s, &random, 20000);
        destroy(&s);
    }
}
END_TEST

START_TEST(positions_wrap_at_32_and_64_bits)
{
    const struct own_variant *own = &own_variants[_i];
    struct random random = seeded_for(NAME(own->ops));
    const uint64_t wraps[] = {(uint64_t)1 << 32, 0, (uint64_t)1 << 63, (uint64_t)1 << 31};
    for (size_t wrap = 0; wrap < ARRAY_COUNT(wraps); wrap++) {
        for (size_t slots = 2; slots <= BATCH_MOST; slots *= 2) {
            for (uint64_t before = 0; before <= 2 * slots; before += 1 + slots / 8) {
                struct subject s = allocate(own->ops, slots);
                const uint64_t position = wraps[wrap] - before;
                ck_assert_int_eq(own->init_at(s.ring, s.memory, slots, position), STATUS_OK);
                ck_assert(s.ops->check(s.ring));
                run_model(&s, &random, 200);
                destroy(&s);
            }
        }
    }
}
END_TEST

// A million, or a part of it; a thousand times that in a soak.
static uint64_t stream_messages(void)
{
    return soaked(1000000 / SOAK_RACES_PART, 1000000000);
}

// A producer and a consumer thread and what they share.
struct stream {
    struct subject subject;
    bool batches;
    uint64_t seed;
    uint64_t messages;
    uint64_t wrong; // number of the first wrong message plus one; the consumer's
    bool done;
};

// Lets the other thread run when there are fewer CPUs than threads.
static void pause_or_yield(unsigned *idle)
{
    if (++*idle % 64 == 0)
        sched_yield();
    else
        cpu_pause();
}

static void *produce(void *argument)
{
    const struct stream *stream = argument;
    const struct subject *s = &stream->subject;
    struct random random = random_seeded(stream->seed);
    struct ring_message messages[BATCH_MOST];
    unsigned idle = 0;
    test_cpu_enter(1);
    for (uint64_t next = 0; next < stream->messages;) {
        size_t sent = 0;
        if (stream->batches && random_below(&random, 2) != 0) {
            const size_t most = min_u64(min_u64(s->slots, BATCH_MOST), stream->messages - next);
            const size_t count = 1 + random_below(&random, most);
            make_messages(messages, count, next);
            s->ops->send_batch(s->ring, messages, count, &sent);
        } else {
            sent = send_number(s, next) == STATUS_OK;
        }
        next += sent;
        if (sent == 0)
            pause_or_yield(&idle);
    }
    return NULL;
}

static void *consume(void *argument)
{
    struct stream *stream = argument;
    const struct subject *s = &stream->subject;
    struct random random = random_seeded(~stream->seed);
    struct ring_message messages[BATCH_MOST];
    unsigned idle = 0;
    test_cpu_enter(2);
    for (uint64_t next = 0; next < stream->messages && stream->wrong == 0;) {
        size_t received = 0;
        if (stream->batches && random_below(&random, 2) != 0) {
            const size_t count = 1 + random_below(&random, BATCH_MOST);
            s->ops->receive_batch(s->ring, messages, count, &received);
        } else {
            received =
                s->ops->receive(s->ring, messages[0].payload, &messages[0].length) == STATUS_OK;
        }
        for (size_t i = 0; i < received; i++, next++) {
            const struct ring_message expected = message_of(next);
            if (stream->wrong == 0 && !same_message(&messages[i], &expected))
                stream->wrong = next + 1;
        }
        if (received == 0)
            pause_or_yield(&idle);
    }
    __atomic_store_n(&stream->done, true, __ATOMIC_RELEASE);
    return NULL;
}

// Two threads move messages while this one looks at the ring all the time.
static void run_stream(const struct ring_ops *ops, size_t slots, uint64_t count, bool batches)
{
    struct random random = seeded_for(NAME(ops));
    struct stream stream = {create(ops, slots), batches, random_u64(&random), count, 0, false};
    const struct subject *s = &stream.subject;
    pthread_t producer, consumer;
    ck_assert_int_eq(pthread_create(&consumer, NULL, consume, &stream), 0);
    ck_assert_int_eq(pthread_create(&producer, NULL, produce, &stream), 0);
    bool plausible = true;
    while (!__atomic_load_n(&stream.done, __ATOMIC_ACQUIRE)) {
        const struct ring_statistics seen = statistics_of(s);
        plausible &= seen.received <= seen.sent && seen.sent <= stream.messages;
        plausible &= ops->free_slots(s->ring) <= slots;
        nanosleep(&(struct timespec){.tv_nsec = 50000}, NULL);
    }
    ck_assert_msg(stream.wrong == 0, "%s: message %lu is wrong", NAME(ops),
                  (unsigned long)stream.wrong - 1);
    ck_assert_int_eq(pthread_join(producer, NULL), 0);
    ck_assert_int_eq(pthread_join(consumer, NULL), 0);
    ck_assert_msg(plausible, "%s: an impossible state was seen", NAME(ops));
    ck_assert_uint_eq(statistics_of(s).sent, stream.messages);
    ck_assert_uint_eq(statistics_of(s).received, stream.messages);
    expect_empty(s);
    destroy(&stream.subject);
}

START_TEST(two_threads_lose_and_reorder_nothing)
{
    run_stream(variants[_i], RING_SLOTS_DEFAULT, stream_messages(), false);
}
END_TEST

START_TEST(two_threads_lose_and_reorder_nothing_in_batches_through_a_small_ring)
{
    // Fewer: the two wait for each other most of the time.
    run_stream(variants[_i], 16, stream_messages() / 4, true);
}
END_TEST

static void add_whole_tests(Suite *suite)
{
    TCase *whole = tcase_create("whole");
    tcase_set_timeout(whole, stream_messages() > 1000000 ? 7200 : 240);
    tcase_add_loop_test(whole, a_ring_behaves_like_an_array_that_is_a_queue, 0, VARIANTS);
    tcase_add_loop_test(whole, positions_wrap_at_32_and_64_bits, 0, OWN_VARIANTS);
    tcase_add_loop_test(whole, two_threads_lose_and_reorder_nothing, 0, VARIANTS);
    tcase_add_loop_test(whole, two_threads_lose_and_reorder_nothing_in_batches_through_a_small_ring,
                        0, VARIANTS);
    suite_add_tcase(suite, whole);
}

int main(void)
{
    for (int i = 0; i < VARIANTS; i++)
        printf("variant %d: %s\n", i, NAME(variants[i]));
    fflush(stdout); // the tests fork
    Suite *suite = suite_create("ring_model");
    add_whole_tests(suite);
    return run_checks(suite);
}
