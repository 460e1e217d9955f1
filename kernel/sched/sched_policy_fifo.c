// SPDX-License-Identifier: MIT
#include "sched_policy_fifo.h"

#include "assert.h"

struct __attribute__((may_alias)) fifo_queue {
    struct list threads; // the next one first
};

_Static_assert(sizeof(struct fifo_queue) <= sizeof(((struct sched_cpu *)0)->policy), "fits");

static struct fifo_queue *own(struct sched_cpu *queue)
{
    return (struct fifo_queue *)queue->policy;
}

static struct sched_thread *thread_of(struct list *link)
{
    return (struct sched_thread *)((uint8_t *)link - offsetof(struct sched_thread, link));
}

void sched_fifo_queue_init(struct sched_cpu *queue)
{
    list_init(&own(queue)->threads);
}

void sched_fifo_thread_init(struct sched_thread *thread)
{
    (void)thread;
}

void sched_fifo_enqueue(struct sched_cpu *queue, struct sched_thread *thread,
                        enum sched_enqueue why, uint64_t now_ns)
{
    struct list *threads = &own(queue)->threads;
    (void)now_ns;
    // One that was interrupted before its slice was used up goes on where it was.
    list_insert_after(why == SCHED_ENQUEUE_PREEMPTED ? threads : threads->previous, &thread->link);
}

void sched_fifo_dequeue(struct sched_cpu *queue, struct sched_thread *thread, uint64_t now_ns)
{
    (void)queue;
    (void)now_ns;
    list_remove(&thread->link);
}

struct sched_thread *sched_fifo_pick(struct sched_cpu *queue, uint64_t now_ns)
{
    struct list *threads = &own(queue)->threads;
    (void)now_ns;
    if (list_empty(threads))
        return NULL;
    struct sched_thread *thread = thread_of(threads->next);
    list_remove(&thread->link);
    return thread;
}

void sched_fifo_charge(struct sched_cpu *queue, struct sched_thread *thread, uint64_t ran_ns,
                       uint64_t now_ns)
{
    (void)queue;
    (void)thread;
    (void)ran_ns;
    (void)now_ns;
}

void sched_fifo_run_ended(struct sched_cpu *queue, struct sched_thread *thread, uint64_t now_ns)
{
    (void)queue;
    (void)thread;
    (void)now_ns;
}

uint64_t sched_fifo_slice(struct sched_cpu *queue, struct sched_thread *thread)
{
    (void)thread;
    return queue->sched->config.quantum_ns;
}

bool sched_fifo_preempts(struct sched_cpu *queue, const struct sched_thread *woken,
                         const struct sched_thread *current, uint64_t now_ns)
{
    (void)queue;
    (void)woken;
    (void)current;
    (void)now_ns;
    return false;
}

// The last one has the longest wait in front of it. In the other queue it must not stand further
// back than here.
struct sched_thread *sched_fifo_candidate(struct sched_cpu *queue, unsigned to, unsigned length,
                                          uint64_t now_ns)
{
    struct list *threads = &own(queue)->threads, *link = threads->previous;
    unsigned in_front = queue->ready;
    (void)now_ns;
    for (unsigned looks = 0; looks < SCHED_BALANCE_LOOKS && link != threads; looks++) {
        in_front--;
        if (in_front < length)
            return NULL;
        if (sched_movable(thread_of(link), to))
            return thread_of(link);
        link = link->previous;
    }
    return NULL;
}

unsigned sched_fifo_priority(const struct sched_thread *thread)
{
    (void)thread;
    return 1;
}

uint64_t sched_fifo_wait_most_ns(const struct sched_load *load)
{
    return load->threads * (load->quantum_ns + load->undisturbed_ns);
}

bool sched_fifo_check(const struct sched_cpu *queue)
{
    const struct fifo_queue *fifo = (const struct fifo_queue *)queue->policy;
    uint32_t count = 0;
    for (struct list *link = fifo->threads.next; link != &fifo->threads; link = link->next) {
        const struct sched_thread *thread = thread_of(link);
        if (thread->state != SCHED_READY || thread->cpu != queue->index || ++count > queue->ready)
            return false;
    }
    return count == queue->ready;
}
