// SPDX-License-Identifier: MIT
// A file as a block device, by io_uring: real requests to a real disk on any Linux machine.
//
//   queue       a ring of its own
//   interrupt   the kernel raises the queue's eventfd. A flag in the ring's memory lets it or does
//               not, so arming and disarming are no system calls
//   polling     a look at the completion ring, which is memory: no system call
//   doorbell    io_uring_enter, one for all that the ring got since the last
//   whole pages requests that consist of them are read into place; all others by way of a buffer of
//               the driver's, and copied
//
// Rules for callers, beyond those of struct block_device_ops
//   threads     the kernel ends a request on behalf of the thread that rang its doorbell, which it
//               interrupts for that; such a thread outlives its requests
//   memory      of requests is private and anonymous, or the program's own data: after a reset that
//               failed, their pages are replaced by copies, so that the kernel, which still has the
//               old ones, reaches nobody's memory
//   ownership   the file is the caller's until uring_disk_close
//   ops         uring_disk_ops where reads reach a disk; uring_cached_ops, which says that it is
//               simulated, where the page cache answers
#ifndef URING_DISK_H
#define URING_DISK_H

#include <liburing.h>
#include <sys/uio.h>

#include "block.h"

#define URING_DISK_QUEUES   8u
#define URING_DISK_DEPTH    64u          // requests in a queue
#define URING_DISK_TRANSFER (128u << 10) // bytes of a request
#define URING_DISK_RESET_NS 10000000000u // default
#define URING_DISK_SERIAL   "SCRATCH"

struct uring_disk_config {
    int file;
    uint32_t block_bytes;            // a power of two, 512..4096
    uint64_t bytes;                  // a multiple of block_bytes, not 0
    const char *model;               // lives as long as the disk
    unsigned queues;                 // 1..URING_DISK_QUEUES
    uint64_t reset_ns;               // for the kernel to end all; 0: URING_DISK_RESET_NS
    const struct block_guard *guard; // the block device's; NULL: nothing is written
};

// A place for one request.
struct uring_disk_slot {
    struct block_request *request; // NULL: free
    uint32_t turn;                 // of its use: a completion of another one is a stray
    uint32_t next;                 // free one
    bool direct;                   // whole pages
    struct iovec pieces[BLOCK_CARRIER_SEGMENTS];
};

struct CACHE_ALIGNED uring_disk_queue {
    // Behind the lock of the block device's queue:
    struct io_uring ring;
    uint32_t free, count;
    bool broken; // the ring takes nothing any more
    struct uring_disk_slot slots[URING_DISK_DEPTH];
    uint8_t *buffers; // URING_DISK_TRANSFER for each slot, touched when used
    uint32_t armed;   // atomic, for the order of an exchange only
    // Set once:
    int event; // eventfd, does not block
};

struct CACHE_ALIGNED uring_disk {
    struct uring_disk_config config;
    uint32_t ill;  // atomic: a ring is broken
    uint32_t gone; // atomic: the file is no file any more
    struct uring_disk_queue queues[URING_DISK_QUEUES];
};

// Ready for use as `driver`. STATUS_REFUSED: io_uring is not allowed here. STATUS_FAILED: not
// there, too old, or no memory for it. *problem says in a few words why, and lives as long as the
// program.
enum status uring_disk_init(struct uring_disk *disk, const struct uring_disk_config *config,
                            const char **problem);

// With no request on its way. The file stays open.
void uring_disk_close(struct uring_disk *disk);

extern const struct block_device_ops uring_disk_ops, uring_cached_ops;

#endif
