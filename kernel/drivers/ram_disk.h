// SPDX-License-Identifier: MIT
// A disk of memory whose latency is set: a simulation, for tests and for targets without a disk.
// Its figures say what the layers above cost, never what a disk does.
//
//   command    a queue serves one request at a time: command_ns, and kib_ns for each KiB
//   latency    then latency_ns pass, during which it serves others, until the request is complete
//   copy       is made by the CPU when it finds the completion: a real device has its own
//   interrupt  there is none: a thread that sleeps with struct ram_disk_sleeper does what the
//              interrupt handler of a machine would
//
// Rules for callers
//   threads    as struct block_device_ops says; a sleeper belongs to one thread
//   ownership  the caller's memory is the disk's content; it may read and write it while no request
//              is on its way
//   time       ticks of config.clock: on a machine that counts instructions, instructions
#ifndef RAM_DISK_H
#define RAM_DISK_H

#include "block.h"

#define RAM_DISK_DEPTH  64u // requests in a queue
#define RAM_DISK_SERIAL "SIMULATED"

struct ram_disk_config {
    void *memory;
    uint64_t bytes;          // a multiple of block_bytes, not 0
    uint32_t block_bytes;    // a power of two, 512..4096
    uint32_t transfer_bytes; // of a request at most; 0: 128 KiB
    unsigned queues;         // 1..BLOCK_QUEUES_MOST
    uint64_t latency_ns, command_ns, kib_ns;
    struct device_clock clock;       // the block device's
    const struct block_guard *guard; // the block device's; NULL: nothing is written
};

struct CACHE_ALIGNED ram_disk_queue {
    // Behind the lock of the block device's queue:
    struct block_request *oldest, *newest; // linked by their driver[]
    struct block_request *unrung;          // the first that the disk has not been told of
    uint32_t count;
    uint64_t busy_until; // ticks
    // Atomic, for sleepers:
    uint64_t next_ready; // when the oldest is complete; UINT64_MAX: none
    uint32_t armed;
};

struct CACHE_ALIGNED ram_disk {
    struct ram_disk_config config;
    uint64_t latency, command; // ticks
    struct ram_disk_queue queues[BLOCK_QUEUES_MOST];
};

// A sleeping thread, alone on its CPU. Zeroed but for disk and device.
struct ram_disk_sleeper {
    struct ram_disk *disk;
    struct block_device *device;
    // Lets the time pass up to `until` or less; NULL: cpu_pause.
    void (*idle)(void *context, uint64_t until);
    void *idle_context;
    uint64_t idle_ticks; // asleep in all
    uint64_t sleeps;
    uint32_t woken; // atomic
};

// Ready for use as `driver` of ram_disk_ops.
void ram_disk_init(struct ram_disk *disk, const struct ram_disk_config *config);

extern const struct block_device_ops ram_disk_ops;

// The waiter over a sleeper, which outlives it.
struct block_waiter ram_disk_waiter(struct ram_disk_sleeper *sleeper);

#endif
