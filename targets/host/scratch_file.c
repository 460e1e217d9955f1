// SPDX-License-Identifier: MIT
#include "scratch_file.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "assert.h"
#include "block_pattern.h"

const char *scratch_file_folder(const char *wanted, unsigned index)
{
    const char *const others[] = {"results", getenv("TMPDIR"), "/var/tmp", "/tmp"};
    if (wanted != NULL)
        return index == 0 ? wanted : NULL;
    for (unsigned i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        if (others[i] != NULL && others[i][0] != '\0' && index-- == 0)
            return others[i];
    }
    return NULL;
}

// Without a name from the beginning, where the file system has that; else for a moment with one.
static int open_nameless(const char *folder)
{
    char name[4096];
    int file = open(folder, O_TMPFILE | O_RDWR | O_EXCL | O_CLOEXEC, 0600);
    if (file >= 0 || (errno != EOPNOTSUPP && errno != EISDIR && errno != ENOENT))
        return file;
    if ((size_t)snprintf(name, sizeof(name), "%s/tickmark-scratch-XXXXXX", folder) >= sizeof(name))
        return -1;
    file = mkostemp(name, O_CLOEXEC);
    if (file >= 0)
        unlink(name);
    return file;
}

// The name of a file system that keeps its files in memory; NULL: it has a disk, or may have one.
static const char *in_memory(int file)
{
    struct statfs about;
    if (fstatfs(file, &about) != 0)
        return NULL;
    return about.f_type == TMPFS_MAGIC ? "tmpfs" : about.f_type == RAMFS_MAGIC ? "ramfs" : NULL;
}

// The least that may be read past the page cache: 512 or 4096; 0: nothing may.
static uint32_t least_direct(int file, void *page)
{
    const int flags = fcntl(file, F_GETFL);
    if (fcntl(file, F_SETFL, flags | O_DIRECT) != 0)
        return 0;
    for (uint32_t bytes = 512; bytes <= 4096; bytes *= 8) {
        if (pread(file, page, bytes, bytes) == (ssize_t)bytes)
            return bytes;
    }
    fcntl(file, F_SETFL, flags);
    return 0;
}

// A file of one chunk, which tells what can be done with it.
static bool begin(struct scratch_file *scratch, const char *folder, void *chunk)
{
    scratch->file = open_nameless(folder);
    if (scratch->file < 0 ||
        pwrite(scratch->file, chunk, SCRATCH_FILE_CHUNK, 0) != (ssize_t)SCRATCH_FILE_CHUNK) {
        snprintf(scratch->problem, sizeof(scratch->problem), "no scratch file in %.100s: %s",
                 folder, strerror(errno));
        scratch_file_close(scratch);
        return false;
    }
    const char *memory = in_memory(scratch->file);
    const uint32_t least = memory == NULL ? least_direct(scratch->file, chunk) : 0;
    scratch->direct = least != 0;
    scratch->block_bytes = scratch->direct ? least : 512;
    snprintf(scratch->place, sizeof(scratch->place), "%.100s%s%s%s", folder,
             memory != NULL ? ", " : "", memory != NULL ? memory : "",
             scratch->direct  ? ", O_DIRECT"
             : memory != NULL ? ": no disk"
                              : ": no O_DIRECT there, the page cache answers");
    return true;
}

// All of it, past the page cache where that can be done: what is only allocated is not read.
static bool fill(struct scratch_file *scratch, uint64_t *chunk, uint64_t bytes)
{
    for (uint64_t at = 0; at < bytes; at += SCRATCH_FILE_CHUNK) {
        for (uint64_t i = 0; i < SCRATCH_FILE_CHUNK / 8; i++)
            chunk[i] = block_pattern_word(scratch->generation, at / 8 + i);
        errno = 0;
        const ssize_t written = pwrite(scratch->file, chunk, SCRATCH_FILE_CHUNK, (off_t)at);
        if (written == (ssize_t)SCRATCH_FILE_CHUNK)
            continue;
        snprintf(scratch->problem, sizeof(scratch->problem),
                 "the scratch file takes %lu MiB, of which %lu fit in %.100s: %s",
                 (unsigned long)(bytes >> 20), (unsigned long)(at >> 20), scratch->place,
                 strerror(errno != 0 ? errno : ENOSPC));
        return false;
    }
    if (fdatasync(scratch->file) != 0) {
        snprintf(scratch->problem, sizeof(scratch->problem), "the scratch file in %.100s: %s",
                 scratch->place, strerror(errno));
        return false;
    }
    scratch->bytes = bytes;
    return true;
}

// Where reading past the page cache works, if it does anywhere; else at the first place there is.
static bool place(struct scratch_file *scratch, const char *wanted, void *chunk)
{
    const char *folder;
    for (unsigned turn = 0; turn < 2; turn++) {
        for (unsigned i = 0; (folder = scratch_file_folder(wanted, i)) != NULL; i++) {
            memset(chunk, 0, SCRATCH_FILE_CHUNK);
            if (!begin(scratch, folder, chunk))
                continue;
            if (scratch->direct || turn == 1)
                return true;
            scratch_file_close(scratch);
        }
    }
    return false;
}

bool scratch_file_make(struct scratch_file *scratch, const char *wanted, uint64_t bytes)
{
    struct sigaction before;
    const struct sigaction ignored = {.sa_handler = SIG_IGN};
    assert(bytes > 0 && bytes % SCRATCH_FILE_CHUNK == 0 && bytes <= SCRATCH_FILE_MOST);
    *scratch = (struct scratch_file){.file = -1};
    void *chunk =
        mmap(NULL, SCRATCH_FILE_CHUNK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (chunk == MAP_FAILED || getrandom(&scratch->generation, sizeof(scratch->generation), 0) !=
                                   (ssize_t)sizeof(scratch->generation)) {
        snprintf(scratch->problem, sizeof(scratch->problem), "no scratch file: %s",
                 strerror(errno));
        return false;
    }
    // A limit to the size of files is an error of the write, not the end of the program.
    sigaction(SIGXFSZ, &ignored, &before);
    const bool made = place(scratch, wanted, chunk) && fill(scratch, chunk, bytes);
    sigaction(SIGXFSZ, &before, NULL);
    munmap(chunk, SCRATCH_FILE_CHUNK);
    if (!made)
        scratch_file_close(scratch);
    return made;
}

void scratch_file_close(struct scratch_file *scratch)
{
    if (scratch->file >= 0)
        close(scratch->file);
    scratch->file = -1;
}
