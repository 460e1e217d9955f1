// SPDX-License-Identifier: MIT
// Block devices: requests for blocks, queues of a device, ways to wait, and what becomes of a
// request whose device errs, dawdles or vanishes. Drivers are struct block_device_ops.
//
//   queue     what a device offers to submit to and to complete from; one for each CPU where it has
//             as many. Behind one lock each
//   mode      how a queue's requests are waited for (block_controller.h names them); fixed, or
//             changed by the queue's controller: adaptive
//   batch     requests gathered in a queue: sorted by block, merged where they are adjacent, and
//             submitted with one doorbell
//   carrier   the one request that the device gets for several merged ones. If it fails, they are
//             submitted one by one, so that only those fail that must
//   backlog   what the device had no room for; submitted in order as room comes
//   waiter    how a thread sleeps and is woken: the scheduler, a futex, nothing at all
//
// Rules for callers
//   threads     any thread may submit to any queue and wait for any request it owns. Completions
//               are found by whoever looks: a waiter, block_poll, the interrupt handler. Waits are
//               for threads with preemption enabled; block_interrupt is for interrupt handlers and
//               never waits; all else may be called with preemption disabled
//   ownership   a request, its segments and its memory belong to the device from a submit that says
//               STATUS_OK until its `done` function is called, or a wait for it returns, or
//               block_poll_status says true. Nothing is allocated
//   done        is called once, with no lock held, by whoever found it, which may be an interrupt
//               handler: it must be short, and may submit to request->queue, to no other. A
//               request with a `done` function is not waited for
//   failure     a submit says at once what is wrong with a request (and has not taken it); what
//               happens later is request->status
//   bounds      every request ends within block_bound_ns after its submit as long as anybody waits
//               for a request of its queue or calls block_poll: timeout, then abort, then reset of
//               the device, then failure. No loop depends on the device alone
//   order       there is none among requests that are on their way at the same time
//   writing     nothing is written unless the device's guard was opened (block_guard.h)
//   times       ticks of the device's clock
#ifndef BLOCK_H
#define BLOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "block_controller.h"
#include "block_guard.h"
#include "compiler.h"
#include "device.h"
#include "list.h"
#include "spinlock.h"
#include "status.h"

#define BLOCK_QUEUES_MOST      CPU_MOST
#define BLOCK_DEPTH_MOST       1024u // requests in a device's queue that are made use of
#define BLOCK_BATCH_MOST       32u   // requests in a batch
#define BLOCK_CARRIERS         8u    // of a queue; without a free one requests go unmerged
#define BLOCK_CARRIER_SEGMENTS 64u
#define BLOCK_POLL_ONCE        16u // completions taken from the device in one turn
#define BLOCK_HYBRID_NS        5000u
#define BLOCK_BATCH_NS         100000u // default: how long a batch gathers
#define BLOCK_TIMEOUT_NS       2000000000u
#define BLOCK_ABORT_NS         500000000u
#define BLOCK_HEALTH_NS        1000000u  // how often those who look ask how the device is
#define BLOCK_SLEEP_NS         50000000u // how long a waiter sleeps at most before it looks
#define BLOCK_RESET_NS_MOST    30000000000u
#define BLOCK_DRIVER_WORDS     4u

struct block_device;
struct block_queue;
struct block_request;

// One piece of a request's memory.
struct block_segment {
    void *memory;     // as the CPU sees it
    uint64_t address; // as the device does (struct device_dma); of no account where it is simulated
    uint32_t bytes;   // more than 0
    uint32_t unused;
};

// How a thread waits. The implementer's object; one for each thread, as long as the thread waits.
struct block_waiter {
    void *context;
    // Returns after wake was called since it last returned, or after `most_ns`, or sooner for no
    // reason. Where no interrupt handler runs (a Linux process), it also waits for what the device
    // raises for `queue`.
    void (*sleep)(void *context, unsigned queue, uint64_t most_ns);
    // Any CPU, interrupt handlers too; the queue's lock is held, so it must not wait.
    void (*wake)(void *context);
};

enum block_state {
    BLOCK_IDLE,      // the caller's
    BLOCK_QUEUED,    // in a batch or in the backlog
    BLOCK_MERGED,    // in a carrier
    BLOCK_SUBMITTED, // the device's
    BLOCK_ENDED,     // its `done` function is about to be called
    BLOCK_DONE,      // the caller's again; `status` says how it ended
};

struct block_request {
    // The caller sets these (block_request_init) and leaves them alone until it is done.
    enum block_operation operation;
    bool tolerant;  // may wait in a batch, for what it gains by that
    bool untold;    // is not recorded when traced; its caller tells how many (BLOCK_LEFT_OUT)
    uint32_t count; // blocks; 0 for a flush
    uint64_t first; // block
    // `count` blocks in all. The first segment begins at a multiple of 4; where the device does not
    // scatter, all but the first begin, and all but the last end, at multiples of PAGE_SIZE.
    const struct block_segment *segments;
    uint32_t segment_count;
    void (*done)(struct block_request *request); // or NULL
    void *user;

    // For the caller to read when it is done. STATUS_FAILED: the device says no. STATUS_TIMEOUT: it
    // did not answer. STATUS_ABORTED: a reset hit it on the way; it may be tried again.
    // STATUS_CLOSED: the device is gone. STATUS_CORRUPT: its answer made no sense.
    enum status status;
    uint32_t device_status; // what the device said, in its own words; 0 if nothing
    uint64_t queued_at;     // ticks: the submit
    uint64_t submitted_at;  // the device got it
    uint64_t completed_at;  // its completion was found

    // The block layer's, behind the queue's lock; `state` is read by others without it.
    uint32_t state; // enum block_state
    uint32_t queue;
    bool single;   // is not merged any more
    bool aborting; // its time was up once
    uint64_t deadline;
    const struct block_waiter *waiter;
    struct list link;           // batch, backlog, outstanding, or merged
    struct list merged;         // of a carrier: the requests it stands for
    struct block_device *owner; // while it is not the caller's

    // The driver's, from submit to completion.
    uint64_t driver[BLOCK_DRIVER_WORDS];
};

// What a device is.
struct block_facts {
    uint32_t block_bytes;    // a power of two, 512..4096
    uint64_t blocks;         // more than 0
    uint32_t transfer_bytes; // largest request, a multiple of block_bytes
    uint32_t segments;       // of a request at most, at least 1
    uint32_t queues;         // at least 1
    uint32_t depth;          // requests a queue takes at a time, at least 1
    bool scatter;            // segments may begin and end anywhere
    bool interrupts;         // arm makes it interrupt, or raise what waiters sleep on
    bool read_only;          // writes fail whatever the guard says
    uint64_t reset_ns;       // bound of a reset, at most BLOCK_RESET_NS_MOST
    char serial[BLOCK_SERIAL_MOST + 1];
    char model[BLOCK_SERIAL_MOST + 1];
};

enum block_health {
    BLOCK_HEALTHY,
    BLOCK_NEEDS_RESET, // says so itself: a fatal status
    BLOCK_GONE,        // does not answer any more, and never will
};

// What a driver implements. `driver` is its object. None of these waits for a request. Those with a
// queue are called with that queue's lock held and preemption disabled, maybe in an interrupt
// handler, and for several queues at a time; identify, reset and health (as stated) are not.
struct block_device_ops {
    const char *name;
    bool simulated; // said wherever its figures are shown
    // Called once, first. STATUS_FAILED: not usable.
    enum status (*identify)(void *driver, struct block_facts *facts);
    // Puts one request where the device will find it; it need not look before `ring`. Asks
    // block_guard_allows itself. STATUS_FULL: no room now. Anything else but STATUS_OK: the request
    // ends with it. Sets request->driver[] as it likes.
    enum status (*submit)(void *driver, unsigned queue, struct block_request *request);
    void (*ring)(void *driver, unsigned queue);
    // Takes up to `most` completions from the device: each request that it was given, once, with
    // `status` and `device_status` set. Bounded, whatever the device does. That a completion
    // belongs to a request is the driver's to know: a request's memory is its caller's again
    // afterwards.
    unsigned (*poll)(void *driver, unsigned queue, struct block_request **done, unsigned most);
    // From now on completions interrupt. Those that came before need not: look after arming.
    void (*arm)(void *driver, unsigned queue);
    // None interrupts; one on its way may still come.
    void (*disarm)(void *driver, unsigned queue);
    // Asks the device to give a request up, which then completes, unless it does not. STATUS_OK:
    // asked. Anything else: it cannot.
    enum status (*abort)(void *driver, unsigned queue, struct block_request *request);
    // Brings the device into its first state within facts.reset_ns; it knows no request then, and
    // touches no memory of any. No queue is in use meanwhile. May sleep. Not STATUS_OK: it is lost,
    // but has been kept from memory all the same.
    enum status (*reset)(void *driver);
    // Any context, at any time but in a reset.
    enum block_health (*health)(void *driver);
};

struct block_config {
    const struct block_device_ops *ops;
    void *driver;
    struct device_clock clock;
    const struct block_guard *guard; // NULL: nothing is written. Outlives the device
    unsigned queues;                 // made use of at most; 0: all, up to BLOCK_QUEUES_MOST
    uint64_t hybrid_ns;              // at most BLOCK_HYBRID_NS; 0: that
    uint64_t batch_ns;               // 0: BLOCK_BATCH_NS
    uint64_t timeout_ns;             // 0: BLOCK_TIMEOUT_NS
    uint64_t abort_ns;               // 0: BLOCK_ABORT_NS
    uint64_t rate_low, rate_high;    // operations a second; 0: BLOCK_RATE_LOW, _HIGH
    uint32_t number;                 // in traces, below TRACE_DEVICES_MOST (trace_device.h)
};

// Of a queue, or of all of a device. Exact while nobody uses it.
struct block_statistics {
    uint64_t submitted;   // requests taken from callers
    uint64_t completed;   // given back, however they ended
    uint64_t failed;      // of those, with another status than STATUS_OK
    uint64_t refused;     // by the guard
    uint64_t commands;    // requests that the device was given; fewer than submitted when merged
    uint64_t doorbells;   // rung
    uint64_t batches;     // flushed
    uint64_t batched;     // requests in them
    uint64_t merged;      // requests that went in another one's command
    uint64_t seeks_saved; // neighbours in a batch that were none in the order they came in
    uint64_t split;       // carriers that failed and were taken apart
    uint64_t backlogged;  // requests that found the device full
    uint64_t polls;       // looks at the device
    uint64_t sleeps;      // of waiters
    uint64_t interrupts;
    uint64_t idle_interrupts; // that found nothing
    uint64_t timeouts;
    uint64_t aborts;
    uint64_t strays; // completions of what was not outstanding: the driver or the device is wrong
    uint64_t bytes;  // of requests that ended well
};

enum block_device_state {
    BLOCK_DEVICE_RUNNING,
    BLOCK_DEVICE_RESETTING,
    BLOCK_DEVICE_FAILED, // could not be reset
    BLOCK_DEVICE_GONE,
};

struct CACHE_ALIGNED block_queue {
    struct spinlock lock;
    // Without the lock: `interrupted` atomic.
    uint32_t interrupted; // an interrupt came while somebody held the lock
    // Behind `lock`:
    uint32_t number; // the device's
    uint32_t index;
    uint32_t outstanding; // the device has
    uint32_t waiting;     // in the backlog
    bool armed;           // interrupts
    bool unrung;          // the device has not been told of all
    enum block_mode mode; // in force
    uint32_t sleepers;
    uint64_t next_block;     // where the last request ended
    struct list submitted;   // oldest first
    struct list backlog;     // in order
    struct list batch;       // in order of arrival
    uint32_t batch_count;    // 0..BLOCK_BATCH_MOST
    uint64_t batch_flush_at; // while batch_count > 0
    uint64_t health_at;      // not before
    uint32_t carriers_free;  // bits
    struct block_controller controller;
    struct block_statistics statistics;
    struct block_request carriers[BLOCK_CARRIERS];
    struct block_segment segments[BLOCK_CARRIERS][BLOCK_CARRIER_SEGMENTS];
};

struct CACHE_ALIGNED block_device {
    struct block_config config;
    struct block_facts facts;
    unsigned queue_count;
    struct block_queue *queues;
    uint64_t hybrid_ticks, batch_ticks, timeout_ticks, abort_ticks, health_ticks;
    // Atomic:
    // block_interrupt of whoever uses the device: where this layer is linked more than once (the
    // measured one, and the platform's own), handlers finish requests with the user's.
    void (*interrupt)(struct block_device *device, unsigned queue);
    uint32_t state CACHE_ALIGNED; // enum block_device_state
    uint32_t resets;
};

// ---- the device ---------------------------------------------------------------------------------

// Bytes of memory, 64-byte aligned, for so many queues.
size_t block_bytes(unsigned queues);

// Identifies the device and makes it ready; all queues in mode interrupt, or polling where there
// are no interrupts. STATUS_NO_MEMORY: `bytes` is less than block_bytes of the queues wanted (as
// many are made use of as there are, if config->queues is 0). STATUS_CORRUPT: the facts are out of
// range. Or what identify said.
enum status block_init(struct block_device *device, const struct block_config *config, void *memory,
                       size_t bytes);

// Nanoseconds after its submit within which a request ends, as the rule "bounds" says.
uint64_t block_bound_ns(const struct block_device *device);

// One queue's, or those of all with queue = BLOCK_QUEUES_MOST.
void block_statistics(struct block_device *device, unsigned queue,
                      struct block_statistics *statistics);
void block_queue_controller(struct block_device *device, unsigned queue,
                            struct block_controller_statistics *statistics);

enum block_device_state block_device_state(const struct block_device *device);

// The queue's mode from now on; `adaptive`: the controller may change it again. A batch is flushed
// when the mode is left. A device without interrupts is polled whatever the mode.
void block_set_mode(struct block_device *device, unsigned queue, enum block_mode mode,
                    bool adaptive);
enum block_mode block_mode(struct block_device *device, unsigned queue);

// ---- requests -----------------------------------------------------------------------------------

// A request for `count` blocks from `first` on, with neither `done` nor `tolerant`.
static inline void block_request_init(struct block_request *request, enum block_operation operation,
                                      uint64_t first, uint32_t count,
                                      const struct block_segment *segments, uint32_t segment_count)
{
    *request = (struct block_request){.operation = operation,
                                      .first = first,
                                      .count = count,
                                      .segments = segments,
                                      .segment_count = segment_count};
}

// Submits one request now and rings the doorbell. STATUS_OK: taken. STATUS_INVALID: blocks,
// segments or alignment. STATUS_TOO_LARGE: more than facts allow. STATUS_REFUSED: the guard does
// not let it. STATUS_FULL: the backlog is as long as the queue is deep. STATUS_CLOSED, _FAILED: the
// device is gone, or could not be reset. STATUS_ABORTED: it is being reset; try again later.
enum status block_submit_request(struct block_device *device, unsigned queue,
                                 struct block_request *request);

// The same for `count` requests with one doorbell, in order; *taken says how many were taken before
// the one that the status is about.
enum status block_submit_several(struct block_device *device, unsigned queue,
                                 struct block_request **requests, unsigned count, unsigned *taken);

// Puts one into the queue's batch, and flushes that when it is full or its time is over.
enum status block_batch_operation(struct block_device *device, unsigned queue,
                                  struct block_request *request);

// Sorts, merges and submits what the queue's batch holds. Returns how many requests that were; none
// during a reset, after which it goes by itself.
unsigned block_flush_batch(struct block_device *device, unsigned queue);

// As the queue's mode says: into the batch, or at once. Records the operation with the controller.
enum status block_start(struct block_device *device, unsigned queue, struct block_request *request);

// ---- completions --------------------------------------------------------------------------------

// One look at the device: finishes what is done, flushes a batch whose time is over, submits the
// backlog, and does something about what is late. Returns how many requests it finished. For those
// who use `done`: to be called again and again, at least every BLOCK_HEALTH_NS for the bounds to
// hold. Preemption enabled: it may reset the device.
unsigned block_poll(struct block_device *device, unsigned queue);

// From the interrupt handler of the queue's vector, or with preemption disabled: finishes what is
// done, or leaves that to whoever holds the queue's lock.
void block_interrupt(struct block_device *device, unsigned queue);

// Before the first request to a device that another copy of this layer has made: from here on its
// handlers call the caller's block_interrupt. At rest only.
ALWAYS_INLINE void block_attach(struct block_device *device)
{
    __atomic_store_n(&device->interrupt, block_interrupt, __ATOMIC_RELAXED);
}

// block_interrupt of whoever uses the device: for those who hand interrupts on.
static inline void block_raise(struct block_device *device, unsigned queue)
{
    __atomic_load_n(&device->interrupt, __ATOMIC_RELAXED)(device, queue);
}

// Whether the request is done, after one look at its queue.
bool block_poll_status(struct block_device *device, struct block_request *request);

// Waits until the request is done; returns its status. Sleeping waits poll where `waiter` is NULL
// or the device has no interrupts.
enum status block_poll_wait(struct block_device *device, struct block_request *request);
enum status block_wait_interrupt(struct block_device *device, struct block_request *request,
                                 const struct block_waiter *waiter);
// Polls for config.hybrid_ns at most, then sleeps.
enum status block_hybrid_wait(struct block_device *device, struct block_request *request,
                              const struct block_waiter *waiter);
// As the queue's mode says; the time of the call is spent by the controller's account.
enum status block_wait(struct block_device *device, struct block_request *request,
                       const struct block_waiter *waiter);

// Reads `count` blocks from `first` on into one piece of memory, as many requests as it takes, one
// after the other, polling. The status of the first that failed.
enum status block_read(struct block_device *device, unsigned queue, uint64_t first, uint32_t count,
                       const struct block_segment *memory);

// Opens a range for writing as block_guard_open does it, reading through queue 0 into `memory`: one
// piece of BLOCK_PROBE_BYTES, page-aligned. `guard` is config.guard of this device and of its
// driver. Nobody else uses the device meanwhile.
enum status block_open_for_writing(struct block_device *device, struct block_guard *guard,
                                   const struct block_guard_wish *wish,
                                   const struct block_segment *memory, const char **reason);

// Whether it is the caller's again, without a look at the device. Acquire: what the device and
// whoever found the completion wrote to the request and its memory is visible then.
static inline bool block_done(const struct block_request *request)
{
    return __atomic_load_n(&request->state, __ATOMIC_ACQUIRE) == BLOCK_DONE;
}

#endif
