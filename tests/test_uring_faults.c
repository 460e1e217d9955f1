// SPDX-License-Identifier: MIT
// Files that end, vanish or never answer, rings that break, systems that allow no io_uring.
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "host_disk.h"
#include "uring_subject.h"

static enum status read_one(uint64_t first, uint32_t *device_status)
{
    struct reading reading;
    reading_init(&reading, first, 1);
    enum status status = block_submit_request(subject.device, 0, &reading.request);
    ck_assert_int_eq(status, STATUS_OK);
    status = block_wait_interrupt(subject.device, &reading.request, &subject.waiter);
    if (device_status != NULL)
        *device_status = reading.request.device_status;
    ck_assert_int_eq(status == STATUS_OK, reading_is_right(&reading));
    reading_free(&reading);
    return status;
}

START_TEST(a_file_that_has_become_short_fails_what_lies_behind_its_end)
{
    uint32_t words;
    if (!subject_start(1, 0, 0))
        return;
    const uint64_t half = SUBJECT_BYTES / subject.scratch.block_bytes / 2;
    ck_assert_int_eq(ftruncate(subject.scratch.file, (off_t)(SUBJECT_BYTES / 2)), 0);
    ck_assert_int_eq(read_one(half - 1, NULL), STATUS_OK);
    ck_assert_int_eq(read_one(half, &words), STATUS_FAILED);
    ck_assert_uint_eq(words, EIO);
    // One that lies across: of it alone the batch's others do not fail.
    struct reading readings[2];
    for (unsigned i = 0; i < 2; i++) {
        reading_init(&readings[i], half - 1 + i, 1);
        ck_assert_int_eq(block_batch_operation(subject.device, 0, &readings[i].request), STATUS_OK);
    }
    block_flush_batch(subject.device, 0);
    ck_assert_int_eq(block_wait_interrupt(subject.device, &readings[0].request, &subject.waiter),
                     STATUS_OK);
    ck_assert_int_eq(block_wait_interrupt(subject.device, &readings[1].request, &subject.waiter),
                     STATUS_FAILED);
    ck_assert_uint_eq(subject_statistics().split, 1);
    reading_free(&readings[0]);
    reading_free(&readings[1]);
    subject_end();
}
END_TEST

START_TEST(a_closed_file_fails_requests_and_is_gone)
{
    uint32_t words;
    if (!subject_start(1, 0, 0))
        return;
    ck_assert_int_eq(uring_disk_ops.health(subject.disk), BLOCK_HEALTHY);
    close(subject.scratch.file);
    subject.scratch.file = -1;
    ck_assert_int_eq(read_one(0, &words), STATUS_FAILED);
    ck_assert_uint_eq(words, EBADF);
    ck_assert_int_eq(uring_disk_ops.health(subject.disk), BLOCK_GONE);
    subject_end();
}
END_TEST

// In place of the file, a pipe that nobody writes to.
static void silence(int *ends)
{
    ck_assert_int_eq(pipe(ends), 0);
    ck_assert(dup2(ends[0], subject.scratch.file) >= 0);
}

START_TEST(a_request_that_is_never_answered_is_cancelled_in_time)
{
    int ends[2];
    if (!subject_start(1, 50 * MILLISECOND, 0))
        return;
    const int kept = dup(subject.scratch.file);
    silence(ends);
    const uint64_t start = subject_ns(NULL);
    ck_assert_int_eq(read_one(0, NULL), STATUS_TIMEOUT);
    ck_assert_uint_ge(subject_ns(NULL) - start, 50 * MILLISECOND);
    struct block_statistics statistics = subject_statistics();
    ck_assert_uint_eq(statistics.timeouts, 1);
    ck_assert_uint_eq(statistics.aborts, 1);
    // The next does not suffer for it.
    ck_assert(dup2(kept, subject.scratch.file) >= 0);
    subject.device->timeout_ticks = 1000 * subject.device->timeout_ticks;
    ck_assert_int_eq(read_one(5, NULL), STATUS_OK);
    ck_assert_int_eq(block_device_state(subject.device), BLOCK_DEVICE_RUNNING);
    close(ends[0]);
    close(ends[1]);
    close(kept);
    subject_end();
}
END_TEST

// More than a queue has, and what is never answered is what fills it.
START_TEST(a_full_ring_that_is_never_answered_ends_every_request)
{
    enum { ALL = 2 * URING_DISK_DEPTH };
    static struct reading readings[ALL];
    int ends[2];
    if (!subject_start(1, 50 * MILLISECOND, 0))
        return;
    silence(ends);
    for (unsigned i = 0; i < ALL; i++) {
        reading_init(&readings[i], 8 * i, 8);
        ck_assert_int_eq(block_submit_request(subject.device, 0, &readings[i].request), STATUS_OK);
    }
    for (unsigned i = 0; i < ALL; i++) {
        const enum status status =
            block_wait_interrupt(subject.device, &readings[i].request, &subject.waiter);
        ck_assert(status == STATUS_TIMEOUT || status == STATUS_ABORTED);
        reading_free(&readings[i]);
    }
    ck_assert_uint_eq(subject.disk->queues[0].count, 0);
    ck_assert_uint_eq(subject_statistics().strays, 0);
    close(ends[0]);
    close(ends[1]);
    subject_end();
}
END_TEST

START_TEST(a_ring_that_breaks_is_made_anew)
{
    if (!subject_start(1, 0, 0))
        return;
    ck_assert_int_eq(read_one(1, NULL), STATUS_OK);
    // The number stays taken: the disk closes it when it gives the ring up.
    const int other = open("/dev/null", O_RDONLY);
    ck_assert(dup2(other, subject.disk->queues[0].ring.ring_fd) >= 0);
    ck_assert_int_eq(read_one(2, NULL), STATUS_ABORTED);
    ck_assert_uint_eq(subject.device->resets, 1);
    ck_assert_int_eq(block_device_state(subject.device), BLOCK_DEVICE_RUNNING);
    ck_assert_int_eq(read_one(3, NULL), STATUS_OK);
    close(other);
    subject_end();
}
END_TEST

// In place of liburing's: a kernel that takes nothing for a while. What it takes then is counted.
static unsigned refusals_left, reads_sent;

int io_uring_submit(struct io_uring *ring)
{
    if (refusals_left > 0) {
        refusals_left--;
        return -EAGAIN;
    }
    const struct io_uring_sq *sq = &ring->sq;
    for (unsigned i = sq->sqe_head; i != sq->sqe_tail; i++)
        reads_sent += sq->sqes[i & sq->ring_mask].opcode == IORING_OP_READV;
    return io_uring_submit_and_wait(ring, 0);
}

// The kernel refuses all of it until the reset's first try, and takes it at the second.
START_TEST(what_a_reset_has_given_back_the_kernel_does_not_get_any_more)
{
    struct reading readings[3];
    if (!subject_start(1, 0, 0))
        return;
    ck_assert_int_eq(read_one(1, NULL), STATUS_OK);
    ck_assert_uint_eq(reads_sent, 1);
    refusals_left = ARRAY_COUNT(readings) + 1;
    for (unsigned i = 0; i < ARRAY_COUNT(readings); i++) {
        reading_init(&readings[i], 8 * i, 8);
        ck_assert_int_eq(block_submit_request(subject.device, 0, &readings[i].request), STATUS_OK);
    }
    ck_assert_uint_eq(refusals_left, 1);
    ck_assert_int_eq(uring_disk_ops.reset(subject.disk), STATUS_OK);
    ck_assert_uint_eq(refusals_left, 0);
    ck_assert_uint_eq(reads_sent, 1);
    ck_assert_uint_eq(subject.disk->queues[0].count, 0);
    for (unsigned i = 0; i < ARRAY_COUNT(readings); i++) {
        ck_assert(!reading_is_right(&readings[i]));
        reading_free(&readings[i]);
    }
    subject_end();
}
END_TEST

// How many of the requests have not got their data, of those on their way when a reset failed.
static unsigned missing_after_reset(uint8_t *memory, uint8_t *then)
{
    enum { PIECE = URING_DISK_TRANSFER, PIECES = URING_DISK_DEPTH };
    static struct block_request requests[PIECES];
    static struct block_segment segments[PIECES];
    struct block_request *pointers[PIECES];
    const struct timespec while_it_works = {.tv_nsec = 200 * 1000000};
    const uint32_t block = subject.scratch.block_bytes;
    unsigned missing = 0, taken;
    memset(memory, 0xa5, PIECE * PIECES);
    for (unsigned i = 0; i < PIECES; i++) {
        uint8_t *at = memory + i * PIECE;
        segments[i] =
            (struct block_segment){.memory = at, .address = (uintptr_t)at, .bytes = PIECE};
        block_request_init(&requests[i], BLOCK_READ, i * PIECE % SUBJECT_BYTES / block,
                           PIECE / block, &segments[i], 1);
        pointers[i] = &requests[i];
    }
    ck_assert_int_eq(block_submit_several(subject.device, 0, pointers, PIECES, &taken), STATUS_OK);
    const enum status status = uring_disk_ops.reset(subject.disk);
    memcpy(then, memory, PIECE * PIECES);
    nanosleep(&while_it_works, NULL);
    ck_assert_int_eq(memcmp(then, memory, PIECE * PIECES), 0);
    for (unsigned i = 0; i < PIECES; i++)
        missing += !block_pattern_holds(subject.scratch.generation, i * PIECE % SUBJECT_BYTES,
                                        memory + i * PIECE, PIECE);
    ck_assert(status == STATUS_FAILED || missing == 0);
    return missing;
}

// The time for a reset is over before the disk is done: what it still brings reaches nobody. A disk
// that is too quick for that shows nothing; a few tries.
START_TEST(after_a_reset_that_failed_the_memory_of_requests_does_not_change_any_more)
{
    const size_t bytes = (size_t)URING_DISK_TRANSFER * URING_DISK_DEPTH;
    unsigned missing = 0;
    uint8_t *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    uint8_t *then = malloc(bytes);
    for (unsigned try = 0; try < 5 && missing == 0; try++) {
        if (!subject_start(1, 0, 1))
            break;
        missing = missing_after_reset(memory, then);
        subject_end();
    }
    printf("%u requests without their data\n", missing);
    free(then);
    munmap(memory, bytes);
}
END_TEST

// ---- no io_uring --------------------------------------------------------------------------------

// From now on io_uring_setup says `error` in this process, which Check made for one test.
static void forbid(int error)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_setup, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (uint32_t)error),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const struct sock_fprog program = {.len = ARRAY_COUNT(code), .filter = code};
    ck_assert_int_eq(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
    ck_assert_int_eq(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), 0);
}

static const struct refusal {
    int error;
    enum status status;
    const char *word;
} refusals[] = {
    {EPERM, STATUS_REFUSED, "forbidden"},   {EACCES, STATUS_REFUSED, "forbidden"},
    {ENOSYS, STATUS_FAILED, "no io_uring"}, {ENOMEM, STATUS_FAILED, "memory"},
    {EMFILE, STATUS_FAILED, "descriptor"},  {EINVAL, STATUS_FAILED, "could not"},
};

START_TEST(a_system_that_allows_no_io_uring_is_told_from_one_that_has_none)
{
    const struct refusal *refusal = &refusals[_i];
    const char *problem;
    memset(&subject, 0, sizeof(subject));
    ck_assert(scratch_file_make(&subject.scratch, SUBJECT_FOLDER, SUBJECT_BYTES));
    forbid(refusal->error);
    const struct uring_disk_config config = subject_disk_config(2);
    struct uring_disk *disk = subject_pages(sizeof(*disk));
    ck_assert_int_eq(uring_disk_init(disk, &config, &problem), refusal->status);
    ck_assert_msg(strstr(problem, refusal->word) != NULL, "%s", problem);
    scratch_file_close(&subject.scratch);
    free(disk);
}
END_TEST

static char said[512];

static void note(void *context, const char *key, const char *value)
{
    (void)context;
    const size_t length = strlen(said);
    snprintf(said + length, sizeof(said) - length, "%s=%s\n", key, value);
}

START_TEST(the_host_has_no_disk_then_and_says_why)
{
    struct platform_block found;
    forbid(EPERM);
    host_disk.folder = SUBJECT_FOLDER;
    host_disk_describe(note, NULL);
    ck_assert(!host_block(0, &found));
    ck_assert_msg(strstr(said, "block.io_uring=absent\n") != NULL, "%s", said);
    ck_assert_msg(strstr(said, "block.io_uring.problem=io_uring is forbidden") != NULL, "%s", said);
}
END_TEST

START_TEST(the_host_has_one_disk_that_is_read_as_the_seam_says)
{
    struct platform_block found, again;
    struct block_segment segment;
    struct block_request request;
    test_cpu_enter(0);
    host_disk.folder = SUBJECT_FOLDER;
    host_disk_describe(note, NULL);
    if (!host_block(0, &found)) {
        printf("nothing is tested: %s", said);
        return;
    }
    ck_assert(!host_block(1, &again) && host_block(0, &again));
    ck_assert_ptr_eq(found.device, again.device);
    ck_assert_msg(strncmp(said, "block.io_uring=" SUBJECT_FOLDER,
                          sizeof("block.io_uring=" SUBJECT_FOLDER) - 1) == 0,
                  "%s", said);
    ck_assert_uint_ge(found.bytes, PLATFORM_BLOCK_BYTES);
    segment =
        (struct block_segment){.memory = found.memory, .address = found.address, .bytes = 65536};
    block_request_init(&request, BLOCK_READ, 128, 65536 / found.device->facts.block_bytes, &segment,
                       1);
    const uint64_t busy = found.busy_ns();
    ck_assert_int_eq(block_submit_request(found.device, 0, &request), STATUS_OK);
    ck_assert_int_eq(block_wait_interrupt(found.device, &request, found.waiter), STATUS_OK);
    ck_assert_uint_gt(found.busy_ns(), busy);
    // A pattern: no word twice.
    const uint64_t *words = found.memory;
    ck_assert(words[0] != words[1] && words[0] != words[64] && words[0] != 0);
    // Nothing is written, whoever asks.
    request.operation = BLOCK_WRITE;
    ck_assert_int_eq(block_submit_request(found.device, 0, &request), STATUS_REFUSED);
}
END_TEST

START_TEST(the_driver_refuses_to_write_by_itself)
{
    struct reading reading;
    if (!subject_start(1, 0, 0))
        return;
    reading_init(&reading, 0, 8);
    reading.request.operation = BLOCK_WRITE;
    ck_assert_int_eq(uring_disk_ops.submit(subject.disk, 0, &reading.request), STATUS_REFUSED);
    reading.request.operation = BLOCK_FLUSH;
    ck_assert_int_eq(uring_disk_ops.submit(subject.disk, 0, &reading.request), STATUS_REFUSED);
    // Open, but not there.
    subject.guard = (struct block_guard){.writable = true, .first = 4, .count = 8};
    reading.request.operation = BLOCK_WRITE;
    ck_assert_int_eq(uring_disk_ops.submit(subject.disk, 0, &reading.request), STATUS_REFUSED);
    ck_assert_uint_eq(subject.disk->queues[0].count, 0);
    reading_free(&reading);
    subject_end();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("uring_faults");
    TCase *all = tcase_create("faults");
    tcase_set_timeout(all, 120);
    suite_add_tcase(suite, all);
    tcase_add_test(all, a_file_that_has_become_short_fails_what_lies_behind_its_end);
    tcase_add_test(all, a_closed_file_fails_requests_and_is_gone);
    tcase_add_test(all, a_request_that_is_never_answered_is_cancelled_in_time);
    tcase_add_test(all, a_full_ring_that_is_never_answered_ends_every_request);
    tcase_add_test(all, a_ring_that_breaks_is_made_anew);
    tcase_add_test(all, what_a_reset_has_given_back_the_kernel_does_not_get_any_more);
    tcase_add_test(all, after_a_reset_that_failed_the_memory_of_requests_does_not_change_any_more);
    tcase_add_loop_test(all, a_system_that_allows_no_io_uring_is_told_from_one_that_has_none, 0,
                        (int)ARRAY_COUNT(refusals));
    tcase_add_test(all, the_host_has_no_disk_then_and_says_why);
    tcase_add_test(all, the_host_has_one_disk_that_is_read_as_the_seam_says);
    tcase_add_test(all, the_driver_refuses_to_write_by_itself);
    return run_checks(suite);
}
