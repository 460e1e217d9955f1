// SPDX-License-Identifier: MIT
// Other people's context switches, asked the same as ours (switch_cases.h), beside them.
#include "switch_peers.h"

#define SUITE_VARIANTS SWITCH_PEERS

#include "switch_cases.h"

SUITE_TABLES

#include "switch_prepare.h"

// Which ending theirs has decides which of the pairs with an ending of its own it is in. A switch
// of threads takes so long that it has a case of few switches; it would leave the others with the
// fewest windows there are.
static bool is_theirs(size_t which, const struct switch_ops *ops)
{
    if (ops == &switch_futex_ops)
        return which == CASE_pair_256;
    return which != (ops == &switch_ucontext_ops ? CASE_pair_jmp : CASE_pair_ret);
}

static bool applies_here(size_t which, const void *ops)
{
    bool present = switch_peers_only_listed;
    for (size_t i = 0; i < SWITCH_PEERS_COUNT; i++)
        present = present || (variants[i].ops == ops && switch_peers_libraries[i].present);
    return present && applies(which, ops) && is_theirs(which, ops);
}

static void finish(size_t which, const void *ops, void *context)
{
    struct participant *const first = context;
    (void)which;
    if (ops != &switch_futex_ops)
        return;
    for (struct participant *one = first->next; one != first; one = one->next)
        switch_futex_stop(context_of(one));
}

const struct bench_suite switch_peers_suite = {
    SWITCH_SUITE,
    .applies = applies_here,
    .finish = finish,
};
