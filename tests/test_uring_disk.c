// SPDX-License-Identifier: MIT
// The io_uring disk in all modes, over a file whose content is known.
#include <fcntl.h>
#include <pthread.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "driver_peers.h"
#include "random.h"
#include "seed.h"
#include "uring_subject.h"

#define AT_ONCE 24u

#define VARIANT_OPS(name) &driver_##name##_ops,
static const struct driver_ops *const variants[] = {DRIVER_VARIANTS(VARIANT_OPS)};
static const struct driver_ops *const peers[] = {DRIVER_PEERS(VARIANT_OPS)};

// Memory that begins anywhere, in up to four pieces, between bytes that nobody may change.
struct scattered {
    struct block_request request;
    struct block_segment segments[4];
    uint8_t *memory;
    uint32_t begin, bytes;
};

static void scatter(struct scattered *one, struct random *random)
{
    const uint32_t block = subject.scratch.block_bytes;
    const uint32_t most = URING_DISK_TRANSFER / block;
    const bool pages = random_below(random, 2) == 0;
    uint32_t count = 1 + (uint32_t)random_below(random, random_below(random, 4) == 0 ? most : 16);
    if (pages)
        count = (uint32_t)align_up(count, PAGE_SIZE / block);
    const uint64_t first = random_below(random, SUBJECT_BYTES / block - count + 1);
    one->bytes = count * block;
    one->begin = PAGE_SIZE + (pages ? 0 : 4 * (uint32_t)random_below(random, 1024));
    one->memory = subject_pages(one->begin + one->bytes + PAGE_SIZE);
    memset(one->memory, 0xa5, one->begin + one->bytes + PAGE_SIZE);
    uint32_t pieces = 0, at = 0;
    while (at < one->bytes) {
        const uint32_t step = pages ? PAGE_SIZE : 4;
        uint32_t bytes = step * (1 + (uint32_t)random_below(random, one->bytes / step));
        if (bytes > one->bytes - at || pieces == 3)
            bytes = one->bytes - at;
        uint8_t *memory = one->memory + one->begin + at;
        one->segments[pieces++] =
            (struct block_segment){.memory = memory, .address = (uintptr_t)memory, .bytes = bytes};
        at += bytes;
    }
    block_request_init(&one->request, BLOCK_READ, first, count, one->segments, pieces);
    one->request.tolerant = random_below(random, 2) == 0;
}

static void check(struct scattered *one)
{
    const uint64_t offset = one->request.first * subject.scratch.block_bytes;
    uint8_t *aligned = subject_pages(one->bytes);
    memcpy(aligned, one->memory + one->begin, one->bytes);
    ck_assert(block_pattern_holds(subject.scratch.generation, offset, aligned, one->bytes));
    const uint32_t end = one->begin + one->bytes;
    bool untouched = true;
    for (uint32_t i = 0; i < end + PAGE_SIZE; i = i + 1 == one->begin ? end : i + 1)
        untouched = untouched && one->memory[i] == 0xa5;
    ck_assert(untouched);
    free(aligned);
    free(one->memory);
}

START_TEST(each_mode_reads_what_stands_there_wherever_it_is_to_go)
{
    struct random random = seeded_for(__func__);
    const struct driver_ops *ops = variants[_i];
    uint64_t reads = 0;
    if (!subject_start(1, 0, 0))
        return;
    ops->begin(subject.device, 0);
    for (unsigned turn = 0; turn < 40; turn++) {
        struct scattered ones[AT_ONCE];
        const unsigned count = 1 + (unsigned)random_below(&random, AT_ONCE);
        for (unsigned i = 0; i < count; i++) {
            scatter(&ones[i], &random);
            ck_assert_int_eq(ops->submit(subject.device, 0, &ones[i].request), STATUS_OK);
        }
        ops->flush(subject.device, 0);
        const unsigned begin = (unsigned)random_below(&random, count);
        for (unsigned i = 0; i < count; i++) {
            struct scattered *one = &ones[(begin + i) % count];
            ck_assert_int_eq(ops->wait(subject.device, &one->request, &subject.waiter), STATUS_OK);
            check(one);
            reads++;
        }
    }
    const struct block_statistics statistics = subject_statistics();
    if (ops->about.role != VARIANT_FLOOR)
        ck_assert_uint_eq(statistics.completed, reads);
    ck_assert_uint_eq(statistics.strays + statistics.timeouts + statistics.failed, 0);
    subject_end();
}
END_TEST

START_TEST(what_reads_without_us_reads_the_same)
{
    const struct driver_ops *ops = peers[_i];
    struct reading readings[32];
    if (!subject_start(1, 0, 0))
        return;
    ck_assert(driver_peers_fit(subject.device));
    ops->begin(subject.device, 0);
    for (unsigned turn = 0; turn < 10; turn++) {
        for (unsigned i = 0; i < 32; i++) {
            reading_init(&readings[i], 97 * i + turn, 1 + turn * i % 20);
            ck_assert_int_eq(ops->submit(subject.device, 0, &readings[i].request), STATUS_OK);
        }
        ops->flush(subject.device, 0);
        for (unsigned i = 0; i < 32; i++) {
            ck_assert_int_eq(ops->wait(subject.device, &readings[i].request, NULL), STATUS_OK);
            ck_assert(reading_is_right(&readings[i]));
            reading_free(&readings[i]);
        }
    }
    ck_assert_uint_eq(subject_statistics().commands, 0);
    // Behind the end of the file there is nothing.
    reading_init(&readings[0], SUBJECT_BYTES / subject.scratch.block_bytes, 1);
    ck_assert_int_eq(ops->submit(subject.device, 0, &readings[0].request), STATUS_OK);
    ck_assert_int_eq(ops->wait(subject.device, &readings[0].request, NULL), STATUS_FAILED);
    reading_free(&readings[0]);
    driver_peers_end();
    subject_end();
}
END_TEST

START_TEST(polling_never_sleeps_and_interrupt_mode_does)
{
    struct reading reading;
    if (!subject_start(1, 0, 0))
        return;
    const struct driver_ops *ops = _i == 0 ? &driver_polling_ops : &driver_interrupt_ops;
    ops->begin(subject.device, 0);
    for (unsigned i = 0; i < 50; i++) {
        reading_init(&reading, 16 * i, 8);
        ck_assert_int_eq(ops->submit(subject.device, 0, &reading.request), STATUS_OK);
        ck_assert_int_eq(ops->wait(subject.device, &reading.request, &subject.waiter), STATUS_OK);
        ck_assert(reading_is_right(&reading));
        reading_free(&reading);
    }
    const struct block_statistics statistics = subject_statistics();
    ck_assert_uint_eq(statistics.doorbells, 50);
    if (_i == 0) {
        ck_assert_uint_eq(statistics.sleeps + statistics.interrupts + subject.sleeper.sleeps, 0);
    } else {
        ck_assert_uint_gt(statistics.sleeps, 0);
        ck_assert_uint_gt(statistics.interrupts, 0);
        ck_assert_uint_eq(statistics.sleeps, subject.sleeper.sleeps);
        ck_assert_int_eq(prctl(PR_GET_TIMERSLACK), 1);
    }
    subject_end();
}
END_TEST

START_TEST(a_batch_costs_one_system_call_and_neighbours_one_request)
{
    struct reading readings[BLOCK_BATCH_MOST];
    if (!subject_start(1, 0, 0))
        return;
    driver_batch_ops.begin(subject.device, 0);
    // Every second block, or each; in disorder.
    for (unsigned i = 0; i < BLOCK_BATCH_MOST; i++) {
        const unsigned place = i * 7 % BLOCK_BATCH_MOST;
        reading_init(&readings[i], _i == 0 ? 2 * place : place, 1);
        ck_assert_int_eq(driver_batch_ops.submit(subject.device, 0, &readings[i].request),
                         STATUS_OK);
    }
    driver_batch_ops.flush(subject.device, 0);
    for (unsigned i = 0; i < BLOCK_BATCH_MOST; i++) {
        ck_assert_int_eq(
            driver_batch_ops.wait(subject.device, &readings[i].request, &subject.waiter),
            STATUS_OK);
        ck_assert(reading_is_right(&readings[i]));
        reading_free(&readings[i]);
    }
    const struct block_statistics statistics = subject_statistics();
    // The time of a batch may be over before it is full, where the computer is busy.
    ck_assert_uint_le(statistics.doorbells, statistics.batches);
    if (statistics.batches == 1)
        ck_assert_uint_eq(statistics.commands, _i == 0 ? BLOCK_BATCH_MOST : 1);
    subject_end();
}
END_TEST

START_TEST(what_does_not_fit_into_the_ring_waits_and_then_is_refused)
{
    enum { ALL = 2 * URING_DISK_DEPTH + 1 };
    static struct reading readings[ALL];
    if (!subject_start(1, 0, 0))
        return;
    block_set_mode(subject.device, 0, BLOCK_POLLING, false);
    for (unsigned i = 0; i < ALL; i++) {
        reading_init(&readings[i], i, 1);
        ck_assert_int_eq(block_submit_request(subject.device, 0, &readings[i].request),
                         i < ALL - 1 ? STATUS_OK : STATUS_FULL);
    }
    ck_assert_uint_eq(subject_statistics().backlogged, URING_DISK_DEPTH);
    for (unsigned i = 0; i < ALL - 1; i++) {
        ck_assert_int_eq(
            block_wait_interrupt(subject.device, &readings[i].request, &subject.waiter), STATUS_OK);
        ck_assert(reading_is_right(&readings[i]));
    }
    ck_assert_int_eq(block_submit_request(subject.device, 0, &readings[ALL - 1].request),
                     STATUS_OK);
    ck_assert_int_eq(block_poll_wait(subject.device, &readings[ALL - 1].request), STATUS_OK);
    ck_assert(reading_is_right(&readings[ALL - 1]));
    for (unsigned i = 0; i < ALL; i++)
        reading_free(&readings[i]);
    subject_end();
}
END_TEST

// ---- time on the CPU ----------------------------------------------------------------------------

static int pipe_of_disk[2];

// A disk that answers late, and only when it is told to.
static void *answer_late(void *unused)
{
    static const uint8_t block[4096];
    const struct timespec late = {.tv_nsec = 300 * 1000000};
    (void)unused;
    nanosleep(&late, NULL);
    ck_assert(write(pipe_of_disk[1], block, subject.scratch.block_bytes) > 0);
    return NULL;
}

static uint64_t busy_while(const struct driver_ops *ops)
{
    struct reading reading;
    pthread_t thread;
    reading_init(&reading, 0, 1);
    ops->begin(subject.device, 0);
    ck_assert_int_eq(pthread_create(&thread, NULL, answer_late, NULL), 0);
    const uint64_t before = uring_busy_ns();
    ck_assert_int_eq(ops->submit(subject.device, 0, &reading.request), STATUS_OK);
    ck_assert_int_eq(ops->wait(subject.device, &reading.request, &subject.waiter), STATUS_OK);
    const uint64_t busy = uring_busy_ns() - before;
    pthread_join(thread, NULL);
    reading_free(&reading);
    return busy;
}

START_TEST(a_sleeping_thread_takes_next_to_no_time_and_a_polling_one_all)
{
    if (!subject_start(1, 0, 0))
        return;
    ck_assert_int_eq(pipe(pipe_of_disk), 0);
    ck_assert(dup2(pipe_of_disk[0], subject.scratch.file) >= 0);
    const uint64_t asleep = busy_while(&driver_interrupt_ops);
    const uint64_t hybrid = busy_while(&driver_hybrid_ops);
    const uint64_t awake = busy_while(&driver_polling_ops);
    ck_assert_uint_gt(asleep, 0);
    ck_assert_uint_lt(asleep * 4, awake);
    ck_assert_uint_lt(hybrid * 4, awake);
    close(pipe_of_disk[0]);
    close(pipe_of_disk[1]);
    subject_end();
}
END_TEST

// ---- patience -----------------------------------------------------------------------------------

START_TEST(who_reads_without_us_gives_a_disk_up_that_does_not_answer)
{
    static const uint8_t block[4096];
    const struct driver_ops *ops = peers[_i];
    struct reading reading;
    if (!subject_start(1, 0, 0))
        return;
    ck_assert_int_eq(pipe(pipe_of_disk), 0);
    ck_assert(dup2(pipe_of_disk[0], subject.scratch.file) >= 0);
    reading_init(&reading, 0, 1);
    driver_peers_patience(MILLISECOND);
    ops->begin(subject.device, 0);
    ck_assert_int_eq(ops->submit(subject.device, 0, &reading.request), STATUS_OK);
    const uint64_t start = subject_ns(NULL);
    ck_assert_int_eq(ops->wait(subject.device, &reading.request, NULL), STATUS_TIMEOUT);
    ck_assert_uint_ge(subject_ns(NULL) - start, MILLISECOND);
    // It is still on its way, and ends when the disk answers after all.
    driver_peers_patience(0);
    ck_assert(write(pipe_of_disk[1], block, subject.scratch.block_bytes) > 0);
    ck_assert_int_eq(ops->wait(subject.device, &reading.request, NULL), STATUS_OK);
    driver_peers_end();
    reading_free(&reading);
    close(pipe_of_disk[0]);
    close(pipe_of_disk[1]);
    subject_end();
}
END_TEST

START_TEST(a_disk_says_what_it_is)
{
    if (!subject_start(2, 0, 0))
        return;
    const struct block_facts *facts = &subject.device->facts;
    ck_assert_uint_eq(facts->blocks * facts->block_bytes, SUBJECT_BYTES);
    ck_assert_uint_eq(facts->queues, 2);
    ck_assert_str_eq(facts->serial, URING_DISK_SERIAL);
    ck_assert_str_eq(facts->model, "of a test");
    ck_assert(!uring_disk_ops.simulated && uring_cached_ops.simulated);
    subject_end();
}
END_TEST

START_TEST(a_disk_without_queues_panics)
{
    const char *problem;
    const struct uring_disk_config config = {.file = 0, .block_bytes = 512, .bytes = 512};
    uring_disk_init(subject_pages(sizeof(struct uring_disk)), &config, &problem);
}
END_TEST

START_TEST(a_disk_of_odd_blocks_panics)
{
    const char *problem;
    const struct uring_disk_config config = {
        .file = 0, .block_bytes = 256, .bytes = 512, .queues = 1};
    uring_disk_init(subject_pages(sizeof(struct uring_disk)), &config, &problem);
}
END_TEST

START_TEST(a_disk_of_part_of_a_block_panics)
{
    const char *problem;
    const struct uring_disk_config config = {
        .file = 0, .block_bytes = 512, .bytes = 700, .queues = 1};
    uring_disk_init(subject_pages(sizeof(struct uring_disk)), &config, &problem);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("uring_disk");
    TCase *all = tcase_create("disk");
    tcase_set_timeout(all, 120);
    suite_add_tcase(suite, all);
    tcase_add_loop_test(all, each_mode_reads_what_stands_there_wherever_it_is_to_go, 0,
                        (int)ARRAY_COUNT(variants));
    tcase_add_loop_test(all, what_reads_without_us_reads_the_same, 0, (int)ARRAY_COUNT(peers));
    // Not pread, the first: nothing interrupts a preadv.
    tcase_add_loop_test(all, who_reads_without_us_gives_a_disk_up_that_does_not_answer, 1,
                        (int)ARRAY_COUNT(peers));
    tcase_add_loop_test(all, polling_never_sleeps_and_interrupt_mode_does, 0, 2);
    tcase_add_loop_test(all, a_batch_costs_one_system_call_and_neighbours_one_request, 0, 2);
    tcase_add_test(all, what_does_not_fit_into_the_ring_waits_and_then_is_refused);
    tcase_add_test(all, a_sleeping_thread_takes_next_to_no_time_and_a_polling_one_all);
    tcase_add_test(all, a_disk_says_what_it_is);
    tcase_add_test_raise_signal(all, a_disk_without_queues_panics, SIGABRT);
    tcase_add_test_raise_signal(all, a_disk_of_odd_blocks_panics, SIGABRT);
    tcase_add_test_raise_signal(all, a_disk_of_part_of_a_block_panics, SIGABRT);
    return run_checks(suite);
}
