// SPDX-License-Identifier: MIT
// The workload of the suite `system`: a server that keeps values on a disk, and its clients. All
// are threads of one CPU's scheduler (system_world.h).
//
//   client      asks for one value after the other: allocates a request, sends it over a queue,
//               says so in a word that the server looks at (no queue is looked into in vain), waits
//               for the answer, adds up its words, frees both
//   server      takes what the clients ask for; answers at once what it keeps in memory, and hands
//               the disk the rest; what comes from there it keeps, and answers. It waits for the
//               disk when nobody asks
//   kept        values in memory: a table for each client, so that which requests find theirs
//               there depends on that client's requests alone, in whatever order threads run
//   background  a thread that adds up the disk's content, piece by piece, and now and then yields:
//               what runs while the others wait, and what they wait behind
//   quota       of requests in this window, and of the background's pieces: the work of a window is
//               the same whoever is asked
//
// Rules: interrupts come (world_interrupts) after each request of a client's and after each piece
// of the background's, nowhere else; so none comes between a look at a queue and the wait for it.
#ifndef SYSTEM_SERVER_H
#define SYSTEM_SERVER_H

#include "random.h"
#include "system_world.h"

#define SYSTEM_CLIENTS       8u
#define SYSTEM_KEYS          256u // values on the disk, a block each
#define SYSTEM_HOT           16u  // of these, asked for seven times in eight
#define SYSTEM_KEPT          32u  // of each client's
#define SYSTEM_BLOCK         512u // bytes
#define SYSTEM_DISK          (SYSTEM_KEYS * SYSTEM_BLOCK)
#define SYSTEM_SLOTS         16u // of a queue
#define SYSTEM_HEAP          (512u << 10)
#define SYSTEM_REQUEST       64u // bytes of a request
#define SYSTEM_PIECE         1024u
#define SYSTEM_PIECES        (SYSTEM_DISK / SYSTEM_PIECE)
#define SYSTEM_PIECES_AT_ONE 32u // then the background yields
#define SYSTEM_PIECE_EVERY   2u  // requests
#define SYSTEM_WARM          3u  // windows of a round in front of those that are measured

struct system_request {
    uint64_t key;
    uint64_t number;
    uint64_t unused[SYSTEM_REQUEST / 8 - 2];
};

_Static_assert(sizeof(struct system_request) == SYSTEM_REQUEST, "what is allocated");

struct system_value {
    uint64_t *words; // NULL: none
    uint64_t key, bytes;
};

struct system_context;

struct system_client {
    struct system_context *context;
    unsigned number;
    void *to, *from; // queues to the server and back
    struct random random;
    uint64_t asked, quota; // requests
    uint64_t sum, slowest; // of the window
    // The server's.
    struct system_request *request;
    struct system_value kept[SYSTEM_KEPT];
    struct block_request block;
    struct block_segment segment;
    uint64_t room[SYSTEM_BLOCK / 8] CACHE_ALIGNED;
    struct world_thread thread;
};

// What has been done since `prepare`.
struct system_tally {
    uint64_t requests, reads, switches;
    uint64_t ticks, idle; // of all windows; of these, asleep
};

struct system_context {
    const struct system_on *on;
    size_t which; // case
    uint64_t seed;
    void *heap;
    // The window.
    uint64_t ticks;   // of the sample
    uint64_t elapsed; // of the whole
    uint64_t idle;    // of that, asleep
    unsigned running; // threads that have not done their part
    bool failed;
    bool stamps;              // each request is timed
    unsigned windows;         // since `prepare`
    struct system_tally warm; // behind SYSTEM_WARM of them
    // The server's.
    bool listening;  // it waits for requests
    uint64_t asking; // clients that have sent one since it last looked, a bit each
    // Values from the disk since `prepare`: asked for, and answered; those between are on their
    // way, in this order.
    uint64_t read, answered;
    struct system_client *reading[SYSTEM_CLIENTS];
    struct block_waiter waiter;
    // The background's.
    uint64_t piece, pieces_left, sum;
    // What is known without asking.
    uint64_t sums[SYSTEM_KEYS];
    uint64_t piece_sums[SYSTEM_PIECES];
    struct system_client clients[SYSTEM_CLIENTS];
    struct world_thread server, background;
    struct world world;
    uint8_t content[SYSTEM_DISK] __attribute__((aligned(PAGE_SIZE)));
    uint8_t memory[SYSTEM_HEAP] __attribute__((aligned(PAGE_SIZE)));
};

// What the queues carry: the first SYSTEM_MESSAGE bytes of it.
struct system_message {
    void *what;
    uint64_t bytes;
    uint64_t room[5]; // a receive wants it
};

#define SYSTEM_MESSAGE offsetof(struct system_message, room)

_Static_assert(sizeof(struct system_message) == RING_PAYLOAD_MOST, "what a receive may write");

// Room for a message: whatever stands there. The compiler cannot see that a receive which says OK
// has written it.
#define SYSTEM_ANY(message) __asm__ volatile("" : "=m"(message))

// ---- values -------------------------------------------------------------------------------------

// 64 to 512 bytes.
static inline uint64_t system_bytes(uint64_t key)
{
    return 64 + key * 40503 % 57 * 8;
}

static inline uint64_t system_key(struct random *random)
{
    const uint64_t number = random_u64(random);
    return (number & 7) != 0 ? (number >> 32) % SYSTEM_HOT : (number >> 32) % SYSTEM_KEYS;
}

ALWAYS_INLINE uint64_t system_sum(const uint64_t *words, uint64_t bytes)
{
    uint64_t sum = 0;
    for (uint64_t i = 0; i < bytes / 8; i++)
        sum += words[i];
    return sum;
}

// Each step needs the one before, as a checksum's do.
ALWAYS_INLINE uint64_t system_piece_sum(const uint64_t *words)
{
    uint64_t sum = 0;
    for (uint64_t i = 0; i < SYSTEM_PIECE / 8; i++)
        sum = (sum ^ words[i]) * 0x9e3779b97f4a7c15u;
    return sum;
}

// ---- messages -----------------------------------------------------------------------------------
// Each queue numbers its messages from 0, and a trace tells flows apart by that number alone. So
// one of sixteen queues has no messages in it, but all that the threads do around them.

ALWAYS_INLINE void *system_untraced(void)
{
    void *const buffer = cpu_local()->trace_buffer;
    if (CONFIG_TRACE)
        cpu_local()->trace_buffer = NULL;
    return buffer;
}

ALWAYS_INLINE void system_traced(void *buffer)
{
    if (CONFIG_TRACE)
        cpu_local()->trace_buffer = buffer;
}

ALWAYS_INLINE enum status system_send(const struct system_on *on, void *queue,
                                      const struct system_message *message)
{
    void *const buffer = system_untraced();
    const enum status status = on->ring->send(queue, message, SYSTEM_MESSAGE);
    system_traced(buffer);
    return status;
}

ALWAYS_INLINE enum status system_receive(const struct system_on *on, void *queue,
                                         struct system_message *message)
{
    size_t length;
    void *const buffer = system_untraced();
    const enum status status = on->ring->receive(queue, message, &length);
    system_traced(buffer);
    return status;
}

// ---- threads ------------------------------------------------------------------------------------

// What cannot go on: the window is over, for all.
static COLD void system_fail(struct system_context *context)
{
    context->failed = true;
    for (;;)
        sched_block(&context->world.sched);
}

// Until the next window has something for this thread.
ALWAYS_INLINE void system_await(struct system_context *context, const uint64_t *quota)
{
    while (*quota == 0)
        sched_block(&context->world.sched);
}

ALWAYS_INLINE uint64_t system_ask(const struct system_on *on, struct system_client *self)
{
    struct system_context *const context = self->context;
    struct sched *const sched = &context->world.sched;
    struct system_message message = {.bytes = SYSTEM_REQUEST};
    struct system_request *const request = on->heap->allocate(context->heap, SYSTEM_REQUEST);
    if (UNLIKELY(request == NULL))
        system_fail(context);
    request->key = system_key(&self->random);
    request->number = self->asked++;
    message.what = request;
    if (UNLIKELY(system_send(on, self->to, &message) != STATUS_OK))
        system_fail(context);
    context->asking |= 1u << self->number;
    if (context->listening) {
        context->listening = false;
        sched_wake(sched, &context->server.thread);
    }
    SYSTEM_ANY(message);
    while (system_receive(on, self->from, &message) != STATUS_OK)
        sched_block(sched);
    const uint64_t sum = system_sum(message.what, message.bytes);
    on->heap->release(context->heap, message.what, message.bytes);
    on->heap->release(context->heap, request, SYSTEM_REQUEST);
    return sum;
}

ALWAYS_INLINE void system_client(const struct system_on *on, struct system_client *self)
{
    struct system_context *const context = self->context;
    for (;;) {
        system_await(context, &self->quota);
        const uint64_t start = context->stamps ? world_ticks(&context->world) : 0;
        self->sum += system_ask(on, self);
        if (context->stamps)
            self->slowest = max_u64(self->slowest, world_ticks(&context->world) - start);
        if (--self->quota == 0)
            context->running--;
        world_interrupts(&context->world);
    }
}

ALWAYS_INLINE void system_answer(const struct system_on *on, struct system_client *client,
                                 const struct system_value *value)
{
    struct system_context *const context = client->context;
    uint64_t *const words = on->heap->allocate(context->heap, value->bytes);
    const struct system_message message = {.what = words, .bytes = value->bytes};
    if (UNLIKELY(words == NULL))
        system_fail(context);
    for (uint64_t i = 0; i < value->bytes / 8; i++)
        words[i] = value->words[i];
    if (UNLIKELY(system_send(on, client->from, &message) != STATUS_OK))
        system_fail(context);
    sched_wake(&context->world.sched, &client->thread.thread);
}

static inline struct system_value *system_place(struct system_client *client)
{
    return &client->kept[client->request->key % SYSTEM_KEPT];
}

ALWAYS_INLINE void system_read(const struct system_on *on, struct system_client *client)
{
    struct system_context *const context = client->context;
    block_request_init(&client->block, BLOCK_READ, client->request->key, 1, &client->segment, 1);
    if (UNLIKELY(on->driver->submit(&context->world.device, WORLD_QUEUE, &client->block) !=
                 STATUS_OK))
        system_fail(context);
    context->reading[context->read++ % SYSTEM_CLIENTS] = client;
}

// The value that was read is kept in place of what was there.
ALWAYS_INLINE void system_keep(const struct system_on *on, struct system_client *client)
{
    struct system_context *const context = client->context;
    struct system_value *const place = system_place(client);
    if (UNLIKELY(on->driver->wait(&context->world.device, &client->block, &context->waiter) !=
                 STATUS_OK))
        system_fail(context);
    if (place->words != NULL)
        on->heap->release(context->heap, place->words, place->bytes);
    place->key = client->request->key;
    place->bytes = system_bytes(place->key);
    place->words = on->heap->allocate(context->heap, place->bytes);
    if (UNLIKELY(place->words == NULL))
        system_fail(context);
    for (uint64_t i = 0; i < place->bytes / 8; i++)
        place->words[i] = client->room[i];
}

// Answers the oldest that is on its way, after a wait if it must be.
ALWAYS_INLINE void system_finish(const struct system_on *on, struct system_context *context)
{
    struct system_client *const client = context->reading[context->answered++ % SYSTEM_CLIENTS];
    system_keep(on, client);
    system_answer(on, client, system_place(client));
}

ALWAYS_INLINE void system_take(const struct system_on *on, struct system_client *client)
{
    struct system_message message;
    SYSTEM_ANY(message);
    if (UNLIKELY(system_receive(on, client->to, &message) != STATUS_OK))
        system_fail(client->context);
    client->request = message.what;
    const struct system_value *const place = system_place(client);
    if (place->words != NULL && place->key == client->request->key)
        system_answer(on, client, place);
    else
        system_read(on, client);
}

static inline bool system_reads(const struct system_context *context)
{
    return context->read != context->answered;
}

// Answers what has come from the disk, then takes what clients ask for. False: nobody does, and
// nobody has run since that was looked at.
ALWAYS_INLINE bool system_turn(const struct system_on *on, struct system_context *context)
{
    const uint64_t before = context->read;
    while (system_reads(context) &&
           block_done(&context->reading[context->answered % SYSTEM_CLIENTS]->block))
        system_finish(on, context);
    uint64_t asking = context->asking;
    if (asking == 0)
        return false;
    context->asking = 0;
    for (; asking != 0; asking &= asking - 1)
        system_take(on, &context->clients[__builtin_ctzll(asking)]);
    if (context->read > before)
        on->driver->flush(&context->world.device, WORLD_QUEUE);
    return true;
}

// Waits for the disk when there is nothing else to do, for requests when it has nothing either.
// Before it waits for the disk it lets others run once, who may have something for it: a wait that
// looks at the disk does not.
ALWAYS_INLINE void system_server(const struct system_on *on, struct system_context *context)
{
    bool passed = false;
    for (;;) {
        if (system_turn(on, context)) {
            passed = false;
        } else if (!system_reads(context)) {
            context->listening = true;
            sched_block(&context->world.sched);
        } else if (!passed) {
            passed = true;
            sched_pass(&context->world.sched);
        } else {
            passed = false;
            system_finish(on, context);
        }
    }
}

static inline void system_background(void *context_)
{
    struct system_context *const context = context_;
    for (;;) {
        system_await(context, &context->pieces_left);
        const uint8_t *const words = &context->content[context->piece * SYSTEM_PIECE];
        context->sum += system_piece_sum((const uint64_t *)(const void *)words);
        context->piece = (context->piece + 1) % SYSTEM_PIECES;
        if (--context->pieces_left == 0)
            context->running--;
        world_interrupts(&context->world);
        if (context->piece % SYSTEM_PIECES_AT_ONE == 0)
            sched_pass(&context->world.sched);
    }
}

// ---- a window -----------------------------------------------------------------------------------

static inline struct system_tally system_tally(const struct system_context *context)
{
    struct system_tally tally = {.reads = context->read,
                                 .switches = context->world.sched.cpus[0].statistics.switches,
                                 .ticks = context->world.stands,
                                 .idle = context->world.idle};
    for (unsigned i = 0; i < SYSTEM_CLIENTS; i++)
        tally.requests += context->clients[i].asked;
    return tally;
}

// `requests` of all clients together, and the background's part; the sum of what came of it.
static inline uint64_t system_window(struct system_context *context, uint64_t requests)
{
    struct world *const world = &context->world;
    const uint64_t before = world->stands, idle = world->idle;
    if (context->windows++ == SYSTEM_WARM)
        context->warm = system_tally(context);
    context->sum = 0;
    context->running = SYSTEM_CLIENTS + 1;
    world_go(world);
    cpu_preempt_disable(); // all are woken before the first one runs
    context->pieces_left = requests / SYSTEM_PIECE_EVERY;
    sched_wake(&world->sched, &context->background.thread);
    for (unsigned i = 0; i < SYSTEM_CLIENTS; i++) {
        struct system_client *const client = &context->clients[i];
        client->sum = client->slowest = 0;
        client->quota = requests / SYSTEM_CLIENTS;
        sched_wake(&world->sched, &client->thread.thread);
    }
    cpu_preempt_enable();
    while (context->running > 0 && !context->failed && !world->stuck)
        (void)sched_idle_turn(&world->sched);
    world_stop(world);
    context->elapsed = world->stands - before;
    context->idle = world->idle - idle;
    if (context->running > 0)
        return BENCH_FAILED;
    uint64_t sum = context->sum;
    for (unsigned i = 0; i < SYSTEM_CLIENTS; i++)
        sum += context->clients[i].sum;
    return sum;
}

#endif
