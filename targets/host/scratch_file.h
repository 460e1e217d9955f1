// SPDX-License-Identifier: MIT
// A file to measure a disk with: full of the pattern of block_pattern.h, of a generation of its
// own, read past the page cache where the file system lets that happen, and without a name, so that
// nothing is left of it when the program ends, however it ends.
//
// Rules for callers
//   threads    one at a time makes or closes; the pattern is anybody's
//   failure    `problem` says in one line what is missing
#ifndef SCRATCH_FILE_H
#define SCRATCH_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SCRATCH_FILE_MOST  (UINT64_C(1) << 30) // bytes
#define SCRATCH_FILE_CHUNK (UINT64_C(1) << 20) // its size is a multiple of

struct scratch_file {
    int file;             // read and write; -1: there is none
    bool direct;          // O_DIRECT, on a file system that has a disk below it
    uint32_t block_bytes; // what offsets and lengths are multiples of: 512 or 4096
    uint64_t bytes;
    uint64_t generation; // of the pattern: another one for each file
    char place[160];     // the folder, and how it is read there
    char problem[240];   // of the last try
};

// A folder that a scratch file may stand in: `wanted`, if that is not NULL, and no other; else the
// first of these where reading past the page cache works, or the first at all: results/, TMPDIR,
// /var/tmp, /tmp. NULL: `index` is past the last one.
const char *scratch_file_folder(const char *wanted, unsigned index);

// Makes one of `bytes`, a multiple of SCRATCH_FILE_CHUNK, at most SCRATCH_FILE_MOST, in the folder
// chosen as above; all of it stands on the disk then. False: it could not be made, or is not wholly
// written; nothing is kept.
bool scratch_file_make(struct scratch_file *scratch, const char *wanted, uint64_t bytes);

void scratch_file_close(struct scratch_file *scratch);

#endif
