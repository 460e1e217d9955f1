// SPDX-License-Identifier: MIT
#include "shootdown.h"

#include "assert.h"

void shootdown_init(struct shootdown *shootdown, const struct shootdown_ops *ops)
{
    shootdown->ops = *ops;
    for (unsigned i = 0; i < CPU_MOST; i++) {
        __atomic_store_n(&shootdown->cpus[i].asked, 0, __ATOMIC_RELAXED);
        __atomic_store_n(&shootdown->cpus[i].pending, 0, __ATOMIC_RELAXED);
    }
}

unsigned shootdown_send(struct shootdown *shootdown, uint64_t cpus, const struct tlb_shot *shot)
{
    const struct shootdown_ops *ops = &shootdown->ops;
    const unsigned here = cpu_local()->index;
    struct shootdown_cpu *own = &shootdown->cpus[here];
    unsigned kicked = 0;
    assert((cpus >> here & 1) == 0);
    assert(own->pending == 0);
    own->shot = *shot;
    __atomic_store_n(&own->pending, cpus, __ATOMIC_RELAXED);
    for (uint64_t left = cpus; left != 0; left &= left - 1) {
        const unsigned target = (unsigned)__builtin_ctzll(left);
        // Release: the target that finds the mark finds shot and `pending`, and the tables as they
        // are after the change. A mailbox that was not empty belongs to a CPU that is being kicked:
        // it takes all marks when it comes to it.
        if (__atomic_fetch_or(&shootdown->cpus[target].asked, (uint64_t)1 << here,
                              __ATOMIC_ACQ_REL) == 0) {
            ops->kick(ops->context, target);
            kicked++;
        }
    }
    uint64_t since = 0, silent;
    // Acquire: pairs with the targets' release. What they read by old translations is over.
    while ((silent = __atomic_load_n(&own->pending, __ATOMIC_ACQUIRE)) != 0) {
        if (!ops->wait(ops->context, &since))
            ops->late(ops->context, (unsigned)__builtin_ctzll(silent));
    }
    return kicked;
}

unsigned shootdown_answer(struct shootdown *shootdown)
{
    const unsigned here = cpu_local()->index;
    struct shootdown_cpu *own = &shootdown->cpus[here];
    unsigned served = 0;
    if (__atomic_load_n(&own->asked, __ATOMIC_RELAXED) == 0)
        return 0;
    // Acquire: pairs with the senders' release; their shots are read after it.
    uint64_t senders = __atomic_exchange_n(&own->asked, 0, __ATOMIC_ACQ_REL);
    for (; senders != 0; senders &= senders - 1) {
        struct shootdown_cpu *sender = &shootdown->cpus[__builtin_ctzll(senders)];
        shootdown->ops.receive(shootdown->ops.context, &sender->shot);
        // Release: the sender that sees the bit gone may use the memory that was translated to.
        // The shot is the sender's again.
        __atomic_fetch_and(&sender->pending, ~((uint64_t)1 << here), __ATOMIC_RELEASE);
        served++;
    }
    return served;
}
