// SPDX-License-Identifier: MIT
// Which rows the suite `driver` has: of each case the ways that it is about, on the devices that
// there are. Included behind SUITE_TABLES, which it uses.
#ifndef DRIVER_ROWS_H
#define DRIVER_ROWS_H

#include "driver_cases.h"

#define KNOWN_MOST 2u // real devices that rows are on

static bool is_sim(size_t which)
{
    return which == CASE_sim_load || which == CASE_sim_depth || which == CASE_sim_phases;
}

static bool is_controller(size_t which)
{
    return which == CASE_decide || which == CASE_record || which == CASE_window;
}

// Of the layer: without a wait that is measured.
static bool is_layer(size_t which)
{
    return which == CASE_submit || which == CASE_complete || which == CASE_mode_switch;
}

static bool is_paced(size_t which)
{
    return which == CASE_cpu_100 || which == CASE_cpu_1000 || which == CASE_cpu_5000;
}

static bool is_disk(size_t which)
{
    return !is_sim(which) && !is_controller(which) && !is_layer(which);
}

static bool is_ordered(size_t which)
{
    return which == CASE_ordered_1 || which == CASE_ordered_4 || which == CASE_ordered_16 ||
           which == CASE_ordered_64;
}

static uint32_t bytes_of(size_t which)
{
    return which == CASE_size_512 || which == CASE_complete ? 512
           : which == CASE_size_16k                         ? 16u << 10
           : which == CASE_size_128k                        ? 128u << 10
                                                            : DRIVER_PIECE;
}

static unsigned depth_of(size_t which)
{
    switch (which) {
    case CASE_ordered_1:
    case CASE_random_1:
        return 1;
    case CASE_ordered_4:
    case CASE_random_4:
    case CASE_size_512:
    case CASE_size_16k:
    case CASE_size_128k:
        return 4;
    case CASE_ordered_16:
    case CASE_random_16:
        return 16;
    case CASE_ordered_64:
    case CASE_random_64:
        return 64;
    default:
        return BURST;
    }
}

static bool is_fixed(const struct driver_on *on, enum block_mode mode)
{
    return on->way->mode == mode && !on->way->adaptive && on->about.role != VARIANT_FLOOR;
}

// What the device is at all; not where instructions are counted: it would take another number each
// time.
static bool find(enum driver_place place, struct platform_block *found)
{
    if (platform_clock_class() == PLATFORM_CLOCK_INSN || !platform_block(0, found) ||
        found->simulated)
        return false;
    if (place == DRIVER_ON_FIRST)
        return true;
    for (unsigned i = 1; i < KNOWN_MOST && platform_block(i, found); i++)
        if (string_equal(found->name, "virtio") && !found->simulated)
            return place == DRIVER_ON_VIRTIO;
    return false;
}

static uint64_t pieces_of(const struct block_device *device)
{
    const uint64_t most = DRIVER_PIECES_MOST * DRIVER_PIECE / device->facts.block_bytes;
    return min_u64(device->facts.blocks, most) * device->facts.block_bytes / DRIVER_PIECE;
}

static bool is_asked_of_disk(size_t which, const struct platform_block *found)
{
    const struct block_facts *const facts = &found->device->facts;
    void *machine;
    if (found->waiter == NULL && (driver_threads == NULL || platform_sched(&machine) == NULL))
        return false;
    return facts->block_bytes <= bytes_of(which) && facts->transfer_bytes >= bytes_of(which) &&
           pieces_of(found->device) >= DRIVER_SLOTS && found->bytes >= DRIVER_ROOM_BYTES;
}

// Which modes a case is about.
static bool is_asked(size_t which, const struct driver_on *on)
{
    const bool floor = on->about.role == VARIANT_FLOOR;
    if (on->always)
        return which == CASE_cpu_100;
    switch (which) {
    case CASE_request:
    case CASE_submit:
    case CASE_complete:
        return true;
    case CASE_share:
        return !floor;
    case CASE_wake:
        return is_fixed(on, BLOCK_INTERRUPT);
    case CASE_cpu_100:
    case CASE_cpu_1000:
    case CASE_cpu_5000:
        return is_fixed(on, BLOCK_INTERRUPT) || is_fixed(on, BLOCK_POLLING) ||
               is_fixed(on, BLOCK_HYBRID);
    case CASE_sequential:
        return !is_fixed(on, BLOCK_HYBRID);
    case CASE_sim_load:
        return !floor && !is_fixed(on, BLOCK_BATCH);
    case CASE_sim_depth:
        return !on->way->adaptive;
    case CASE_phases:
        return on->way->adaptive && on->place == DRIVER_ON_FIRST;
    case CASE_mode_switch:
    case CASE_sim_phases:
        return on->way->adaptive;
    default:
        return floor || is_fixed(on, BLOCK_INTERRUPT) || is_fixed(on, BLOCK_POLLING);
    }
}

static bool applies(size_t which, const void *on_)
{
    const struct driver_on *const on = on_;
    const bool simulated = on->place == DRIVER_ON_SIMULATED;
    struct platform_block found;
    if (is_controller(which))
        return on->place == DRIVER_ON_FIRST && on->way->adaptive;
    if (!is_asked(which, on))
        return false;
    if (is_sim(which))
        return on->place == DRIVER_ON_FIRST && on->about.role != VARIANT_PEER;
    if (simulated)
        return is_layer(which) || !find(DRIVER_ON_FIRST, &found);
    // Whose completion comes when it likes says nothing of what one costs.
    if (which == CASE_complete || !find(on->place, &found) || !is_asked_of_disk(which, &found))
        return false;
    return on->place == DRIVER_ON_FIRST || which == CASE_request || which == CASE_wake ||
           which == CASE_sequential || which == CASE_random_16;
}

#endif
