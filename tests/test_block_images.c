// SPDX-License-Identifier: MIT
// The guard's marks against volumes that the systems' own tools make. What is not installed here is
// said and left out; e2fsprogs and util-linux are everywhere.
#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "block_guard.h"
#include "compiler.h"
#include "run_checks.h"

#define BLOCK  512u
#define MIB    (UINT64_C(1) << 20)
#define SERIAL "IMAGE"

static const struct volume {
    const char *name; // as the guard calls it; NULL: nothing stands there
    const char *tool;
    const char *words; // behind the tool's name; %s: the image, as often as it is wanted
    unsigned mib;
} volumes[] = {
    {NULL, "truncate", "-s 8M %s", 8},
    {"ext4", "mkfs.ext4", "-q -F %s", 16},
    {"ext4", "mkfs.ext4", "-q -F -b 1024 -O ^has_journal %s", 8},
    {"ext4", "mkfs.ext2", "-q -F -b 4096 %s", 16},
    {"ext4", "mkfs.ext3", "-q -F %s", 16},
    {"swap", "mkswap", "%s", 8},
    {"swap", "mkswap", "-p 8192 %s", 8},
    {"swap", "mkswap", "-p 16384 %s", 8},
    {"swap", "mkswap", "-p 32768 %s", 8},
    {"swap", "mkswap", "-p 65536 %s", 8},
    {"minix", "mkfs.minix", "-1 %s", 8},
    {"minix", "mkfs.minix", "-2 %s", 8},
    {"minix", "mkfs.minix", "-3 %s", 8},
    {"bfs", "mkfs.bfs", "%s", 8},
    {"cramfs", "mkfs.cramfs", "docs %s", 8},
    {"FAT", "mkfs.vfat", "-F 12 %s", 8},
    {"FAT", "mkfs.vfat", "-F 16 %s", 32},
    {"FAT", "mkfs.vfat", "-F 32 %s", 64},
    {"FAT", "mformat", "-i %s -T 65536 ::", 32},
    {"exFAT", "mkfs.exfat", "%s", 16},
    {"NTFS", "mkfs.ntfs", "-q -F -Q %s 16384", 16},
    {"XFS", "mkfs.xfs", "-q -f %s", 320},
    {"btrfs", "mkfs.btrfs", "-q -f %s", 128},
    {"F2FS", "mkfs.f2fs", "-q -f %s", 64},
    {"NILFS2", "mkfs.nilfs2", "-q -f %s", 160},
    {"JFS", "mkfs.jfs", "-q %s", 32},
    {"ReiserFS", "mkfs.reiserfs", "-q -ff %s", 64},
    {"UDF", "mkudffs", "%s", 16},
    {"squashfs", "mksquashfs", "docs %s -noappend -quiet -no-progress", 8},
    {"EROFS", "mkfs.erofs", "%s docs", 8},
    {"ISO 9660", "xorriso", "-as mkisofs -quiet -o %s docs", 8},
    {"GPT", "sgdisk", "-n 1:0:0 %s", 16},
    {"GPT", "sfdisk", "-q --label gpt %s < build/one_partition", 16},
    {"MBR", "sfdisk", "-q --label dos %s < build/one_partition", 16},
    {"LUKS", "cryptsetup",
     "-q luksFormat --type luks1 --pbkdf-force-iterations 1000 %s build/one_partition", 16},
    {"LUKS", "cryptsetup",
     "-q luksFormat --type luks2 --pbkdf pbkdf2 --pbkdf-force-iterations 1000 %s "
     "build/one_partition",
     32},
};

static const char folders[] = ":/usr/sbin:/sbin";

static bool is_here(const char *tool)
{
    char command[256];
    snprintf(command, sizeof(command), "command -v %s >/dev/null", tool);
    return system(command) == 0;
}

static void write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    ck_assert_ptr_nonnull(file);
    ck_assert(fputs(text, file) >= 0);
    fclose(file);
}

// Makes the volume in `path`; false: it cannot be made here.
static bool make(const struct volume *volume, const char *path)
{
    char words[512], command[800], all[4096];
    const char *search = getenv("PATH");
    snprintf(all, sizeof(all), "%s%s", search != NULL ? search : "/usr/bin:/bin", folders);
    setenv("PATH", all, 1);
    write_file("build/one_partition", ",,\n");
    const int file = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    ck_assert_int_ge(file, 0);
    ck_assert_int_eq(ftruncate(file, (off_t)(volume->mib * MIB)), 0);
    const char *place = strstr(volume->words, "%s");
    snprintf(words, sizeof(words), "%.*s%s%s", (int)(place - volume->words), volume->words, path,
             place + 2);
    snprintf(command, sizeof(command), "%s %s >build/one_volume.log 2>&1", volume->tool, words);
    const bool here = is_here(volume->tool);
    const bool made = here && system(command) == 0;
    // Those that write as much as there is leave the rest away.
    ck_assert_int_eq(ftruncate(file, (off_t)(volume->mib * MIB)), 0);
    close(file);
    if (!made)
        printf("left out: %s %s: %s\n", volume->tool, volume->words,
               here ? "it fails here (build/one_volume.log)" : "it is not installed");
    return made;
}

// A disk whose bytes from `shift` on are the volume's, and on which a range is signed.
struct disk {
    int file;
    uint64_t shift;
    struct block_guard_wish wish;
};

static enum status read_disk(void *context, uint64_t first, uint32_t count, void *buffer)
{
    const struct disk *disk = context;
    for (uint32_t i = 0; i < count; i++) {
        uint8_t *block = (uint8_t *)buffer + (size_t)i * BLOCK;
        const uint64_t at = (first + i) * BLOCK;
        memset(block, 0, BLOCK);
        if (first + i == disk->wish.first)
            ck_assert(block_guard_sign(block, &disk->wish));
        else if (at >= disk->shift &&
                 pread(disk->file, block, BLOCK, (off_t)(at - disk->shift)) != BLOCK)
            return STATUS_FAILED;
    }
    return STATUS_OK;
}

// Whether a signed range [first, first + bytes) of the disk opens.
static enum status open_range(const struct volume *volume, int file, uint64_t shift, uint64_t first,
                              uint64_t bytes, const char **reason)
{
    struct block_guard guard;
    struct disk disk = {.file = file,
                        .shift = shift,
                        .wish = {.serial = SERIAL, .first = first / BLOCK, .count = bytes / BLOCK}};
    const struct block_guard_disk asked = {.context = &disk,
                                           .read = read_disk,
                                           .block_bytes = BLOCK,
                                           .blocks = (volume->mib * MIB + shift) / BLOCK,
                                           .serial = SERIAL};
    uint8_t *buffer = malloc(BLOCK_PROBE_BYTES);
    const enum status status =
        block_guard_open_built(&guard, &asked, &disk.wish, buffer, reason, true);
    ck_assert_int_eq(guard.writable, status == STATUS_OK);
    free(buffer);
    return status;
}

START_TEST(what_the_systems_tools_make_is_known_and_keeps_its_disk_closed)
{
    const struct volume *volume = &volumes[_i];
    char path[] = "build/one_volume";
    const char *reason;
    if (!make(volume, path))
        return;
    const int file = open(path, O_RDONLY);
    uint8_t *bytes = calloc(1, BLOCK_PROBE_BYTES);
    ck_assert_int_gt(pread(file, bytes, BLOCK_PROBE_BYTES, 0), 0);
    const char *name = block_guard_trace(bytes, BLOCK_PROBE_BYTES);
    ck_assert_msg((name == NULL) == (volume->name == NULL) &&
                      (name == NULL || strcmp(name, volume->name) == 0),
                  "%s %s: %s", volume->tool, volume->words, name != NULL ? name : "nothing");
    const enum status wanted = volume->name == NULL ? STATUS_OK : STATUS_REFUSED;
    // All of the disk, and a range in the middle of it.
    enum status status = open_range(volume, file, 0, volume->mib * MIB / 2, 64 * 1024, &reason);
    ck_assert_int_eq(status, wanted);
    ck_assert_str_eq(reason, name != NULL ? name : "");
    // A partition of an otherwise empty disk, at its first MiB, inside the range.
    status = open_range(volume, file, MIB, MIB / 2, MIB, &reason);
    ck_assert_int_eq(status, wanted);
    free(bytes);
    close(file);
    unlink(path);
    unlink("build/one_partition");
    unlink("build/one_volume.log");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("block_images");
    TCase *all = tcase_create("images");
    tcase_set_timeout(all, 120);
    suite_add_tcase(suite, all);
    tcase_add_loop_test(all, what_the_systems_tools_make_is_known_and_keeps_its_disk_closed, 0,
                        (int)ARRAY_COUNT(volumes));
    return run_checks(suite);
}
