// SPDX-License-Identifier: MIT
#include "sched_policy_deadline.h"

#include "assert.h"

_Static_assert(sizeof(struct sched_deadline_queue) <= sizeof(((struct sched_cpu *)0)->policy),
               "fits");
_Static_assert(sizeof(struct sched_deadline_thread) <= sizeof(((struct sched_thread *)0)->policy),
               "fits");

static struct sched_deadline_queue *own(struct sched_cpu *queue)
{
    return (struct sched_deadline_queue *)queue->policy;
}

static struct sched_deadline_thread *part(struct sched_thread *thread)
{
    return (struct sched_deadline_thread *)thread->policy;
}

static struct sched_thread *thread_of(struct sched_tree_node *node)
{
    return (struct sched_thread *)((uint8_t *)node - offsetof(struct sched_thread, node));
}

void sched_deadline_queue_init(struct sched_cpu *queue)
{
    own(queue)->threads.root = NULL;
}

void sched_deadline_thread_init(struct sched_thread *thread)
{
    part(thread)->weight = sched_weight(thread->nice);
}

// ---- virtual time -------------------------------------------------------------------------------

static uint64_t slice_of(const struct sched_cpu *queue, const struct sched_deadline_thread *self)
{
    return queue->sched->config.quantum_ns * SCHED_DEADLINE_UNIT / self->weight;
}

// Moves the queue's virtual time to the mean again, rounded down.
static void settle(struct sched_deadline_queue *queue)
{
    if (queue->weight == 0) {
        queue->excess = 0;
        return;
    }
    const int64_t weight = (int64_t)queue->weight;
    int64_t step = queue->excess / weight;
    if (queue->excess % weight < 0)
        step--;
    queue->virtual_ns += (uint64_t)step;
    queue->excess -= step * weight;
}

static void enter(struct sched_cpu *cpu, struct sched_deadline_thread *self)
{
    struct sched_deadline_queue *queue = own(cpu);
    int64_t lag = self->lag_ns;
    // With it the mean moves towards it: what it is owed is to be as much behind that as in front.
    if (queue->weight > 0)
        lag += lag * (int64_t)self->weight / (int64_t)queue->weight;
    else
        lag = 0;
    self->virtual_ns = queue->virtual_ns - (uint64_t)lag;
    self->member = true;
    queue->weight += self->weight;
    queue->excess -= lag * (int64_t)self->weight;
    settle(queue);
}

static void leave(struct sched_cpu *cpu, struct sched_deadline_thread *self)
{
    struct sched_deadline_queue *queue = own(cpu);
    const int64_t ahead = (int64_t)(self->virtual_ns - queue->virtual_ns);
    const int64_t most = (int64_t)(2 * slice_of(cpu, self));
    self->lag_ns = -ahead;
    if (self->lag_ns > most)
        self->lag_ns = most;
    if (self->lag_ns < -most)
        self->lag_ns = -most;
    self->member = false;
    queue->weight -= self->weight;
    queue->excess -= ahead * (int64_t)self->weight;
    settle(queue);
}

void sched_deadline_charge(struct sched_cpu *queue, struct sched_thread *thread, uint64_t ran_ns,
                           uint64_t now_ns)
{
    struct sched_deadline_thread *self = part(thread);
    (void)now_ns;
    assert(self->member);
    self->rest += ran_ns * SCHED_DEADLINE_UNIT;
    const uint64_t step = self->rest / self->weight;
    self->rest -= step * self->weight;
    self->virtual_ns += step;
    own(queue)->excess += (int64_t)(step * self->weight);
    settle(own(queue));
}

void sched_deadline_run_ended(struct sched_cpu *queue, struct sched_thread *thread, uint64_t now_ns)
{
    (void)now_ns;
    leave(queue, part(thread));
}

// ---- the tree -----------------------------------------------------------------------------------

void sched_deadline_enqueue(struct sched_cpu *queue, struct sched_thread *thread,
                            enum sched_enqueue why, uint64_t now_ns)
{
    struct sched_deadline_thread *self = part(thread);
    (void)now_ns;
    if (!self->member)
        enter(queue, self);
    // Who yields lets one slice of its own pass. Who was interrupted keeps its deadline.
    if (why == SCHED_ENQUEUE_YIELDED)
        self->deadline_ns = self->virtual_ns + 2 * slice_of(queue, self);
    else if (why != SCHED_ENQUEUE_PREEMPTED)
        self->deadline_ns = self->virtual_ns + slice_of(queue, self);
    thread->node.key = self->deadline_ns;
    thread->node.tie = own(queue)->arrivals++;
    thread->node.low = self->virtual_ns;
    sched_tree_insert(&own(queue)->threads, &thread->node);
}

void sched_deadline_dequeue(struct sched_cpu *queue, struct sched_thread *thread, uint64_t now_ns)
{
    (void)now_ns;
    sched_tree_remove(&own(queue)->threads, &thread->node);
    leave(queue, part(thread));
}

struct sched_thread *sched_deadline_pick(struct sched_cpu *queue, uint64_t now_ns)
{
    struct sched_deadline_queue *self = own(queue);
    (void)now_ns;
    // All members are in the tree now, so one is not above their mean, and as numbers are whole not
    // above the mean rounded down either.
    struct sched_tree_node *node = sched_tree_first_low(&self->threads, self->virtual_ns);
    if (node == NULL) {
        assert(self->threads.root == NULL);
        return NULL;
    }
    sched_tree_remove(&self->threads, node);
    return thread_of(node);
}

uint64_t sched_deadline_slice(struct sched_cpu *queue, struct sched_thread *thread)
{
    (void)thread;
    return queue->sched->config.quantum_ns;
}

bool sched_deadline_preempts(struct sched_cpu *queue, const struct sched_thread *woken,
                             const struct sched_thread *current, uint64_t now_ns)
{
    const struct sched_deadline_thread *self = sched_deadline_of(woken);
    (void)now_ns;
    return (int64_t)(self->virtual_ns - own(queue)->virtual_ns) <= 0 &&
           (int64_t)(self->deadline_ns - sched_deadline_of(current)->deadline_ns) < 0;
}

// An idle CPU gets the one that is due first; a busy one the last ones: they wait longest.
struct sched_thread *sched_deadline_candidate(struct sched_cpu *queue, unsigned to, unsigned length,
                                              uint64_t now_ns)
{
    struct sched_tree_node *path[SCHED_BALANCE_LOOKS], *node = own(queue)->threads.root;
    unsigned depth = 0;
    (void)now_ns;
    for (unsigned looks = 0; looks < SCHED_BALANCE_LOOKS; looks++) {
        while (node != NULL && depth < SCHED_BALANCE_LOOKS) {
            path[depth++] = node;
            node = length == 0 ? node->left : node->right;
        }
        if (depth == 0)
            return NULL;
        node = path[--depth];
        if (sched_movable(thread_of(node), to))
            return thread_of(node);
        node = length == 0 ? node->right : node->left;
    }
    return NULL;
}

unsigned sched_deadline_priority(const struct sched_thread *thread)
{
    return (unsigned)(SCHED_NICE_MOST - thread->nice);
}

// Its virtual time may be two slices ahead of the queue's, three with a yield before, and its
// deadline is one or two further; the queue's goes up by `weight` at the most for each of its own.
uint64_t sched_deadline_wait_most_ns(const struct sched_load *load)
{
    const uint64_t slice = load->quantum_ns + load->undisturbed_ns;
    return (5 * load->weight / load->own_weight + load->threads) * slice;
}

bool sched_deadline_check(const struct sched_cpu *queue)
{
    const struct sched_deadline_queue *self = (const struct sched_deadline_queue *)queue->policy;
    size_t count;
    if (!sched_tree_check(&self->threads, &count) || count != queue->ready)
        return false;
    return self->weight == 0 || (self->excess >= 0 && (uint64_t)self->excess < self->weight);
}
