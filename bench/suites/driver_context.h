// SPDX-License-Identifier: MIT
// What a row of the suite `driver` works on: a device, memory for its requests, what is known to
// stand on the disk, a waiter, and the time that the thread was away.
//
//   piece   4 KiB of the disk. Requests begin at pieces, whatever their size, and the first word of
//           each piece is known, so that a checksum is of what was read
//   slot    a request and its memory
//   burst   `depth` requests handed in, then all waited for
//   away    ticks which no CPU worked for the thread in: it is asleep, and nothing that it asked
//   for
//           is seen to
//   skip    the simulated disk's clock is the CPU's, and jumps where a thread would sleep. What is
//           awake takes as long as it takes, what is asleep takes nothing but is in the sum
#ifndef DRIVER_CONTEXT_H
#define DRIVER_CONTEXT_H

#include "assert.h"
#include "block_pattern.h"
#include "body.h"
#include "driver_on.h"
#include "platform.h"
#include "ram_disk.h"
#include "random.h"
#include "string.h"

#define DRIVER_SLOTS       64u
#define DRIVER_PIECE       4096u
#define DRIVER_PIECES_MOST 2048u        // of a real disk that are read, from its beginning
#define DRIVER_DISK_BYTES  (512u << 10) // of a simulated one
#define DRIVER_ROOM_BYTES  (512u << 10) // memory of all slots
#define DRIVER_HZ          1000000000u  // where nobody knows better
#define DRIVER_QUEUE       0u           // CPU 0's
#define DRIVER_WHOLE       10000u       // what shares are of
#define DRIVER_SLICES      25u          // of a time line (driver_line.h)
// To the end of the highest load.
#define DRIVER_SLICES_TRACED 13u
#define DRIVER_TOLD          50u // requests a second that are recorded there

enum driver_clock {
    DRIVER_CLOCK_CPU,     // of the CPU
    DRIVER_CLOCK_SKIPS,   // the CPU's, which jumps where a thread sleeps
    DRIVER_CLOCK_VIRTUAL, // nanoseconds: the same on every target
};

struct driver_slot {
    struct block_request request;
    struct block_segment segment;
};

struct driver_context;

// Where threads that sleep need a scheduler: what the suite has instead of the CPU for itself.
struct driver_threads {
    // Makes one thread, which will run the context's body, and its waiter. False: there is none.
    bool (*open)(struct driver_context *context, uint64_t seed);
    uint64_t (*window)(uint64_t operations); // one window of it
    // Ticks in which no thread ran, nor the device's interrupt handler, so far.
    uint64_t (*idle_ticks)(const struct driver_context *context);
    bool (*good)(void);  // no window has failed
    void (*close)(void); // its end; also of one that failed, or none
};

// For devices without a waiter of their own; NULL: they have no rows. Defined where the suite is.
extern const struct driver_threads *const driver_threads;

// A load on the simulated disk in virtual time (driver_model.h).
struct driver_load {
    uint64_t due; // when the next request comes
    uint64_t requests;
    uint64_t latency; // sum
};

// What became of a slice of a time line.
struct driver_slice {
    uint64_t asked;         // requests a second
    uint64_t requests;      // that there were
    uint64_t left_out;      // that were due in it, and never handed in
    uint64_t latency;       // ticks from when each was due to when its completion was found; a sum
    uint64_t device;        // of that, since the device got them
    uint64_t elapsed, busy; // ticks; on the CPU
    enum block_mode mode;   // at its end
};

struct driver_context {
    const struct driver_on *on;
    size_t which; // case
    uint64_t seed;
    // The device.
    struct block_device *device;
    const struct block_waiter *waiter;
    uint64_t (*busy_ns)(void);            // of platform_block
    const struct driver_threads *threads; // NULL: the thread of CPU 0 sleeps by itself
    bool inside;                          // of a thread of theirs
    bool simulated;
    bench_body *body;
    const uint64_t *words; // of pieces
    bool patterned;        // a disk with block_pattern.h all over the pieces
    uint64_t generation;   // of that
    uint64_t pieces;
    // What is asked.
    uint32_t bytes, count; // of a request; in blocks
    unsigned depth;
    bool tolerant;
    uint16_t order[DRIVER_PIECES_MOST]; // pieces; each place once, then again
    uint64_t places;                    // of these; a power of two
    uint64_t next;                      // in it; never wraps
    uint64_t ticks;                     // of the last window
    struct block_statistics before;     // this window
    bool failed;                        // a window of this row
    uint64_t elapsed, busy;             // ticks of it; of these, on the CPU
    struct driver_slot *slots;          // DRIVER_SLOTS
    struct driver_slice line[DRIVER_SLICES];
    uint64_t told_one_in; // of so many requests one is recorded; 0: each
    uint64_t untold;      // how many were not
    // The controller's cases.
    struct block_controller controllers[BLOCK_MODES];
    uint64_t now;
    // The simulated disk.
    enum driver_clock clock;
    uint64_t skipped, gaps; // ticks: in all; of these, between requests
    uint64_t virtual_ns;
    struct driver_load load;
    struct ram_disk_sleeper sleeper;
    struct block_waiter sleeping;
    struct driver_slot own_slots[DRIVER_SLOTS];
    uint64_t own_words[DRIVER_DISK_BYTES / DRIVER_PIECE];
    struct ram_disk disk;
    struct block_device own_device;
    uint8_t queue[sizeof(struct block_queue)] CACHE_ALIGNED;
    uint8_t room[DRIVER_ROOM_BYTES] __attribute__((aligned(PAGE_SIZE)));
    uint8_t content[DRIVER_DISK_BYTES] __attribute__((aligned(PAGE_SIZE)));
};

// ---- time ---------------------------------------------------------------------------------------

static inline uint64_t driver_hz(void)
{
    const uint64_t hz = platform_clock_hz();
    return hz >= 1000 && hz <= DEVICE_HZ_MOST ? hz : DRIVER_HZ;
}

ALWAYS_INLINE uint64_t driver_now(const struct driver_context *context)
{
    return device_ticks(&context->device->config.clock);
}

static uint64_t driver_ticks_of(const struct driver_context *context, uint64_t ns)
{
    return device_ticks_of(&context->device->config.clock, ns);
}

// Ticks away so far, from an arbitrary start.
static inline uint64_t driver_away(const struct driver_context *context)
{
    if (context->simulated)
        return context->sleeper.idle_ticks + context->gaps;
    if (context->busy_ns != NULL)
        return driver_now(context) - driver_ticks_of(context, context->busy_ns());
    return context->threads != NULL ? context->threads->idle_ticks(context) : 0;
}

// Of two readings of the same clock, or of two clocks that drift; 1 rather than nothing, so that
// ratios exist.
static inline uint64_t driver_between(uint64_t before, uint64_t after)
{
    return (int64_t)(after - before) > 1 ? after - before : 1;
}

// What has passed since `start`, and how much of it the CPU worked for; `away` as it was then. Two
// clocks that drift may make a little less than nothing of the time away.
static inline void driver_account(struct driver_context *context, uint64_t start, uint64_t away)
{
    const int64_t gone = (int64_t)(driver_away(context) - away);
    context->elapsed = driver_between(start, driver_now(context));
    context->busy = driver_between(gone > 0 ? (uint64_t)gone : 0, context->elapsed);
}

// Asleep until `due`, with no request on its way.
static inline void driver_sleep_until(struct driver_context *context, uint64_t due)
{
    const uint64_t now = driver_now(context);
    if ((int64_t)(due - now) <= 0)
        return;
    if (context->simulated) {
        *(context->clock == DRIVER_CLOCK_VIRTUAL ? &context->virtual_ns : &context->skipped) +=
            due - now;
        context->gaps += due - now;
        return;
    }
    for (uint64_t at = now; (int64_t)(due - at) > 0; at = driver_now(context)) {
        const uint64_t ns = device_ns_of(&context->device->config.clock, due - at) + 1;
        context->waiter->sleep(context->waiter->context, DRIVER_QUEUE, ns);
    }
}

// Looks at the device until `due`, with no request on its way.
static inline void driver_look_until(struct driver_context *context, uint64_t due)
{
    while ((int64_t)(due - driver_now(context)) > 0)
        (void)block_poll(context->device, DRIVER_QUEUE);
}

// ---- requests -----------------------------------------------------------------------------------

static inline uint64_t driver_piece(const struct driver_context *context, uint64_t number)
{
    return context->order[number & (context->places - 1)];
}

ALWAYS_INLINE bool driver_hand_in(const struct driver_ops *way, struct driver_context *context,
                                  struct driver_slot *slot)
{
    const uint64_t first = driver_piece(context, context->next++) * DRIVER_PIECE;
    const uint32_t block = context->device->facts.block_bytes;
    block_request_init(&slot->request, BLOCK_READ, first / block, context->count, &slot->segment,
                       1);
    slot->request.tolerant = context->tolerant;
    if (CONFIG_TRACE && context->told_one_in > 0) {
        slot->request.untold = context->next % context->told_one_in != 0;
        context->untold += slot->request.untold;
    }
    // What a request left there that did not read is no word of the disk.
    *(uint64_t *)slot->segment.memory = ~context->next;
    return way->submit(context->device, DRIVER_QUEUE, &slot->request) == STATUS_OK;
}

// What a request that is done adds to the sum.
ALWAYS_INLINE uint64_t driver_word(const struct driver_context *context,
                                   const struct driver_slot *slot)
{
    return context->words != NULL ? *(const uint64_t *)slot->segment.memory : 1;
}

static inline uint64_t driver_expected_words(const struct driver_context *context,
                                             uint64_t operations)
{
    uint64_t sum = 0;
    for (uint64_t i = 0; i < operations; i++)
        sum +=
            context->words != NULL ? context->words[driver_piece(context, context->next + i)] : 1;
    return sum;
}

// ---- windows ------------------------------------------------------------------------------------

// Whether this window is one for a thread of the scheduler's, which then comes here itself.
ALWAYS_INLINE bool driver_goes_inside(const struct driver_context *context)
{
    return context->threads != NULL && !context->inside;
}

#endif
