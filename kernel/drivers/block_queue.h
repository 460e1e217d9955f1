// SPDX-License-Identifier: MIT
// Between the files of the block layer only (block.c, block_*.c): what happens behind a queue's
// lock.
#ifndef BLOCK_QUEUE_H
#define BLOCK_QUEUE_H

#include "assert.h"
#include "block.h"
#include "block_trace.h"

// What the caller of a look has to do when it holds no lock any more.
enum block_remedy {
    BLOCK_REMEDY_NONE,
    BLOCK_REMEDY_RESET,
    BLOCK_REMEDY_GONE,
};

// Preemption stays off while the lock is held: whoever waits for it spins.
static inline struct block_queue *block_lock(struct block_device *device, unsigned queue)
{
    assert(queue < device->queue_count);
    cpu_preempt_disable();
    spinlock_acquire(&device->queues[queue].lock);
    return &device->queues[queue];
}

// Opens the lock, sees to an interrupt that came meanwhile, and calls the `done` functions of
// `finished` (NULL: there are none).
void block_unlock(struct block_device *device, struct block_queue *queue, struct list *finished);

static inline bool block_running(const struct block_device *device)
{
    // Behind a lock of the device: a reset takes each of them after it has said so here.
    return __atomic_load_n(&device->state, __ATOMIC_RELAXED) == BLOCK_DEVICE_RUNNING;
}

static inline struct block_request *block_request_of(struct list *link)
{
    return (struct block_request *)((char *)link - offsetof(struct block_request, link));
}

static inline void block_set_state(struct block_request *request, enum block_state state)
{
    __atomic_store_n(&request->state, state, __ATOMIC_RELAXED);
}

// ---- with the queue's lock held -----------------------------------------------------------------

// block.c: may this request be put to the device at all? STATUS_OK, or what a submit says.
enum status block_look_over(const struct block_device *device, const struct block_request *request);
// Gives a request to the device, or puts it behind the backlog; what is wrong with it otherwise.
// Without a doorbell.
enum status block_give(struct block_device *device, struct block_queue *queue,
                       struct block_request *request, uint64_t now);
// Puts it behind the backlog.
void block_put_back(struct block_device *device, struct block_queue *queue,
                    struct block_request *request, uint64_t now);
void block_ring(struct block_device *device, struct block_queue *queue);
// Gives the backlog, as far as there is room, and rings.
void block_give_backlog(struct block_device *device, struct block_queue *queue, uint64_t now,
                        struct list *finished);
// Applies a mode: interrupts as it wants them, no batch left behind. During a reset, both follow
// when it is over.
void block_enter_mode(struct block_device *device, struct block_queue *queue, enum block_mode mode,
                      uint64_t now, struct list *finished);
// Interrupts as mode and sleepers want them.
void block_arm(struct block_device *device, struct block_queue *queue);

// block_complete.c: ends a request that is in no list, with its status set.
void block_finish(struct block_queue *queue, struct block_request *request, uint64_t now,
                  struct list *finished);
// The same with `status`, also for a carrier.
void block_end(struct block_device *device, struct block_queue *queue,
               struct block_request *request, enum status status, uint64_t now,
               struct list *finished);
// Takes what the device has completed.
unsigned block_collect(struct block_device *device, struct block_queue *queue, uint64_t now,
                       struct list *finished);

// block_batch.c
void block_gather(struct block_device *device, struct block_queue *queue,
                  struct block_request *request, uint64_t now, struct list *finished);
unsigned block_flush(struct block_device *device, struct block_queue *queue, uint64_t now,
                     struct list *finished);
static inline bool block_is_carrier(const struct block_queue *queue,
                                    const struct block_request *request)
{
    return request >= queue->carriers && request < queue->carriers + BLOCK_CARRIERS;
}
// Takes a carrier apart that has ended with `status`: its requests end with it, or go again alone.
void block_unload(struct block_device *device, struct block_queue *queue,
                  struct block_request *carrier, enum status status, uint64_t now,
                  struct list *finished);

// block_late.c: what time demands: a batch flushed, the backlog given, what is late aborted.
enum block_remedy block_care(struct block_device *device, struct block_queue *queue, uint64_t now,
                             struct list *finished);
// Ticks until block_care has something to do, at most `most`.
uint64_t block_care_in(const struct block_queue *queue, uint64_t now, uint64_t most);

// ---- without a lock, in a thread ----------------------------------------------------------------

void block_cure(struct block_device *device, enum block_remedy remedy);

#endif
