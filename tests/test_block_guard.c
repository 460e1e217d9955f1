// SPDX-License-Identifier: MIT
// What may be asked of a device, and which ranges of a disk may be written over.
#include <check.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "block_guard.h"
#include "compiler.h"
#include "run_checks.h"
#include "seed.h"

// ---- codes --------------------------------------------------------------------------------------

// The codes a device may see: whatever is not named here is never let through.
static const struct {
    enum block_protocol protocol;
    unsigned code;
    bool writes;
} known[] = {
    {BLOCK_PROTOCOL_REQUEST, BLOCK_READ, false},
    {BLOCK_PROTOCOL_REQUEST, BLOCK_WRITE, true},
    {BLOCK_PROTOCOL_REQUEST, BLOCK_FLUSH, true},
    {BLOCK_PROTOCOL_NVME_IO, 0x02, false},    // Read
    {BLOCK_PROTOCOL_NVME_IO, 0x01, true},     // Write
    {BLOCK_PROTOCOL_NVME_IO, 0x00, true},     // Flush
    {BLOCK_PROTOCOL_NVME_ADMIN, 0x00, false}, // Delete I/O Submission Queue
    {BLOCK_PROTOCOL_NVME_ADMIN, 0x01, false}, // Create I/O Submission Queue
    {BLOCK_PROTOCOL_NVME_ADMIN, 0x02, false}, // Get Log Page
    {BLOCK_PROTOCOL_NVME_ADMIN, 0x04, false}, // Delete I/O Completion Queue
    {BLOCK_PROTOCOL_NVME_ADMIN, 0x05, false}, // Create I/O Completion Queue
    {BLOCK_PROTOCOL_NVME_ADMIN, 0x06, false}, // Identify
    {BLOCK_PROTOCOL_NVME_ADMIN, 0x08, false}, // Abort
    {BLOCK_PROTOCOL_NVME_ADMIN, 0x09, false}, // Set Features
    {BLOCK_PROTOCOL_NVME_ADMIN, 0x0a, false}, // Get Features
    {BLOCK_PROTOCOL_NVME_ADMIN, 0x0c, false}, // Asynchronous Event Request
    {BLOCK_PROTOCOL_VIRTIO, 0, false},        // VIRTIO_BLK_T_IN
    {BLOCK_PROTOCOL_VIRTIO, 1, true},         // VIRTIO_BLK_T_OUT
    {BLOCK_PROTOCOL_VIRTIO, 4, true},         // VIRTIO_BLK_T_FLUSH
    {BLOCK_PROTOCOL_VIRTIO, 8, false},        // VIRTIO_BLK_T_GET_ID
    {BLOCK_PROTOCOL_URING, 0, false},         // IORING_OP_NOP
    {BLOCK_PROTOCOL_URING, 1, false},         // IORING_OP_READV
    {BLOCK_PROTOCOL_URING, 2, true},          // IORING_OP_WRITEV
    {BLOCK_PROTOCOL_URING, 3, true},          // IORING_OP_FSYNC
    {BLOCK_PROTOCOL_URING, 4, false},         // IORING_OP_READ_FIXED
    {BLOCK_PROTOCOL_URING, 5, true},          // IORING_OP_WRITE_FIXED
    {BLOCK_PROTOCOL_URING, 14, false},        // IORING_OP_ASYNC_CANCEL
    {BLOCK_PROTOCOL_URING, 22, false},        // IORING_OP_READ
    {BLOCK_PROTOCOL_URING, 23, true},         // IORING_OP_WRITE
};

START_TEST(every_code_of_every_protocol_is_refused_unless_it_is_listed)
{
    const struct block_guard closed = {0};
    const struct block_guard open = {.writable = true, .first = 0, .count = 1};
    for (unsigned protocol = 0; protocol < BLOCK_PROTOCOLS; protocol++) {
        for (unsigned code = 0; code < 1u << 16; code++) {
            bool reads = false, writes = false;
            for (size_t i = 0; i < ARRAY_COUNT(known); i++) {
                if (known[i].protocol == protocol && known[i].code == code)
                    *(known[i].writes ? &writes : &reads) = true;
            }
            ck_assert_int_eq(block_guard_allows(&closed, protocol, code), reads);
            ck_assert_int_eq(block_guard_allows(&open, protocol, code), reads || writes);
        }
        ck_assert(!block_guard_allows(&open, protocol, 1u << 31));
        ck_assert(!block_guard_allows(&open, protocol, UINT32_MAX));
    }
}
END_TEST

START_TEST(only_blocks_inside_the_open_range_may_be_written)
{
    const struct block_guard guard = {.writable = true, .first = 100, .count = 50};
    const struct block_guard closed = {.first = 100, .count = 50};
    for (uint64_t first = 90; first < 160; first++) {
        for (uint64_t count = 0; count < 70; count++) {
            const bool inside = count > 0 && first >= 100 && first + count <= 150;
            ck_assert_int_eq(block_guard_allows_range(&guard, first, count), inside);
            ck_assert(!block_guard_allows_range(&closed, first, count));
        }
    }
    ck_assert(!block_guard_allows_range(&guard, 120, UINT64_MAX));
    ck_assert(!block_guard_allows_range(&guard, UINT64_MAX, 2));
    ck_assert(!block_guard_allows_range(&guard, UINT64_MAX - 10, UINT64_MAX));
}
END_TEST

// ---- disks --------------------------------------------------------------------------------------

#define DISK_BYTES (5u << 20)
#define SERIAL     "QM00001"

struct image {
    struct block_guard_disk disk;
    uint8_t *bytes;
    uint64_t fails_at; // block; UINT64_MAX: none
    uint64_t reads;
    void *buffer;
};

static enum status read_image(void *context, uint64_t first, uint32_t count, void *buffer)
{
    struct image *image = context;
    ck_assert_uint_gt(count, 0);
    ck_assert_uint_le((uint64_t)count * image->disk.block_bytes, BLOCK_PROBE_BYTES);
    ck_assert_uint_le(first + count, image->disk.blocks);
    image->reads++;
    if (image->fails_at - first < count)
        return STATUS_FAILED;
    memcpy(buffer, image->bytes + first * image->disk.block_bytes,
           (size_t)count * image->disk.block_bytes);
    return STATUS_OK;
}

static void image_init(struct image *image, uint32_t block_bytes)
{
    *image = (struct image){.fails_at = UINT64_MAX};
    image->bytes = calloc(1, DISK_BYTES);
    image->buffer = malloc(BLOCK_PROBE_BYTES);
    ck_assert(image->bytes != NULL && image->buffer != NULL);
    image->disk = (struct block_guard_disk){.context = image,
                                            .read = read_image,
                                            .block_bytes = block_bytes,
                                            .blocks = DISK_BYTES / block_bytes,
                                            .serial = SERIAL};
}

static void image_free(struct image *image)
{
    free(image->bytes);
    free(image->buffer);
}

// A range from the second MiB on, three long.
static struct block_guard_wish wish_for(const struct image *image)
{
    const uint64_t mib = (1u << 20) / image->disk.block_bytes;
    return (struct block_guard_wish){.serial = SERIAL, .first = mib, .count = 3 * mib};
}

static void sign(struct image *image, const struct block_guard_wish *wish)
{
    ck_assert(block_guard_sign(image->bytes + wish->first * image->disk.block_bytes, wish));
}

static enum status open_it(struct image *image, const struct block_guard_wish *wish,
                           const char **reason)
{
    struct block_guard guard = {.writable = true, .first = 1, .count = 2};
    const enum status status =
        block_guard_open_built(&guard, &image->disk, wish, image->buffer, reason, true);
    ck_assert_int_eq(guard.writable, status == STATUS_OK);
    ck_assert_uint_eq(guard.first, status == STATUS_OK ? wish->first : 0);
    ck_assert_uint_eq(guard.count, status == STATUS_OK ? wish->count : 0);
    return status;
}

static const uint32_t block_sizes[] = {512, 1024, 4096};

START_TEST(a_signed_range_of_an_empty_disk_is_opened)
{
    struct image image;
    const char *reason;
    image_init(&image, block_sizes[_i]);
    const struct block_guard_wish wish = wish_for(&image);
    sign(&image, &wish);
    ck_assert_int_eq(open_it(&image, &wish, &reason), STATUS_OK);
    ck_assert_str_eq(reason, "");
    image_free(&image);
}
END_TEST

START_TEST(a_program_that_was_not_built_for_it_opens_nothing)
{
    struct image image;
    const char *reason;
    image_init(&image, 512);
    const struct block_guard_wish wish = wish_for(&image);
    sign(&image, &wish);
    struct block_guard guard = {.writable = true, .first = 0, .count = 100};
    ck_assert_int_eq(
        block_guard_open_built(&guard, &image.disk, &wish, image.buffer, &reason, false),
        STATUS_REFUSED);
    ck_assert(!guard.writable);
    ck_assert_uint_eq(image.reads, 0);
    // These tests are not built for it either.
    ck_assert_int_eq(block_guard_open(&guard, &image.disk, &wish, image.buffer, &reason),
                     STATUS_REFUSED);
    ck_assert_ptr_nonnull(strstr(reason, "built"));
    image_free(&image);
}
END_TEST

START_TEST(another_serial_number_is_refused)
{
    static const char *const others[] = {"", "QM00002", "QM0000", "QM000011", "qm00001"};
    struct image image;
    const char *reason;
    image_init(&image, 512);
    struct block_guard_wish wish = wish_for(&image);
    for (size_t i = 0; i < ARRAY_COUNT(others); i++) {
        wish.serial = others[i];
        sign(&image, &wish);
        ck_assert_int_eq(open_it(&image, &wish, &reason), STATUS_REFUSED);
        ck_assert_ptr_nonnull(strstr(reason, "serial"));
    }
    // A disk that has none is not meant by a command line that names none.
    image.disk.serial = "";
    wish.serial = "";
    ck_assert_int_eq(open_it(&image, &wish, &reason), STATUS_REFUSED);
    ck_assert_uint_eq(image.reads, 0);
    image_free(&image);
}
END_TEST

START_TEST(a_serial_number_that_is_too_long_cannot_be_signed)
{
    char serial[BLOCK_SERIAL_MOST + 2];
    uint8_t bytes[BLOCK_SCRATCH_BYTES];
    memset(serial, 'x', sizeof(serial));
    serial[BLOCK_SERIAL_MOST + 1] = '\0';
    struct block_guard_wish wish = {.serial = serial, .first = 0, .count = 1};
    ck_assert(!block_guard_sign(bytes, &wish));
    serial[BLOCK_SERIAL_MOST] = '\0';
    ck_assert(block_guard_sign(bytes, &wish));
}
END_TEST

START_TEST(a_range_off_the_disk_or_too_large_is_invalid)
{
    struct image image;
    const char *reason;
    image_init(&image, 512);
    const uint64_t blocks = image.disk.blocks;
    const uint64_t most = BLOCK_SCRATCH_MOST / 512;
    const struct block_guard_wish wishes[] = {
        {SERIAL, 0, 0},          {SERIAL, blocks, 1},     {SERIAL, 0, blocks + 1},
        {SERIAL, blocks - 1, 2}, {SERIAL, UINT64_MAX, 2}, {SERIAL, 1, UINT64_MAX},
        {SERIAL, 0, most + 1},
    };
    for (size_t i = 0; i < ARRAY_COUNT(wishes); i++) {
        image.disk.blocks = wishes[i].count == most + 1 ? most + 100 : blocks;
        ck_assert_int_eq(open_it(&image, &wishes[i], &reason), STATUS_INVALID);
    }
    ck_assert_uint_eq(image.reads, 0);
    image_free(&image);
}
END_TEST

START_TEST(each_bit_of_the_signature_counts)
{
    struct image image;
    const char *reason;
    image_init(&image, 512);
    const struct block_guard_wish wish = wish_for(&image);
    uint8_t *at = image.bytes + wish.first * 512;
    ck_assert_int_eq(open_it(&image, &wish, &reason), STATUS_REFUSED);
    for (unsigned bit = 0; bit < BLOCK_SCRATCH_BYTES * 8; bit++) {
        sign(&image, &wish);
        at[bit / 8] ^= (uint8_t)(1u << bit % 8);
        ck_assert_int_eq(open_it(&image, &wish, &reason), STATUS_REFUSED);
        ck_assert_ptr_nonnull(strstr(reason, "signature"));
    }
    // One for another range, or for another disk, is none.
    struct block_guard_wish other = wish;
    other.count--;
    sign(&image, &other);
    ck_assert_int_eq(open_it(&image, &wish, &reason), STATUS_REFUSED);
    other = wish;
    other.serial = "QM00002";
    sign(&image, &other);
    ck_assert_int_eq(open_it(&image, &wish, &reason), STATUS_REFUSED);
    image_free(&image);
}
END_TEST

// What stands where, written down anew from the formats' descriptions.
static const struct {
    const char *name;
    uint32_t offset;
    uint32_t length;
    const char *bytes;
} left[] = {
    {"GPT", 512, 8, "EFI PART"},
    {"GPT", 4096, 8, "EFI PART"},
    {"MBR", 510, 2, "\125\252"},
    {"ext4", 1080, 2, "\123\357"}, // s_magic 0xef53
    {"NTFS", 3, 8, "NTFS    "},
    {"exFAT", 3, 8, "EXFAT   "},
    {"BitLocker", 3, 8, "-FVE-FS-"},
    {"FAT", 54, 8, "FAT16   "},
    {"FAT", 54, 8, "FAT12   "},
    {"FAT", 82, 8, "FAT32   "},
    {"XFS", 0, 4, "XFSB"},
    {"btrfs", 0x10040, 8, "_BHRfS_M"},
    {"LUKS", 0, 6, "LUKS\272\276"},
    {"LUKS", 0x4000, 6, "SKUL\272\276"},
    {"LUKS", 0x8000, 6, "SKUL\272\276"},
    {"LVM", 0, 8, "LABELONE"},
    {"LVM", 512, 8, "LABELONE"},
    {"LVM", 1536, 8, "LABELONE"},
    {"swap", 4086, 10, "SWAPSPACE2"},
    {"swap", 65526, 10, "SWAPSPACE2"},
    {"RAID", 0, 4, "\374\116\053\251"}, // 0xa92b4efc
    {"RAID", 4096, 4, "\374\116\053\251"},
    {"ZFS", 0x20000, 8, "\014\261\272\0\0\0\0\0"}, // 0x00bab10c
    {"F2FS", 1024, 4, "\020\040\365\362"},         // 0xf2f52010
    {"JFS", 0x8000, 4, "JFS1"},
    {"ReiserFS", 0x10034, 6, "ReIsEr"},
    {"HFS+", 1024, 4, "H+\0\004"},
    {"APFS", 32, 4, "NXSB"},
    {"ISO 9660", 0x8001, 5, "CD001"},
    {"squashfs", 0, 4, "hsqs"},
    {"swap", 0x1ff6, 10, "SWAPSPACE2"},
    {"swap", 0x7ff6, 10, "SWAPSPACE2"},
    {"NILFS2", 0x406, 2, "\x34\x34"},
    {"cramfs", 0, 4, "\x45\x3d\xcd\x28"},
    {"bfs", 0, 4, "\xce\xfa\xad\x1b"},
    {"minix", 0x410, 2, "\x7f\x13"},
    {"minix", 0x410, 2, "\x8f\x13"},
    {"minix", 0x410, 2, "\x68\x24"},
    {"minix", 0x410, 2, "\x78\x24"},
    {"minix", 0x418, 2, "\x5a\x4d"},
};

// Where something may begin: the disk, the range, a partition inside the range.
START_TEST(what_a_disk_holds_keeps_its_range_closed)
{
    struct image image;
    const char *reason;
    for (size_t size = 0; size < ARRAY_COUNT(block_sizes); size++) {
        image_init(&image, block_sizes[size]);
        const struct block_guard_wish wish = wish_for(&image);
        const uint64_t mib = 1u << 20;
        const uint64_t places[] = {0, mib, 2 * mib, 3 * mib};
        for (size_t place = 0; place < ARRAY_COUNT(places); place++) {
            // The signature stands where this would.
            if (places[place] == mib && left[_i].offset < BLOCK_SCRATCH_BYTES)
                continue;
            sign(&image, &wish);
            uint8_t *at = image.bytes + places[place] + left[_i].offset;
            memcpy(at, left[_i].bytes, left[_i].length);
            ck_assert_int_eq(open_it(&image, &wish, &reason), STATUS_REFUSED);
            ck_assert_str_eq(reason, left[_i].name);
            memset(at, 0, left[_i].length);
        }
        image_free(&image);
    }
}
END_TEST

START_TEST(the_second_partition_table_at_the_end_of_the_disk_counts)
{
    struct image image;
    const char *reason;
    image_init(&image, block_sizes[_i]);
    const struct block_guard_wish wish = wish_for(&image);
    sign(&image, &wish);
    memcpy(image.bytes + DISK_BYTES - block_sizes[_i], "EFI PART", 8);
    ck_assert_int_eq(open_it(&image, &wish, &reason), STATUS_REFUSED);
    ck_assert_str_eq(reason, "GPT");
    memset(image.bytes + DISK_BYTES - block_sizes[_i], 0, 8);
    memcpy(image.bytes + DISK_BYTES - (64u << 10), "\374\116\053\251", 4); // md 0.90
    ck_assert_int_eq(open_it(&image, &wish, &reason), STATUS_REFUSED);
    ck_assert_str_eq(reason, "RAID");
    image_free(&image);
}
END_TEST

START_TEST(what_stands_in_front_of_or_behind_the_range_does_not_count)
{
    struct image image;
    const char *reason;
    image_init(&image, 512);
    struct block_guard_wish wish = wish_for(&image);
    sign(&image, &wish);
    memcpy(image.bytes + (4u << 20) + 1080, "\123\357", 2);
    ck_assert_int_eq(open_it(&image, &wish, &reason), STATUS_OK);
    image_free(&image);
}
END_TEST

START_TEST(a_disk_that_cannot_be_read_stays_closed)
{
    struct image image;
    const char *reason;
    image_init(&image, 512);
    const struct block_guard_wish wish = wish_for(&image);
    sign(&image, &wish);
    const uint64_t blocks[] = {0, 1, 2048, 2049, 4096, 6144, image.disk.blocks - 1};
    for (size_t i = 0; i < ARRAY_COUNT(blocks); i++) {
        image.fails_at = blocks[i];
        ck_assert_int_eq(open_it(&image, &wish, &reason), STATUS_FAILED);
        ck_assert_ptr_nonnull(strstr(reason, "read"));
    }
    image_free(&image);
}
END_TEST

START_TEST(a_disk_of_one_block_is_looked_at_without_reading_past_it)
{
    struct image image;
    const char *reason;
    image_init(&image, 4096);
    image.disk.blocks = 1;
    const struct block_guard_wish wish = {.serial = SERIAL, .first = 0, .count = 1};
    sign(&image, &wish);
    ck_assert_int_eq(open_it(&image, &wish, &reason), STATUS_OK);
    image_free(&image);
}
END_TEST

// Whatever the bytes and however few: the redzones of the address sanitizer are on both sides.
START_TEST(traces_are_looked_for_inside_the_bytes_only)
{
    struct random random = seeded_for(__func__);
    for (unsigned turn = 0; turn < 400; turn++) {
        const size_t length = random_below(&random, turn % 4 == 0 ? BLOCK_PROBE_BYTES : 5000);
        uint8_t *bytes = malloc(length + 1);
        ck_assert_ptr_nonnull(bytes);
        memset(bytes, 0, length);
        uint8_t *exact = malloc(length > 0 ? length : 1);
        memcpy(exact, bytes, length);
        ck_assert_ptr_null(block_guard_trace(exact, length));
        const size_t at = random_below(&random, ARRAY_COUNT(left));
        if (left[at].offset + left[at].length <= length) {
            memcpy(exact + left[at].offset, left[at].bytes, left[at].length);
            ck_assert_str_eq(block_guard_trace(exact, length), left[at].name);
            ck_assert_ptr_null(block_guard_trace(exact, left[at].offset + left[at].length - 1));
        }
        free(bytes);
        free(exact);
    }
}
END_TEST

START_TEST(a_protocol_that_is_none_panics)
{
    const struct block_guard closed = {0};
    block_guard_allows(&closed, BLOCK_PROTOCOLS, 0);
}
END_TEST

START_TEST(a_disk_with_odd_blocks_panics)
{
    struct image image;
    const char *reason;
    image_init(&image, 512);
    const struct block_guard_wish wish = wish_for(&image);
    image.disk.block_bytes = 520;
    open_it(&image, &wish, &reason);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("block_guard");
    TCase *all = tcase_create("guard");
    tcase_set_timeout(all, 60);
    suite_add_tcase(suite, all);
    tcase_add_test(all, every_code_of_every_protocol_is_refused_unless_it_is_listed);
    tcase_add_test(all, only_blocks_inside_the_open_range_may_be_written);
    tcase_add_loop_test(all, a_signed_range_of_an_empty_disk_is_opened, 0, 3);
    tcase_add_test(all, a_program_that_was_not_built_for_it_opens_nothing);
    tcase_add_test(all, another_serial_number_is_refused);
    tcase_add_test(all, a_serial_number_that_is_too_long_cannot_be_signed);
    tcase_add_test(all, a_range_off_the_disk_or_too_large_is_invalid);
    tcase_add_test(all, each_bit_of_the_signature_counts);
    tcase_add_loop_test(all, what_a_disk_holds_keeps_its_range_closed, 0, (int)ARRAY_COUNT(left));
    tcase_add_loop_test(all, the_second_partition_table_at_the_end_of_the_disk_counts, 0, 3);
    tcase_add_test(all, what_stands_in_front_of_or_behind_the_range_does_not_count);
    tcase_add_test(all, a_disk_that_cannot_be_read_stays_closed);
    tcase_add_test(all, a_disk_of_one_block_is_looked_at_without_reading_past_it);
    tcase_add_test(all, traces_are_looked_for_inside_the_bytes_only);
    tcase_add_test_raise_signal(all, a_protocol_that_is_none_panics, SIGABRT);
    tcase_add_test_raise_signal(all, a_disk_with_odd_blocks_panics, SIGABRT);
    return run_checks(suite);
}
