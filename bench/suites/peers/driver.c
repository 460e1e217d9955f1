// SPDX-License-Identifier: MIT
// The target's disk read without our block layer, asked the same as ours (driver_cases.h), beside
// it.
#include "driver_on.h"
#include "driver_peers.h"

#define SUITE_VARIANTS DRIVER_PEERS
#define DRIVER_WAYS    DRIVER_PEERS

#define DRIVER_ON_PEER(name)                                                                       \
    static const struct driver_on driver_on_##name##_ops = {                                       \
        .about = {#name, "without our block layer", VARIANT_PEER}, .way = &driver_##name##_ops};

DRIVER_PEERS(DRIVER_ON_PEER)

#include "driver_cases.h"

SUITE_TABLES

// The disk of a process brings its waiter.
const struct driver_threads *const driver_threads = NULL;

#include "driver_prepare.h"

// pread has one request at a time, whatever is asked; and none of them tells when it was done.
static bool applies_here(size_t which, const void *on_)
{
    const struct driver_on *const on = on_;
    const bool single = which == CASE_request || which == CASE_share || is_paced(which) ||
                        which == CASE_ordered_1 || which == CASE_random_1;
    struct platform_block found;
    return which != CASE_wake && (on->way != &driver_pread_ops || single) && applies(which, on) &&
           find(DRIVER_ON_FIRST, &found) && driver_peers_fit(found.device);
}

static void counters(size_t which, const void *on, const void *context,
                     const struct bench_counters *out)
{
    (void)on;
    count_disk(which, context, out);
}

static void finish_here(size_t which, const void *on, void *context)
{
    finish(which, on, context);
    driver_peers_end();
}

const struct bench_suite driver_peers_suite = {
    SUITE_MEMBERS,           .what = "block devices: ways to wait for them, and what that costs",
    .applies = applies_here, .prepare = prepare,
    .before = before,        .expected = expected,
    .ticks = ticks,          .interrupts = interrupts,
    .counters = counters,    .check = check,
    .finish = finish_here,
};
