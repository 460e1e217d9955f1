// SPDX-License-Identifier: MIT
// Why nothing is written: what a block device may be asked to do, in one place.
//
//   guard      what a device was opened for. Zeroed memory is a guard that lets nothing be written
//   protocol   a set of operation codes: ours, and those that devices understand
//   scratch    a range of blocks that somebody has given to be written over: its first block
//              carries a signature that names the range and the disk
//   trace      what a partition table, file system, volume or swap area leaves at known places
//
// A range is opened for writing only when the program was built for it (CONFIG_BLOCK_WRITES), the
// caller names the disk's serial number, the range begins with its signature, and no trace of
// anything is found at the beginning of the disk, at its end, in the range's beginning, and at each
// MiB of the range.
//
// Rules for callers
//   everybody who puts a command where a device finds it asks block_guard_allows with the very code
//   and, for codes that write, block_guard_allows_range with the very blocks: the block layer for
//   requests, and each driver again for what it made of them
//   threads    a guard is written by block_guard_open only, before the device has other users
#ifndef BLOCK_GUARD_H
#define BLOCK_GUARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "status.h"

#define BLOCK_SCRATCH_BYTES 128u            // of the signature
#define BLOCK_SCRATCH_MOST  (1024ull << 20) // bytes of a range
#define BLOCK_PROBE_BYTES   (136u << 10)    // from a place where something may begin
#define BLOCK_SERIAL_MOST   40u             // characters

enum block_protocol {
    BLOCK_PROTOCOL_REQUEST,    // enum block_operation
    BLOCK_PROTOCOL_NVME_IO,    // NVM command set 1.0, section 3
    BLOCK_PROTOCOL_NVME_ADMIN, // NVM Express base 2.0, section 5
    BLOCK_PROTOCOL_VIRTIO,     // virtio 1.2, 5.2.6
    BLOCK_PROTOCOL_URING,      // enum io_uring_op of Linux
    BLOCK_PROTOCOLS
};

enum block_operation {
    BLOCK_READ,
    BLOCK_WRITE,
    BLOCK_FLUSH, // only with a device that was opened for writing
    BLOCK_OPERATIONS
};

struct block_guard {
    bool writable;
    uint64_t first, count; // blocks that may be written
};

// What somebody wants to write over: all of it from the command line.
struct block_guard_wish {
    const char *serial;    // of the disk that is meant
    uint64_t first, count; // blocks
};

// A disk to look at. `read` reads `count` blocks from `first` on into `buffer`.
struct block_guard_disk {
    void *context;
    enum status (*read)(void *context, uint64_t first, uint32_t count, void *buffer);
    uint32_t block_bytes; // a power of two, 512..4096
    uint64_t blocks;
    const char *serial;
};

// Whether the guard lets this code be used at all. False for what it does not know.
bool block_guard_allows(const struct block_guard *guard, enum block_protocol protocol,
                        unsigned code);

// Whether these blocks may be written.
static inline bool block_guard_allows_range(const struct block_guard *guard, uint64_t first,
                                            uint64_t count)
{
    return guard->writable && count > 0 && first >= guard->first && count <= guard->count &&
           first - guard->first <= guard->count - count;
}

// The name of what left a trace in `length` bytes that begin where something may begin: "GPT",
// "ext4", ... NULL: nothing known. Lives as long as the program.
const char *block_guard_trace(const void *bytes, size_t length);

// Fills `bytes` (BLOCK_SCRATCH_BYTES) with the signature of a range; false if the serial number is
// longer than BLOCK_SERIAL_MOST.
bool block_guard_sign(void *bytes, const struct block_guard_wish *wish);

// Opens the range for writing, if everything stands in favour; *reason says what does not, in a few
// words that live as long as the program. `buffer` has BLOCK_PROBE_BYTES. STATUS_REFUSED; or
// what a read ended with; or STATUS_INVALID: the range is empty, too large or not on the disk.
// `built` is CONFIG_BLOCK_WRITES: tests look at both.
enum status block_guard_open_built(struct block_guard *guard, const struct block_guard_disk *disk,
                                   const struct block_guard_wish *wish, void *buffer,
                                   const char **reason, bool built);

static inline enum status block_guard_open(struct block_guard *guard,
                                           const struct block_guard_disk *disk,
                                           const struct block_guard_wish *wish, void *buffer,
                                           const char **reason)
{
    return block_guard_open_built(guard, disk, wish, buffer, reason, CONFIG_BLOCK_WRITES);
}

#endif
