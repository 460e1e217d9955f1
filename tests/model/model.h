// SPDX-License-Identifier: MIT
// A model checker for the memory model of C11: runs a small program with threads in every way that
// the model allows, over the real source of what is looked at. That source, and the program, are
// compiled with -fsanitize=thread and linked with the hooks of model_hooks.c in place of libtsan,
// so that every access to memory, atomic or plain, comes by here.
//
//   program    threads that use something in model_memory, and what must be true of it
//   event      one atomic access or fence. Threads change places in front of events only
//   state      which events there were, which store each load took, in which order stores stand
//   site       a place in the source with an atomic access: what a weakening weakens
//
// What it explores: all interleavings of events; for each load every store that coherence and
// happens-before leave; for each store every place in its location's modification order. A plain
// access that conflicts with another one and is not ordered with it is a failure, whatever values
// they had. docs/ipc_model.md has the rules, and what is not modelled.
//
// Rules for callers
//   threads    the checker itself is one thread; a process runs one program at a time
//   memory     what threads share lies in model_memory; each thread's stack is its own
//   repeats    a program's functions run many times: they keep no state outside model_memory, and
//              do the same thing when they are given the same values
#ifndef MODEL_H
#define MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MODEL_THREADS_MOST  4u
#define MODEL_MEMORY_BYTES  (64u << 10)
#define MODEL_OUTCOMES_MOST 64u
#define MODEL_SITES_MOST    128u
#define MODEL_TEXT_BYTES    256u

// Zero, and page-aligned, when `prepare` begins.
extern unsigned char model_memory[MODEL_MEMORY_BYTES];

struct model_program {
    const char *name;
    unsigned threads;
    void (*prepare)(void); // once, before all; happens before everything the threads do
    void (*thread[MODEL_THREADS_MOST])(void);
    void (*finish)(void); // after the threads of each execution; NULL: nothing is looked at
};

enum model_kind { MODEL_LOAD, MODEL_STORE, MODEL_CHANGE, MODEL_COMPARE, MODEL_FENCE };

// One call of a hook: what the compiler made of an atomic access. Several may be one in the source.
struct model_site {
    const void *address; // behind the call
    enum model_kind kind;
    int order, order_failed; // __ATOMIC_*; the latter of MODEL_COMPARE
};

// Weakens the orders of some sites for a run.
struct model_weakening {
    const void *sites[MODEL_SITES_MOST];
    size_t count;
    int order; // in place of their order, and of order_failed
};

struct model_limits {
    uint64_t states;
    // How often one thread passes one site in one operation; an execution ends there, uncounted.
    // For what has no bound of its own, as a lock that may be taken from under one's nose again and
    // again. 0: any number.
    unsigned turns;
};

struct model_result {
    char failure[MODEL_TEXT_BYTES]; // empty: none
    bool gave_up;                   // the failure is the checker's: a limit of its own
    bool complete;                  // everything was explored: no failure, and no limit was met
    uint64_t executions;            // that came to an end
    uint64_t cut;                   // that were not, by the limit of turns
    uint64_t states;                // different ones
    uint64_t events;                // the longest execution's
    uint64_t outcomes[MODEL_OUTCOMES_MOST]; // different ones, ascending
    size_t outcome_count;
    struct model_site sites[MODEL_SITES_MOST]; // as the source says, not as weakened
    size_t site_count;
};

// Explores `program` until the first failure, or all of it, or as far as `limits` let it.
// `weakening` may be NULL.
void model_run(const struct model_program *program, const struct model_weakening *weakening,
               const struct model_limits *limits, struct model_result *result);

// Prints the events of the execution that failed last, with functions and lines.
void model_print_failure(const struct model_result *result);

// Where in the source a site is: the same for all that the compiler made of one access. `function`
// is the innermost one, inlined or not; "?" and 0 where there is no debugging information.
struct model_place {
    char function[96];
    char file[64];
    int line, column;
};

void model_place_of(const void *address, struct model_place *place);
const char *model_kind_name(enum model_kind kind);
const char *model_order_name(int order);

// ---- For programs

// Fails the execution if the condition is false. In a thread it does not return then.
void model_require(bool condition, const char *what);

// What `finish` saw: the set of all of these is a result.
void model_outcome(uint64_t outcome);

// An operation begins. A thread that comes back to the same load in the same operation without
// having read anything new since is spinning: it goes on when one of the locations it reads there
// has a newer store, and reads that.
void model_begin(void);

// The operation could not be done, and begins again when another thread has written to a location
// that it read: it reads that store then, or a newer one. At once if it saw a location change while
// it tried. If no other thread will write the execution fails: deadlock.
void model_again(void);

#define MODEL_UNTIL(condition)                                                                     \
    do {                                                                                           \
        model_begin();                                                                             \
        while (!(condition))                                                                       \
            model_again();                                                                         \
        model_begin();                                                                             \
    } while (0)

#endif
