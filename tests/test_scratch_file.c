// SPDX-License-Identifier: MIT
// Scratch files: where they may stand, what they hold, and that nothing is left of them.
#include <check.h>
#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "block_pattern.h"
#include "run_checks.h"
#include "scratch_file.h"

#define MIB (UINT64_C(1) << 20)

static char folder[] = "build/scratch-XXXXXX";

static void setup(void)
{
    ck_assert_ptr_nonnull(mkdtemp(folder));
}

static void teardown(void)
{
    rmdir(folder);
}

static unsigned entries(void)
{
    unsigned count = 0;
    DIR *list = opendir(folder);
    ck_assert_ptr_nonnull(list);
    while (readdir(list) != NULL)
        count++;
    closedir(list);
    return count;
}

START_TEST(all_of_it_stands_on_the_disk_and_no_name_does)
{
    struct scratch_file scratch, other;
    struct stat about;
    uint64_t *memory = aligned_alloc(4096, MIB);
    ck_assert(scratch_file_make(&scratch, folder, 3 * MIB));
    ck_assert_uint_eq(entries(), 2);
    ck_assert_int_eq(fstat(scratch.file, &about), 0);
    ck_assert_uint_eq(about.st_nlink, 0);
    ck_assert_uint_ge((uint64_t)about.st_blocks * 512, 3 * MIB);
    for (uint64_t at = 0; at < 3 * MIB; at += MIB) {
        ck_assert_int_eq(pread(scratch.file, memory, MIB, (off_t)at), (ssize_t)MIB);
        ck_assert(block_pattern_holds(scratch.generation, at, memory, MIB));
        ck_assert(!block_pattern_holds(scratch.generation, at + 8, memory, MIB));
    }
    memory[77]++;
    ck_assert(!block_pattern_holds(scratch.generation, 2 * MIB, memory, MIB));
    // Another one's content is another one.
    ck_assert(scratch_file_make(&other, folder, MIB));
    ck_assert_int_eq(pread(other.file, memory, MIB, 0), (ssize_t)MIB);
    ck_assert(!block_pattern_holds(scratch.generation, 0, memory, MIB));
    scratch_file_close(&other);
    scratch_file_close(&scratch);
    ck_assert_int_eq(scratch.file, -1);
    ck_assert_uint_eq(entries(), 2);
    free(memory);
}
END_TEST

START_TEST(a_limit_to_the_size_of_files_is_said_in_one_line)
{
    struct scratch_file scratch;
    const struct rlimit limit = {2 * MIB, 2 * MIB};
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    ck_assert(!scratch_file_make(&scratch, folder, 4 * MIB));
    ck_assert_msg(strstr(scratch.problem, "takes 4 MiB, of which 2 fit in build/scratch-") != NULL,
                  "%s", scratch.problem);
    ck_assert_msg(strchr(scratch.problem, '\n') == NULL, "%s", scratch.problem);
    ck_assert_int_eq(scratch.file, -1);
    ck_assert_uint_eq(entries(), 2);
}
END_TEST

// A disk of its own, for this process alone.
START_TEST(a_full_disk_is_said_in_one_line_and_is_empty_again)
{
    struct scratch_file scratch;
    if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("none", folder, "tmpfs", 0, "size=3m") != 0) {
        printf("no full disk is tested: nothing can be mounted here\n");
        return;
    }
    ck_assert(!scratch_file_make(&scratch, folder, 8 * MIB));
    ck_assert_msg(strstr(scratch.problem, "takes 8 MiB, of which 3 fit") != NULL, "%s",
                  scratch.problem);
    ck_assert_msg(strstr(scratch.problem, "No space left") != NULL, "%s", scratch.problem);
    // All of it is free once more; and what is kept in memory is no disk.
    ck_assert(scratch_file_make(&scratch, folder, 2 * MIB));
    ck_assert(!scratch.direct);
    ck_assert_msg(strstr(scratch.place, "tmpfs: no disk") != NULL, "%s", scratch.place);
    scratch_file_close(&scratch);
    ck_assert_int_eq(umount(folder), 0);
}
END_TEST

START_TEST(a_folder_that_takes_no_file_is_said_in_one_line)
{
    static const char *const folders[] = {"/proc", "/no/such/folder", "README.md"};
    struct scratch_file scratch;
    ck_assert(!scratch_file_make(&scratch, folders[_i], MIB));
    ck_assert_msg(strstr(scratch.problem, folders[_i]) != NULL, "%s", scratch.problem);
    ck_assert_int_eq(scratch.file, -1);
}
END_TEST

START_TEST(the_folder_that_was_named_is_the_only_one)
{
    ck_assert_str_eq(scratch_file_folder("here", 0), "here");
    ck_assert_ptr_null(scratch_file_folder("here", 1));
    setenv("TMPDIR", "there", 1);
    ck_assert_str_eq(scratch_file_folder(NULL, 0), "results");
    ck_assert_str_eq(scratch_file_folder(NULL, 1), "there");
    ck_assert_str_eq(scratch_file_folder(NULL, 3), "/tmp");
    ck_assert_ptr_null(scratch_file_folder(NULL, 4));
    unsetenv("TMPDIR");
    ck_assert_str_eq(scratch_file_folder(NULL, 1), "/var/tmp");
    ck_assert_ptr_null(scratch_file_folder(NULL, 3));
}
END_TEST

START_TEST(a_size_that_is_not_whole_chunks_panics)
{
    struct scratch_file scratch;
    scratch_file_make(&scratch, folder, MIB + 512);
}
END_TEST

START_TEST(a_size_beyond_the_bound_panics)
{
    struct scratch_file scratch;
    scratch_file_make(&scratch, folder, SCRATCH_FILE_MOST + MIB);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("scratch_file");
    TCase *all = tcase_create("file");
    tcase_set_timeout(all, 60);
    tcase_add_unchecked_fixture(all, setup, teardown);
    suite_add_tcase(suite, all);
    tcase_add_test(all, all_of_it_stands_on_the_disk_and_no_name_does);
    tcase_add_test(all, a_limit_to_the_size_of_files_is_said_in_one_line);
    tcase_add_test(all, a_full_disk_is_said_in_one_line_and_is_empty_again);
    tcase_add_loop_test(all, a_folder_that_takes_no_file_is_said_in_one_line, 0, 3);
    tcase_add_test(all, the_folder_that_was_named_is_the_only_one);
    tcase_add_test_raise_signal(all, a_size_that_is_not_whole_chunks_panics, SIGABRT);
    tcase_add_test_raise_signal(all, a_size_beyond_the_bound_panics, SIGABRT);
    return run_checks(suite);
}
