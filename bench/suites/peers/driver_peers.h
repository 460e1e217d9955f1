// SPDX-License-Identifier: MIT
// The file of an io_uring disk, read without any layer of ours: as drivers, beside them.
//
//   pread              preadv: the thread sleeps in the kernel, one request at a time
//   io_uring           liburing: io_uring_submit for each but the last, which goes with the wait
//                      (io_uring_submit_and_wait_timeout, 2 s)
//   io_uring_polling   the same, but looks for the completion in memory
//   io_uring_batch     one io_uring_submit for all since the last flush or wait
//
// Rules for callers, beyond those of driver.h
//   device       of uring_disk.h (driver_peers_fit); reads only
//   threads      one for all of them: there is one ring
//   memory       begins at a multiple of the device's block_bytes: nothing is copied
//   statistics   none: the block layer sees nothing of it
//   bounds       a wait gives up after some 2 s, or what driver_peers_patience said, and its
//                request may still be on its way. Not pread's: preadv of a regular file cannot be
//                interrupted
//   end          driver_peers_end, with nothing on its way
#ifndef DRIVER_PEERS_H
#define DRIVER_PEERS_H

#include "driver.h"

#define DRIVER_PEERS(X) X(pread) X(io_uring) X(io_uring_polling) X(io_uring_batch)

#define DRIVER_PEERS_PATIENCE_NS 2000000000u // of a wait for a completion, then it has failed

// Whether these can read this device.
bool driver_peers_fit(const struct block_device *device);

// Of waits from now on. 0: DRIVER_PEERS_PATIENCE_NS.
void driver_peers_patience(uint64_t ns);

void driver_peers_end(void);

void driver_peers_begin(struct block_device *device, unsigned queue);
enum status driver_pread_submit(struct block_device *device, unsigned queue,
                                struct block_request *request);
enum status driver_pread_wait(struct block_device *device, struct block_request *request,
                              const struct block_waiter *waiter);
enum status driver_io_uring_submit(struct block_device *device, unsigned queue,
                                   struct block_request *request);
enum status driver_io_uring_keep(struct block_device *device, unsigned queue,
                                 struct block_request *request);
enum status driver_io_uring_wait(struct block_device *device, struct block_request *request,
                                 const struct block_waiter *waiter);
enum status driver_io_uring_look(struct block_device *device, struct block_request *request,
                                 const struct block_waiter *waiter);
void driver_io_uring_flush(struct block_device *device, unsigned queue);

#define DRIVER_PEER_OPS(name_, what_, mode_, submit_, wait_)                                       \
    static const struct driver_ops driver_##name_##_ops = {                                        \
        .about = {.name = #name_, .what = what_, .role = VARIANT_PEER},                            \
        .mode = mode_,                                                                             \
        .begin = driver_peers_begin,                                                               \
        .submit = submit_,                                                                         \
        .wait = wait_,                                                                             \
        .flush = driver_io_uring_flush,                                                            \
    };

DRIVER_PEER_OPS(pread, "preadv of the system, asleep in it", BLOCK_INTERRUPT, driver_pread_submit,
                driver_pread_wait)
DRIVER_PEER_OPS(io_uring, "liburing: a submit for each, the last with the wait", BLOCK_INTERRUPT,
                driver_io_uring_submit, driver_io_uring_wait)
DRIVER_PEER_OPS(io_uring_polling, "liburing: a submit for each, looks for the completion",
                BLOCK_POLLING, driver_io_uring_submit, driver_io_uring_look)
DRIVER_PEER_OPS(io_uring_batch, "liburing: one submit for many, asleep in the system", BLOCK_BATCH,
                driver_io_uring_keep, driver_io_uring_wait)

#endif
