// SPDX-License-Identifier: MIT
#include "ring_wait.h"

#include "assert.h"

_Static_assert(offsetof(struct ring_sleeper, link) == 0, "a link is its sleeper");

void ring_wait_init(struct ring_wait *wait, const struct ring_ops *ops, void *ring, size_t slots,
                    const struct ring_waiter *waiter)
{
    assert(ops != NULL && waiter != NULL && slots > 0);
    *wait = (struct ring_wait){.ops = ops, .ring = ring, .waiter = waiter, .slots = slots};
    for (unsigned side = 0; side < RING_SIDES; side++) {
        wait->sides[side].watch = waiter->barrier == NULL ? RING_WATCH_PAYS : 0;
        list_init(&wait->sides[side].list);
    }
}

static void lock(struct ring_sleepers *sleepers)
{
    cpu_preempt_disable();
    spinlock_acquire(&sleepers->lock);
}

static void unlock(struct ring_sleepers *sleepers)
{
    spinlock_release(&sleepers->lock);
    cpu_preempt_enable();
}

// ---- waking -------------------------------------------------------------------------------------

// Takes the first one off the list, behind the lock. Returns it, or NULL: there was none.
static void *take_first(struct ring_sleepers *sleepers)
{
    struct ring_sleeper *const first = (struct ring_sleeper *)sleepers->list.next;
    if (list_empty(&sleepers->list))
        return NULL;
    void *const who = first->who;
    list_remove(&first->link);
    // Relaxed: who reads it has the order from the lock. A change, not a store, so that a look that
    // reads it still reads behind the sleepers' own changes.
    __atomic_fetch_sub(&sleepers->watch, RING_WATCH_ONE, __ATOMIC_RELAXED);
    sleepers->statistics.wakes++;
    // Release: the sleeper that sees it sees what was sent.
    __atomic_store_n(&first->woken, true, __ATOMIC_RELEASE);
    return who;
}

// The same, and wakes it there: a sleeper leaves by that lock too, so it is not gone before.
static void *wake_first(struct ring_wait *wait, struct ring_sleepers *sleepers)
{
    void *const who = take_first(sleepers);
    if (who != NULL)
        wait->waiter->wake(wait->waiter->place, who);
    return who;
}

static void wake_late(const struct ring_waiter *waiter, void *who)
{
    if (who != NULL && waiter->wake_late != NULL)
        waiter->wake_late(waiter->place, who);
}

// Whether somebody sleeps, behind what may have ended the wait.
static bool somebody_sleeps(struct ring_sleepers *sleepers)
{
    // Of this change and a sleeper's in say_so() one comes first, whatever lies between. If the
    // sleeper's, this reads it, or what came of it. If this one, then the sleeper's reads this one
    // or what came of it: release, so that its second look, behind that acquire, finds what the
    // caller has published before.
    return __atomic_fetch_add(&sleepers->watch, 0, __ATOMIC_ACQ_REL) >= RING_WATCH_ONE;
}

NOINLINE void ring_wait_wake(struct ring_wait *wait, enum ring_side side)
{
    struct ring_sleepers *const sleepers = &wait->sides[side];
    if (!somebody_sleeps(sleepers))
        return;
    lock(sleepers);
    void *const who = wake_first(wait, sleepers);
    unlock(sleepers);
    wake_late(wait->waiter, who);
}

// Everybody on one side, now and later: `status` is what waits end with from now on.
static void end_side(struct ring_wait *wait, enum ring_side side, enum status status)
{
    struct ring_sleepers *const sleepers = &wait->sides[side];
    uint64_t none = 0;
    void *who;
    lock(sleepers);
    // The first end stays. Release: what was done before is seen by whose wait it ends. A sleeper
    // that is not in the list yet gets there behind this lock, and looks then.
    __atomic_compare_exchange_n(&sleepers->end, &none, (uint64_t)-status, false, __ATOMIC_RELEASE,
                                __ATOMIC_RELAXED);
    unlock(sleepers);
    do {
        lock(sleepers);
        who = wake_first(wait, sleepers);
        unlock(sleepers);
        wake_late(wait->waiter, who);
    } while (who != NULL);
}

void ring_wait_close(struct ring_wait *wait)
{
    if (wait->ops->close != NULL)
        wait->ops->close(wait->ring);
    for (unsigned side = 0; side < RING_SIDES; side++)
        end_side(wait, side, STATUS_CLOSED);
}

void ring_wait_died(struct ring_wait *wait, enum ring_side dead)
{
    assert(dead < RING_SIDES);
    end_side(wait, dead == RING_SENDERS ? RING_RECEIVERS : RING_SENDERS, STATUS_DEAD);
}

void ring_wait_statistics(struct ring_wait *wait, enum ring_side side,
                          struct ring_wait_statistics *statistics)
{
    assert(side < RING_SIDES);
    lock(&wait->sides[side]);
    *statistics = wait->sides[side].statistics;
    unlock(&wait->sides[side]);
}

// ---- sleeping -----------------------------------------------------------------------------------

// STATUS_FULL or STATUS_EMPTY: not now.
static enum status attempt(struct ring_wait *wait, struct ring_wanted *wanted)
{
    enum status status;
    ring_wait_enter(wait->ops);
    if (wanted->side == RING_SENDERS)
        status = wait->ops->send(wait->ring, wanted->from, wanted->length);
    else
        status = wait->ops->receive(wait->ring, wanted->to, &wanted->length);
    ring_wait_leave(wait->ops);
    return status;
}

static bool not_now(enum status status)
{
    return status == STATUS_FULL || status == STATUS_EMPTY;
}

static enum status attempt_or_end(struct ring_wait *wait, struct ring_wanted *wanted)
{
    const enum status status = attempt(wait, wanted);
    if (!not_now(status))
        return status;
    // Acquire: what was sent before the end is found by one more look.
    const uint64_t end = __atomic_load_n(&wait->sides[wanted->side].end, __ATOMIC_ACQUIRE);
    if (end == 0)
        return status;
    const enum status last = attempt(wait, wanted);
    return not_now(last) ? (enum status) - (int64_t)end : last;
}

// Says that the caller sleeps. True: whoever publishes and does not see it has published for all to
// see before this returned.
static bool say_so(struct ring_wait *wait, struct ring_sleepers *sleepers,
                   struct ring_sleeper *self)
{
    const struct ring_waiter *const waiter = wait->waiter;
    self->blocks = 0;
    self->woken = false;
    lock(sleepers);
    list_insert_after(sleepers->list.previous, &self->link);
    sleepers->statistics.sleeps++;
    // Acquire and release: see ring_wait_wake.
    __atomic_fetch_add(&sleepers->watch, RING_WATCH_ONE, __ATOMIC_ACQ_REL);
    unlock(sleepers);
    return waiter->barrier == NULL || waiter->barrier(waiter->place);
}

static bool is_woken(const struct ring_sleeper *self)
{
    // Acquire, with the release in wake_first.
    return __atomic_load_n(&self->woken, __ATOMIC_ACQUIRE);
}

// Waits once. Who is to be woken is, before or by it.
static void block(const struct ring_waiter *waiter, struct ring_wanted *wanted, uint64_t until_ns)
{
    void *const heir = wanted->heir;
    wanted->heir = NULL;
    if (heir != NULL && until_ns == RING_FOREVER) {
        waiter->hand_over(waiter->place, heir);
        return;
    }
    if (heir != NULL)
        waiter->wake(waiter->place, heir);
    waiter->block(waiter->place, until_ns);
}

// Until it is woken; false: until its time was up.
static bool sleep(const struct ring_wait *wait, struct ring_wanted *wanted, uint64_t until_ns)
{
    const struct ring_waiter *const waiter = wait->waiter;
    struct ring_sleeper *const self = &wanted->sleeper;
    bool woken;
    while (!(woken = is_woken(self)) &&
           (until_ns == RING_FOREVER || (int64_t)(until_ns - waiter->now_ns(waiter->place)) > 0)) {
        block(waiter, wanted, until_ns);
        self->blocks++;
    }
    return woken;
}

// From here on nobody knows of `self`.
static void withdraw(struct ring_sleepers *sleepers, struct ring_sleeper *self)
{
    lock(sleepers);
    sleepers->statistics.blocks += self->blocks;
    if (!is_woken(self)) {
        list_remove(&self->link);
        __atomic_fetch_sub(&sleepers->watch, RING_WATCH_ONE, __ATOMIC_RELAXED);
    }
    unlock(sleepers);
}

// One wake-up may stand for several messages, and this thread may have had one that was meant for
// another one: as long as something is left, who takes one wakes the next.
static void pass_on(struct ring_wait *wait, enum ring_side side)
{
    if (__atomic_load_n(&wait->sides[side].watch, __ATOMIC_RELAXED) < RING_WATCH_ONE)
        return;
    const size_t room = wait->ops->free_slots(wait->ring);
    if (side == RING_RECEIVERS ? room < wait->slots : room > 0)
        ring_wait_wake(wait, side);
}

static enum status sleep_for(struct ring_wait *wait, struct ring_wanted *wanted)
{
    const struct ring_waiter *const waiter = wait->waiter;
    struct ring_sleepers *const sleepers = &wait->sides[wanted->side];
    struct ring_sleeper *const self = &wanted->sleeper;
    self->who = waiter->current(waiter->place);
    for (;;) {
        uint64_t until_ns = wanted->until_ns;
        bool last = false;
        const bool sure = say_so(wait, sleepers, self);
        if (!sure) // looks again before long
            until_ns = min_u64(until_ns, waiter->now_ns(waiter->place) + RING_WAIT_AGAIN_NS);
        enum status status = attempt_or_end(wait, wanted); // the second look
        if (not_now(status))
            last = !sleep(wait, wanted, until_ns) && until_ns == wanted->until_ns;
        withdraw(sleepers, self);
        if (not_now(status))
            status = attempt_or_end(wait, wanted);
        if (!not_now(status) || last)
            return not_now(status) ? STATUS_TIMEOUT : status;
    }
}

NOINLINE enum status ring_wait_slowly(struct ring_wait *wait, struct ring_wanted *wanted)
{
    const enum ring_side side = wanted->side,
                         other = side == RING_SENDERS ? RING_RECEIVERS : RING_SENDERS;
    enum status status = attempt_or_end(wait, wanted);
    const uint32_t looks = wanted->until_ns == 0 ? 0 : wait->waiter->looks;
    for (uint32_t look = 0; not_now(status) && look < looks; look++) {
        cpu_pause();
        status = attempt_or_end(wait, wanted);
    }
    if (not_now(status))
        status = wanted->until_ns == 0 ? STATUS_TIMEOUT : sleep_for(wait, wanted);
    if (status == STATUS_OK || status == STATUS_CORRUPT) {
        ring_wait_look(wait, other);
        pass_on(wait, side);
    }
    return status;
}

// ---- handing a CPU over -------------------------------------------------------------------------

enum status ring_wait_send_quietly(struct ring_wait *wait, const void *payload, size_t length,
                                   void **heir)
{
    struct ring_wanted wanted = {
        .side = RING_SENDERS, .from = payload, .length = length, .until_ns = RING_FOREVER};
    struct ring_sleepers *const receivers = &wait->sides[RING_RECEIVERS];
    assert(wait->waiter->hand_over != NULL);
    *heir = NULL;
    const enum status status = attempt(wait, &wanted);
    if (not_now(status))
        return ring_wait_slowly(wait, &wanted);
    // As in ring_wait_look.
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    if (status != STATUS_OK || __atomic_load_n(&receivers->watch, __ATOMIC_RELAXED) == 0 ||
        !somebody_sleeps(receivers))
        return status;
    lock(receivers);
    *heir = take_first(receivers);
    unlock(receivers);
    return status;
}

enum status ring_wait_receive_for(struct ring_wait *wait, void *payload, size_t *length, void *heir)
{
    struct ring_wanted wanted = {
        .side = RING_RECEIVERS, .to = payload, .until_ns = RING_FOREVER, .heir = heir};
    assert(wait->waiter->hand_over != NULL);
    const enum status status = ring_wait_slowly(wait, &wanted);
    if (wanted.heir != NULL) // the caller did not sleep
        wait->waiter->wake(wait->waiter->place, wanted.heir);
    *length = wanted.length;
    return status;
}
