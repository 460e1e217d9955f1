// SPDX-License-Identifier: MIT
// A program that was built for writing (writes=on): what it may write once a range was opened, and
// what it may not, on a RAM disk and on a disk.
#include <fcntl.h>
#include <unistd.h>

#include "ram_disk.h"
#include "random.h"
#include "seed.h"
#include "uring_subject.h"

#define FIRST 3000u // blocks of the range, not at a MiB
#define COUNT 4000u

static uint8_t *content; // of the RAM disk; NULL: the scratch file

// Puts bytes on the disk past all that is tested.
static void put(uint64_t block, const void *bytes, size_t length)
{
    const uint32_t size = subject.scratch.block_bytes;
    if (content != NULL) {
        memcpy(content + block * size, bytes, length);
        return;
    }
    uint8_t *aligned = subject_pages(align_up(length, PAGE_SIZE));
    memset(aligned, 0, align_up(length, PAGE_SIZE));
    memcpy(aligned, bytes, length);
    const size_t whole = align_up(length, size);
    ck_assert_int_eq(pwrite(subject.scratch.file, aligned, whole, (off_t)(block * size)),
                     (ssize_t)whole);
    free(aligned);
}

static void get(uint64_t block, void *bytes, size_t length)
{
    const uint32_t size = subject.scratch.block_bytes;
    if (content != NULL)
        memcpy(bytes, content + block * size, length);
    else
        ck_assert_int_eq(pread(subject.scratch.file, bytes, length, (off_t)(block * size)),
                         (ssize_t)length);
}

static void start_ram(void)
{
    static struct ram_disk disk;
    const uint32_t size = subject.scratch.block_bytes;
    uring_disk_close(subject.disk);
    content = subject_pages(SUBJECT_BYTES);
    const struct device_clock clock = {.hz = 1000000000, .ticks = subject_ns};
    const struct ram_disk_config config = {.memory = content,
                                           .bytes = SUBJECT_BYTES,
                                           .block_bytes = size,
                                           .queues = 1,
                                           .clock = clock,
                                           .guard = &subject.guard};
    ram_disk_init(&disk, &config);
    const struct block_config block = {
        .ops = &ram_disk_ops, .driver = &disk, .clock = clock, .guard = &subject.guard};
    ck_assert_int_eq(block_init(subject.device, &block, subject.memory, block_bytes(1)), STATUS_OK);
}

// An empty disk: the RAM disk, or the scratch file without its pattern. False: there is none.
static bool start(bool ram)
{
    if (!subject_start(1, 0, 0))
        return false;
    if (ram)
        start_ram();
    uint8_t *nothing = calloc(1, SUBJECT_BYTES);
    put(0, nothing, SUBJECT_BYTES);
    free(nothing);
    return true;
}

static struct block_guard_wish wish(void)
{
    return (struct block_guard_wish){
        .serial = subject.device->facts.serial, .first = FIRST, .count = COUNT};
}

static void sign(void)
{
    uint8_t signature[BLOCK_SCRATCH_BYTES];
    const struct block_guard_wish range = wish();
    ck_assert(block_guard_sign(signature, &range));
    put(FIRST, signature, sizeof(signature));
}

static enum status open_range(const char **reason)
{
    uint8_t *memory = subject_pages(BLOCK_PROBE_BYTES);
    const struct block_segment segment = {
        .memory = memory, .address = (uintptr_t)memory, .bytes = BLOCK_PROBE_BYTES};
    const struct block_guard_wish range = wish();
    const enum status status =
        block_open_for_writing(subject.device, &subject.guard, &range, &segment, reason);
    free(memory);
    return status;
}

// Writes a piece of memory that begins `shift` bytes behind a page; what a submit or a wait says.
static enum status write_blocks(uint64_t first, uint32_t count, uint32_t shift, uint8_t fill)
{
    struct block_request request;
    const uint32_t bytes = count * subject.scratch.block_bytes;
    uint8_t *memory = subject_pages(shift + bytes);
    memset(memory + shift, fill, bytes);
    const struct block_segment segment = {
        .memory = memory + shift, .address = (uintptr_t)memory + shift, .bytes = bytes};
    block_request_init(&request, BLOCK_WRITE, first, count, &segment, 1);
    enum status status = block_submit_request(subject.device, 0, &request);
    if (status == STATUS_OK)
        status = block_poll_wait(subject.device, &request);
    free(memory);
    return status;
}

START_TEST(an_opened_range_is_written_and_nothing_around_it)
{
    struct random random = seeded_for(__func__);
    const char *reason;
    if (!start(_i == 0))
        return;
    const uint32_t size = subject.scratch.block_bytes;
    uint8_t *model = calloc(1, SUBJECT_BYTES), *now = subject_pages(SUBJECT_BYTES);
    sign();
    ck_assert_int_eq(write_blocks(FIRST + 1, 1, 0, 7), STATUS_REFUSED);
    ck_assert_msg(open_range(&reason) == STATUS_OK, "%s", reason);
    get(0, model, SUBJECT_BYTES);
    for (unsigned turn = 0; turn < 200; turn++) {
        const uint64_t first = FIRST - 40 + random_below(&random, COUNT + 80);
        const uint32_t count = 1 + (uint32_t)random_below(&random, 40);
        const uint8_t fill = (uint8_t)(1 + random_below(&random, 255));
        const bool inside = first >= FIRST && first + count <= FIRST + COUNT;
        const uint32_t shift = 4 * (uint32_t)(turn % 2 * random_below(&random, 1000));
        ck_assert_int_eq(write_blocks(first, count, shift, fill),
                         inside ? STATUS_OK : STATUS_REFUSED);
        if (inside)
            memset(model + first * size, fill, (size_t)count * size);
    }
    struct block_request flush;
    block_request_init(&flush, BLOCK_FLUSH, 0, 0, NULL, 0);
    ck_assert_int_eq(block_submit_request(subject.device, 0, &flush), STATUS_OK);
    ck_assert_int_eq(block_poll_wait(subject.device, &flush), STATUS_OK);
    get(0, now, SUBJECT_BYTES);
    ck_assert_int_eq(memcmp(model, now, SUBJECT_BYTES), 0);
    free(model);
    free(now);
}
END_TEST

START_TEST(a_range_that_nobody_signed_stays_closed)
{
    const char *reason;
    if (!start(_i == 0))
        return;
    ck_assert_int_eq(open_range(&reason), STATUS_REFUSED);
    ck_assert_str_eq(reason, "no scratch signature at the range's beginning");
    ck_assert_int_eq(write_blocks(FIRST + 1, 1, 0, 7), STATUS_REFUSED);
    sign();
    ck_assert_int_eq(open_range(&reason), STATUS_OK);
    ck_assert_str_eq(reason, "");
    ck_assert_int_eq(write_blocks(FIRST + 1, 1, 0, 7), STATUS_OK);
}
END_TEST

// A partition table in the disk's first block, a file system at a MiB of the range.
START_TEST(what_stands_on_the_disk_keeps_a_signed_range_closed)
{
    const char *reason;
    uint8_t block[4096] = {0};
    if (!start(_i % 2 == 0))
        return;
    sign();
    memcpy(block + 510, "\x55\xaa", 2);
    memcpy(block, "XFSB", _i / 2 * 4);
    put(_i / 2 == 0 ? 0 : (UINT64_C(2) << 20) / subject.scratch.block_bytes, block, sizeof(block));
    ck_assert_int_eq(open_range(&reason), STATUS_REFUSED);
    ck_assert_str_eq(reason, _i / 2 == 0 ? "MBR" : "XFS");
    ck_assert_int_eq(write_blocks(FIRST + 1, 1, 0, 7), STATUS_REFUSED);
}
END_TEST

START_TEST(what_a_write_ends_with_is_its_status)
{
    const char *reason;
    if (!start(false))
        return;
    sign();
    ck_assert_int_eq(open_range(&reason), STATUS_OK);
    // The file, opened again for reading only.
    char path[64];
    snprintf(path, sizeof(path), "/proc/self/fd/%d", subject.scratch.file);
    const int reader = open(path, O_RDONLY);
    ck_assert_int_ge(reader, 0);
    ck_assert(dup2(reader, subject.scratch.file) >= 0);
    ck_assert_int_eq(write_blocks(FIRST + 1, 1, 0, 7), STATUS_FAILED);
    close(reader);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("block_writes");
    TCase *all = tcase_create("writes");
    tcase_set_timeout(all, 60);
    suite_add_tcase(suite, all);
    tcase_add_loop_test(all, an_opened_range_is_written_and_nothing_around_it, 0, 2);
    tcase_add_loop_test(all, a_range_that_nobody_signed_stays_closed, 0, 2);
    tcase_add_loop_test(all, what_stands_on_the_disk_keeps_a_signed_range_closed, 0, 4);
    tcase_add_test(all, what_a_write_ends_with_is_its_status);
    return run_checks(suite);
}
