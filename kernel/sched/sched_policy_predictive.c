// SPDX-License-Identifier: MIT
#include "sched_policy_predictive.h"

#include "assert.h"

_Static_assert(sizeof(struct sched_predictive_queue) <= sizeof(((struct sched_cpu *)0)->policy),
               "fits");
_Static_assert(sizeof(struct sched_predictive_thread) <= sizeof(((struct sched_thread *)0)->policy),
               "fits");

static struct sched_predictive_queue *own(struct sched_cpu *queue)
{
    return (struct sched_predictive_queue *)queue->policy;
}

static struct sched_predictive_thread *part(struct sched_thread *thread)
{
    return (struct sched_predictive_thread *)thread->policy;
}

static struct sched_thread *thread_of(struct list *link)
{
    return (struct sched_thread *)((uint8_t *)link - offsetof(struct sched_thread, link));
}

void sched_predictive_queue_init(struct sched_cpu *queue)
{
    for (unsigned i = 0; i < SCHED_CLASSES; i++)
        list_init(&own(queue)->classes[i]);
}

void sched_predictive_thread_init(struct sched_thread *thread)
{
    part(thread)->class = SCHED_HOT; // nothing is known: the EMA is 0
}

// ---- what is foretold ---------------------------------------------------------------------------

// Of the run that has not ended, less what was counted already.
static uint64_t so_far_us(const struct sched_thread *thread)
{
    return thread->run_so_far_ns / 1000 - sched_predictive_of(thread)->counted_us;
}

static enum sched_class class_of(const struct sched_thread *thread)
{
    return sched_predictive_class(max_u64(sched_predictive_of(thread)->ema_us, so_far_us(thread)));
}

static void reclassify(struct sched_cpu *queue, struct sched_thread *thread)
{
    const enum sched_class class = class_of(thread);
    if (part(thread)->class == class)
        return;
    part(thread)->class = class;
    part(thread)->reclassified++;
    own(queue)->reclassifications++;
}

static void learn(struct sched_thread *thread, uint64_t run_us)
{
    part(thread)->ema_us = sched_predictive_ema(part(thread)->ema_us, part(thread)->learnt, run_us);
    part(thread)->learnt++;
}

void sched_predictive_charge(struct sched_cpu *queue, struct sched_thread *thread, uint64_t ran_ns,
                             uint64_t now_ns)
{
    const uint64_t run_us = so_far_us(thread);
    (void)queue;
    (void)ran_ns;
    (void)now_ns;
    if (run_us < SCHED_PREDICTIVE_COLD_US)
        return;
    learn(thread, run_us);
    part(thread)->counted_us += run_us;
}

void sched_predictive_run_ended(struct sched_cpu *queue, struct sched_thread *thread,
                                uint64_t now_ns)
{
    (void)now_ns;
    // The rest of a long run says nothing about short ones.
    if (part(thread)->counted_us == 0)
        learn(thread, so_far_us(thread));
    part(thread)->counted_us = thread->run_so_far_ns / 1000; // the core takes the run back to 0
    reclassify(queue, thread);
    part(thread)->counted_us = 0;
}

// ---- the queues ---------------------------------------------------------------------------------

// Behind those in front that have waited longer; they are few, since it was taken from there.
static struct list *place_in_front(struct list *class, uint64_t since_ns)
{
    struct list *where = class;
    for (unsigned looks = 0; looks < SCHED_PREDICTIVE_LOOKS && where->next != class; looks++) {
        if (sched_predictive_of(thread_of(where->next))->since_ns >= since_ns)
            break;
        where = where->next;
    }
    return where;
}

static struct list *place_behind(struct list *class, uint64_t since_ns)
{
    struct list *where = class->previous;
    for (unsigned looks = 0; looks < SCHED_BALANCE_LOOKS && where != class; looks++) {
        if (sched_predictive_of(thread_of(where))->since_ns <= since_ns)
            break;
        where = where->previous;
    }
    return where;
}

void sched_predictive_enqueue(struct sched_cpu *queue, struct sched_thread *thread,
                              enum sched_enqueue why, uint64_t now_ns)
{
    struct sched_predictive_thread *self = part(thread);
    const uint32_t before = self->class;
    reclassify(queue, thread);
    struct list *class = &own(queue)->classes[self->class], *where = class->previous;
    self->aged = false;
    self->gave_way = why == SCHED_ENQUEUE_YIELDED || why == SCHED_ENQUEUE_USED_UP ||
                     (self->gave_way && why == SCHED_ENQUEUE_MOVED);
    if (why == SCHED_ENQUEUE_MOVED)
        where = place_behind(class, self->since_ns);
    else if (why == SCHED_ENQUEUE_PREEMPTED && before == self->class)
        where = place_in_front(class, self->since_ns);
    else
        self->since_ns = now_ns;
    list_insert_after(where, &thread->link);
    own(queue)->lengths[self->class]++;
}

void sched_predictive_dequeue(struct sched_cpu *queue, struct sched_thread *thread, uint64_t now_ns)
{
    (void)now_ns;
    list_remove(&thread->link);
    own(queue)->lengths[part(thread)->class]--;
}

// The head that has waited longest, if that is too long.
static struct sched_thread *oldest(struct sched_cpu *queue, uint64_t now_ns)
{
    struct sched_thread *found = NULL;
    uint64_t longest = SCHED_PREDICTIVE_AGE_NS - 1;
    for (unsigned i = 0; i < SCHED_CLASSES; i++) {
        struct list *class = &own(queue)->classes[i];
        if (list_empty(class))
            continue;
        const uint64_t waited = now_ns - part(thread_of(class->next))->since_ns;
        if ((int64_t)waited > (int64_t)longest) {
            found = thread_of(class->next);
            longest = waited;
        }
    }
    return found;
}

static unsigned score(const struct sched_thread *thread, unsigned cpu, uint64_t now_ns)
{
    const uint64_t away = now_ns - thread->last_ran_ns;
    // Another CPU's clock may be ahead by a little.
    return sched_predictive_affinity(thread->last_cpu, cpu, (int64_t)away > 0 ? away : 0);
}

static struct sched_thread *warmest(struct sched_cpu *queue, struct list *class, uint64_t now_ns)
{
    struct list *link = class->next;
    for (unsigned looks = 0; looks < SCHED_PREDICTIVE_LOOKS && link != class; looks++) {
        const struct sched_thread *thread = thread_of(link);
        if (thread->statistics.dispatches == 0)
            break;
        if (!sched_predictive_of(thread)->gave_way &&
            score(thread, queue->index, now_ns) > SCHED_PREDICTIVE_WARM)
            return thread_of(link);
        link = link->next;
    }
    return thread_of(class->next);
}

struct sched_thread *sched_predictive_pick(struct sched_cpu *queue, uint64_t now_ns)
{
    struct sched_predictive_queue *self = own(queue);
    struct sched_thread *thread = oldest(queue, now_ns);
    if (thread != NULL) {
        part(thread)->aged = true;
        self->aged++;
    } else {
        unsigned i = SCHED_CLASSES;
        while (i > 0 && list_empty(&self->classes[i - 1]))
            i--;
        if (i == 0)
            return NULL;
        thread = warmest(queue, &self->classes[i - 1], now_ns);
        self->passed_over += &thread->link != self->classes[i - 1].next;
    }
    self->affinity_hits += score(thread, queue->index, now_ns) > SCHED_PREDICTIVE_WARM;
    self->scheduled[part(thread)->class]++;
    sched_predictive_dequeue(queue, thread, now_ns);
    return thread;
}

uint64_t sched_predictive_slice(struct sched_cpu *queue, struct sched_thread *thread)
{
    (void)thread;
    return queue->sched->config.quantum_ns;
}

bool sched_predictive_preempts(struct sched_cpu *queue, const struct sched_thread *woken,
                               const struct sched_thread *current, uint64_t now_ns)
{
    (void)queue;
    (void)now_ns;
    return !sched_predictive_of(current)->aged &&
           sched_predictive_of(woken)->class > (uint32_t)class_of(current);
}

// An idle CPU gets the most urgent ones, a busy one those that wait longest here; of those looked
// at, one that loses least. None that has waited long goes behind others again.
struct sched_thread *sched_predictive_candidate(struct sched_cpu *queue, unsigned to,
                                                unsigned length, uint64_t now_ns)
{
    struct sched_thread *found = NULL;
    unsigned least = UINT32_MAX, looks = 0;
    for (unsigned i = 0; i < SCHED_CLASSES; i++) {
        struct list *class = &own(queue)->classes[length == 0 ? SCHED_CLASSES - 1 - i : i];
        struct list *link = length == 0 ? class->next : class->previous;
        for (; link != class && looks < SCHED_BALANCE_LOOKS; looks++) {
            struct sched_thread *thread = thread_of(link);
            const unsigned loses = score(thread, queue->index, now_ns);
            const bool young = now_ns - part(thread)->since_ns < SCHED_PREDICTIVE_AGE_NS / 2;
            if (loses < least && (young || length == 0) && sched_movable(thread, to)) {
                found = thread;
                least = loses;
            }
            link = length == 0 ? link->next : link->previous;
        }
        if (found != NULL && length == 0)
            break;
    }
    return found;
}

unsigned sched_predictive_priority(const struct sched_thread *thread)
{
    return sched_predictive_of(thread)->class + 1;
}

// Half the age before it is moved for the last time, the age, and what came before it; the other
// half is for a place behind younger ones.
uint64_t sched_predictive_wait_most_ns(const struct sched_load *load)
{
    return 2 * SCHED_PREDICTIVE_AGE_NS + load->threads * (load->quantum_ns + load->undisturbed_ns);
}

// ---- what it counts -----------------------------------------------------------------------------

void sched_predictive_statistics(const struct sched *sched, uint32_t cpu,
                                 struct sched_predictive_statistics *statistics)
{
    uint64_t all = 0;
    *statistics = (struct sched_predictive_statistics){.affinity_hits = 0};
    for (unsigned i = 0; i < sched->config.cpus; i++) {
        const struct sched_predictive_queue *queue =
            (const struct sched_predictive_queue *)sched->cpus[i].policy;
        if (cpu != SCHED_PREDICTIVE_ALL && cpu != i)
            continue;
        for (unsigned class = 0; class < SCHED_CLASSES; class ++) {
            statistics->scheduled[class] += queue->scheduled[class];
            statistics->waiting[class] += queue->lengths[class];
            all += queue->scheduled[class];
        }
        statistics->affinity_hits += queue->affinity_hits;
        statistics->passed_over += queue->passed_over;
        statistics->aged += queue->aged;
        statistics->reclassifications += queue->reclassifications;
    }
    if (all > 0)
        statistics->affinity_permille = statistics->affinity_hits * 1000 / all;
}

bool sched_predictive_check(const struct sched_cpu *queue)
{
    const struct sched_predictive_queue *self =
        (const struct sched_predictive_queue *)queue->policy;
    uint32_t all = 0;
    for (unsigned i = 0; i < SCHED_CLASSES; i++) {
        uint32_t count = 0;
        const struct list *class = &self->classes[i];
        for (struct list *link = class->next; link != class; link = link->next) {
            const struct sched_thread *thread = thread_of(link);
            if (thread->state != SCHED_READY || thread->cpu != queue->index ||
                sched_predictive_of(thread)->class != i || (unsigned)class_of(thread) != i ||
                ++count > queue->ready)
                return false;
        }
        if (count != self->lengths[i])
            return false;
        all += count;
    }
    return all == queue->ready;
}
