// SPDX-License-Identifier: MIT
// The platform seam as a table, so that the contract's checks can be pointed at a platform that
// breaks it (plants.c) as well as at the target's own. One CPU uses it.
#ifndef SEAM_H
#define SEAM_H

#include "cpu.h"
#include "platform.h"

struct sched_cpu_ops;

typedef void emit_fact(void *context, const char *key, const char *value);

struct seam {
    uint64_t (*clock_ns)(void);
    enum platform_clock (*clock_class)(void);
    uint64_t (*clock_hz)(void);
    size_t (*line_write)(const void *bytes, size_t length);
    size_t (*line_read)(void *bytes, size_t capacity);
    void *(*arena)(size_t *length);
    const struct memory_map *(*memory)(void);
    const char *(*arguments)(void);
    size_t (*build_id)(uint8_t *bytes, size_t capacity);
    void (*describe)(emit_fact *emit, void *context);
    void (*events)(struct platform_events *events);
    unsigned (*cpu_count)(void);
    bool (*cpu_start)(unsigned cpu, void (*function)(void *argument), void *argument);
    void (*cpu_wait)(unsigned cpu, uint64_t most_ms);
    const struct sched_cpu_ops *(*sched)(void **machine);
    void (*die)(const char *kind);
    // Of the instruction seam, what a target has to set up.
    struct cpu_local *(*local)(void);
    void (*preempt_disable)(void);
};

// What the checks look at; the target's own functions unless something is planted.
extern struct seam seam;

// What a check says that does not apply to this target.
extern const char seam_skipped[];

// Checks of platform_sched (contract_sched.c).
const char *scheduler_is_whole_and_stays(void);
const char *scheduler_runs_threads_on_every_cpu(void);

// Replaces one function by one that breaks its contract. False if there is no such plant.
bool seam_plant(const char *name);

#endif
