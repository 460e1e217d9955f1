// SPDX-License-Identifier: MIT
// What the suite `driver` sets up: devices, and what is known of their disks. Included behind
// SUITE_TABLES, which it uses.
#ifndef DRIVER_PREPARE_H
#define DRIVER_PREPARE_H

#include "driver_rows.h"

#define REST_NS UINT64_C(1000000000) // for what a failed window has left on its way

// ---- the simulated disk -------------------------------------------------------------------------

static uint64_t skip_ticks(void *context_)
{
    return cpu_ticks() + ((struct driver_context *)context_)->skipped;
}

static uint64_t virtual_ticks(void *context_)
{
    return ((struct driver_context *)context_)->virtual_ns += MODEL_LOOK_NS;
}

static void skip_idle(void *context_, uint64_t until)
{
    struct driver_context *const context = context_;
    const bool is_virtual = context->clock == DRIVER_CLOCK_VIRTUAL;
    const uint64_t now = is_virtual ? context->virtual_ns : skip_ticks(context);
    const uint64_t ticks = (int64_t)(until - now) > 0 ? until - now : 0;
    *(is_virtual ? &context->virtual_ns : &context->skipped) += ticks;
}

static struct device_clock clock_of(struct driver_context *context)
{
    switch (context->clock) {
    case DRIVER_CLOCK_SKIPS:
        return (struct device_clock){.context = context, .hz = driver_hz(), .ticks = skip_ticks};
    case DRIVER_CLOCK_VIRTUAL:
        return (struct device_clock){
            .context = context, .hz = DEVICE_SECOND_NS, .ticks = virtual_ticks};
    default:
        return (struct device_clock){.hz = driver_hz()};
    }
}

// Anew in front of each window: what is to be done at its time is then done at the same one.
static bool begin_simulated(struct driver_context *context)
{
    const bool waits = context->clock != DRIVER_CLOCK_CPU;
    const struct device_clock clock = clock_of(context);
    const struct ram_disk_config disk = {.memory = context->content,
                                         .bytes = DRIVER_DISK_BYTES,
                                         .block_bytes = 512,
                                         .queues = 1,
                                         .latency_ns = waits ? MODEL_LATENCY_NS : 0,
                                         .command_ns = waits ? MODEL_COMMAND_NS : 0,
                                         .kib_ns = waits ? MODEL_KIB_NS : 0,
                                         .clock = clock};
    const struct block_config config = {
        .ops = &ram_disk_ops, .driver = &context->disk, .clock = clock, .queues = 1};
    context->virtual_ns = 0;
    context->load = (struct driver_load){0};
    context->device = &context->own_device;
    ram_disk_init(&context->disk, &disk);
    if (block_init(context->device, &config, context->queue, sizeof(context->queue)) != STATUS_OK)
        return false;
    context->on->way->begin(context->device, DRIVER_QUEUE);
    return true;
}

static void *prepare_simulated(struct driver_context *context)
{
    context->simulated = true;
    context->clock = is_sim(context->which)     ? DRIVER_CLOCK_VIRTUAL
                     : is_layer(context->which) ? DRIVER_CLOCK_CPU
                                                : DRIVER_CLOCK_SKIPS;
    context->pieces = DRIVER_DISK_BYTES / DRIVER_PIECE;
    context->words = context->own_words;
    context->slots = context->own_slots;
    for (uint64_t i = 0; i < context->pieces; i++) {
        context->own_words[i] = i * i + context->seed % 1024;
        memcpy(&context->content[i * DRIVER_PIECE], &context->own_words[i], sizeof(uint64_t));
    }
    context->sleeper = (struct ram_disk_sleeper){.disk = &context->disk,
                                                 .device = &context->own_device,
                                                 .idle = skip_idle,
                                                 .idle_context = context};
    context->sleeping = ram_disk_waiter(&context->sleeper);
    context->waiter = context->clock == DRIVER_CLOCK_CPU ? NULL : &context->sleeping;
    return begin_simulated(context) ? context : NULL;
}

// ---- a real disk --------------------------------------------------------------------------------

// Static: after a window that failed, a request may still be on its way.
static struct driver_slot real_slots[DRIVER_SLOTS];
static bool real_lost; // and then nothing more is asked of real devices

static struct known {
    const struct block_device *device; // NULL: not read yet
    bool holds; // gives the same words each time, and not one word everywhere
    bool patterned;
    uint64_t generation;
    uint64_t words[DRIVER_PIECES_MOST];
} known[KNOWN_MOST];

// Reads the first word of each piece; `fill` stood in memory before.
static bool read_words(const struct platform_block *found, uint64_t *words, int fill, bool *same)
{
    const uint64_t pieces = pieces_of(found->device), at_once = DRIVER_ROOM_BYTES / DRIVER_PIECE;
    const uint32_t blocks = DRIVER_PIECE / found->device->facts.block_bytes;
    *same = true;
    for (uint64_t at = 0; at < pieces; at += at_once) {
        const uint64_t count = min_u64(at_once, pieces - at);
        const struct block_segment segment = {.memory = found->memory,
                                              .address = found->address,
                                              .bytes = (uint32_t)(count * DRIVER_PIECE)};
        memset(found->memory, fill, segment.bytes);
        if (block_read(found->device, DRIVER_QUEUE, at * blocks, (uint32_t)count * blocks,
                       &segment) != STATUS_OK)
            return false;
        for (uint64_t i = 0; i < count; i++) {
            const uint64_t word = *(const uint64_t *)((char *)found->memory + i * DRIVER_PIECE);
            *same = *same && words[at + i] == word;
            words[at + i] = word;
        }
    }
    return true;
}

// Where one word stands everywhere, a sum of words does not tell one piece from another.
static bool differ(const uint64_t *words, uint64_t count)
{
    for (uint64_t i = 1; i < count; i++)
        if (words[i] != words[0])
            return true;
    return false;
}

// Whether the words of all pieces are those of a pattern: then all that is read can be looked at.
static bool has_pattern(struct known *one, uint64_t pieces)
{
    one->generation = block_pattern_generation(one->words[0]);
    for (uint64_t i = 0; i < pieces; i++)
        if (one->words[i] != block_pattern_word(one->generation, i * DRIVER_PIECE / 8))
            return false;
    return true;
}

static const struct known *know(const struct platform_block *found)
{
    bool same;
    struct known *one = known;
    while (one < known + KNOWN_MOST && one->device != NULL && one->device != found->device)
        one++;
    if (one == known + KNOWN_MOST)
        return NULL;
    if (one->device == found->device)
        return one;
    block_set_mode(found->device, DRIVER_QUEUE, BLOCK_POLLING, false);
    if (!read_words(found, one->words, 0x55, &same) || !read_words(found, one->words, 0xaa, &same))
        return NULL;
    one->holds = same && differ(one->words, pieces_of(found->device));
    one->patterned = one->holds && has_pattern(one, pieces_of(found->device));
    // Another run's disk, or what is none of the target's making though it says so.
    if (found->generation != 0 && (!one->patterned || one->generation != found->generation))
        return NULL;
    one->device = found->device;
    return one;
}

// A window that failed may have left requests: they end, or nothing more is asked. Of what the
// layer was not asked (`goes_around`) it knows nothing.
static bool at_rest(struct block_device *device)
{
    struct block_statistics statistics;
    const uint64_t start = platform_clock_ns();
    do {
        (void)block_poll(device, DRIVER_QUEUE);
        block_statistics(device, DRIVER_QUEUE, &statistics);
        if (statistics.submitted == statistics.completed)
            return true;
    } while (platform_clock_ns() - start < REST_NS && platform_clock_ns() != 0);
    return false;
}

static void *prepare_real(struct driver_context *context)
{
    struct platform_block found;
    if (real_lost || !find(context->on->place, &found))
        return NULL;
    real_lost = !at_rest(found.device);
    const struct known *const disk = real_lost ? NULL : know(&found);
    if (disk == NULL)
        return NULL;
    context->device = found.device;
    block_attach(found.device);
    context->busy_ns = found.busy_ns;
    context->waiter = found.waiter;
    context->words = disk->holds ? disk->words : NULL;
    context->patterned = disk->patterned;
    context->generation = disk->generation;
    context->pieces = pieces_of(found.device);
    context->slots = real_slots;
    block_statistics(found.device, DRIVER_QUEUE, &context->before);
    context->on->way->begin(found.device, DRIVER_QUEUE);
    if (found.waiter != NULL || !is_disk(context->which))
        return context;
    context->threads = driver_threads;
    return context->threads->open(context, context->seed) ? context : NULL;
}

// ---- all ----------------------------------------------------------------------------------------

// One round is every place once, so that no place comes twice in a burst that is no longer than
// that. At random all are shuffled; of `sequential` each burst, which is in sequence once sorted.
static void make_order(struct driver_context *context)
{
    const uint64_t stride = max_u64(context->bytes / DRIVER_PIECE, 1);
    const bool in_bursts = context->which == CASE_sequential || context->which == CASE_submit;
    struct random random = random_seeded(context->seed);
    context->places = 1;
    while (context->places * 2 * stride <= context->pieces)
        context->places *= 2;
    for (uint64_t i = 0; i < context->places; i++) {
        const uint64_t first = in_bursts ? i / BURST * BURST : 0;
        const uint64_t other =
            is_ordered(context->which) ? i : first + random_below(&random, i - first + 1);
        context->order[i] = context->order[other];
        context->order[other] = (uint16_t)(i * stride);
    }
}

static void make_slots(struct driver_context *context, uint8_t *memory, uint64_t address)
{
    for (uint64_t i = 0; i < DRIVER_SLOTS; i++) {
        const uint64_t at = i * max_u64(context->bytes, DRIVER_PIECE) % DRIVER_ROOM_BYTES;
        context->slots[i] = (struct driver_slot){
            .segment = {.memory = memory + at, .address = address + at, .bytes = context->bytes}};
    }
}

// Four controllers, one for each mode that a load of one second leads to.
static void *prepare_controllers(struct driver_context *context)
{
    static const uint64_t rates[BLOCK_MODES] = {[BLOCK_INTERRUPT] = MODEL_RATE_INTERRUPT,
                                                [BLOCK_POLLING] = MODEL_RATE_POLLING,
                                                [BLOCK_HYBRID] = MODEL_RATE_HYBRID,
                                                [BLOCK_BATCH] = MODEL_RATE_HYBRID};
    for (unsigned mode = 0; mode < BLOCK_MODES; mode++) {
        struct block_controller *const controller = &context->controllers[mode];
        block_controller_init(controller, 0, DRIVER_HZ, BLOCK_RATE_LOW, BLOCK_RATE_HIGH);
        for (uint64_t now = 0; now < DRIVER_HZ; now += DRIVER_HZ / rates[mode])
            (void)block_controller_record(controller, now, mode == BLOCK_BATCH);
        (void)block_controller_turn(controller, DRIVER_HZ);
    }
    context->now = DRIVER_HZ;
    return context;
}

static bench_body *body_of(size_t which, const struct driver_on *on)
{
    for (size_t i = 0; i < ARRAY_COUNT(variants); i++)
        if (variants[i].ops == on)
            return bodies[i * CASE_COUNT + which];
    return NULL;
}

static void *prepare(size_t which, const void *on, void *memory, size_t length, uint64_t seed)
{
    struct driver_context *const context = memory;
    if (driver_threads != NULL)
        driver_threads->close(); // what a row that failed has left
    if (sizeof(*context) > length)
        return NULL;
    memset(context, 0, offsetof(struct driver_context, queue));
    context->on = on;
    context->which = which;
    context->seed = seed;
    context->body = body_of(which, on);
    context->bytes = bytes_of(which);
    context->depth = depth_of(which);
    context->tolerant = which == CASE_sequential;
    if (is_controller(which))
        return prepare_controllers(context);
    struct platform_block found;
    const bool real = !is_sim(which) && context->on->place != DRIVER_ON_SIMULATED;
    if ((real ? prepare_real(context) : prepare_simulated(context)) == NULL)
        return NULL;
    context->count = context->bytes / context->device->facts.block_bytes;
    make_order(context);
    if (!real)
        make_slots(context, context->room, (uintptr_t)context->room);
    else if (find(context->on->place, &found))
        make_slots(context, found.memory, found.address);
    return context;
}

// ---- windows ------------------------------------------------------------------------------------

// At rest. What the controller knows of the end of one time line is no beginning of the next.
static void forget_load(const struct driver_context *context)
{
    struct block_device *const device = context->device;
    const struct block_config *const config = &device->config;
    block_controller_init(&device->queues[DRIVER_QUEUE].controller, driver_now(context),
                          config->clock.hz, config->rate_low, config->rate_high);
    context->on->way->begin(device, DRIVER_QUEUE);
}

static void before(size_t which, const void *on, void *context_, uint64_t operations)
{
    struct driver_context *const context = context_;
    (void)on;
    (void)operations;
    if (is_controller(which))
        return;
    if (context->simulated)
        (void)begin_simulated(context); // as `prepare` could
    else if (which == CASE_phases)
        forget_load(context);
    block_statistics(context->device, DRIVER_QUEUE, &context->before);
}

static uint64_t expected_rates(uint64_t operations)
{
    static const uint64_t rates[BLOCK_MODES] = {[BLOCK_INTERRUPT] = MODEL_RATE_INTERRUPT,
                                                [BLOCK_POLLING] = MODEL_RATE_POLLING,
                                                [BLOCK_HYBRID] = MODEL_RATE_HYBRID,
                                                [BLOCK_BATCH] = MODEL_RATE_HYBRID};
    uint64_t sum = 0;
    for (uint64_t i = 0; i < operations; i++)
        sum += rates[i % BLOCK_MODES];
    return sum;
}

static uint64_t expected_modes(uint64_t operations)
{
    uint64_t sum = 0;
    for (uint64_t i = 0; i < operations; i++)
        sum += block_mode_priority((enum block_mode)(i % BLOCK_MODES));
    return sum;
}

static uint64_t expected(size_t which, const void *context, uint64_t operations)
{
    if (which == CASE_mode_switch || which == CASE_record || which == CASE_phases)
        return operations;
    if (is_controller(which))
        return which == CASE_decide ? expected_modes(operations) : expected_rates(operations);
    return driver_expected_words(context, operations);
}

static uint64_t ticks(size_t which, const void *context)
{
    return is_disk(which) || which == CASE_submit || which == CASE_complete
               ? ((const struct driver_context *)context)->ticks
               : BENCH_WHOLE_WINDOW;
}

// Completions.
static bool interrupts(size_t which)
{
    return is_disk(which) || is_layer(which);
}

// Whether what the last requests have read is what stands there, each byte: of each slot, which
// holds one, the last. Of requests one after the other that is one; of a burst, all; of a slot that
// a row used no more, an older one of that row.
static bool is_content(const struct driver_context *context)
{
    const uint64_t block = context->device->facts.block_bytes;
    for (uint64_t i = 0; i < DRIVER_SLOTS && context->patterned; i++) {
        const struct block_request *const one = &context->slots[i].request;
        if (one->state == BLOCK_DONE && one->status == STATUS_OK &&
            !block_pattern_holds(context->generation, one->first * block,
                                 context->slots[i].segment.memory, one->count * block))
            return false;
    }
    return true;
}

static bool check(size_t which, const void *on, const void *context_)
{
    const struct driver_context *const context = context_;
    struct block_statistics statistics;
    (void)on;
    if (is_controller(which))
        return true;
    block_statistics(context->device, DRIVER_QUEUE, &statistics);
    const bool good = block_device_state(context->device) == BLOCK_DEVICE_RUNNING &&
                      (context->threads == NULL || context->threads->good());
    real_lost |= !good && !context->simulated;
    return good && is_content(context) && statistics.strays == 0 &&
           statistics.failed == context->before.failed;
}

static bool goes_around(const struct driver_on *on)
{
    return on->about.role == VARIANT_FLOOR || on->about.role == VARIANT_PEER;
}

static void finish(size_t which, const void *on, void *context_)
{
    struct driver_context *const context = context_;
    if (is_controller(which) || context->simulated)
        return;
    real_lost |= context->failed && goes_around(on);
    if (context->threads != NULL)
        context->threads->close();
    // No interrupts in other rows.
    block_set_mode(context->device, DRIVER_QUEUE, BLOCK_POLLING, false);
}

// ---- counters -----------------------------------------------------------------------------------

// Exact where the clock is.
static void count_share(const struct driver_context *context, const struct bench_counters *out,
                        const char *name, uint64_t part, uint64_t all, const char *exact)
{
    const bool is_exact = context->simulated && platform_clock_class() == PLATFORM_CLOCK_INSN;
    out->emit(out->context, name, part, max_u64(all, 1), is_exact ? exact : "observed");
}

static void count_commands(const struct driver_context *context, const struct bench_counters *out)
{
    struct block_statistics now;
    const struct block_statistics *const before = &context->before;
    block_statistics(context->device, DRIVER_QUEUE, &now);
    const uint64_t requests = now.submitted - before->submitted;
    if (requests == 0)
        return; // of one who asks the device itself
    count_share(context, out, "commands", now.commands - before->commands, requests, "ratio");
    count_share(context, out, "doorbells", now.doorbells - before->doorbells, requests, "ratio");
    count_share(context, out, "merged", now.merged - before->merged, requests, "ratio");
    count_share(context, out, "seeks_saved", now.seeks_saved - before->seeks_saved, requests,
                "ratio");
}

static void count_disk(size_t which, const struct driver_context *context,
                       const struct bench_counters *out)
{
    if (which == CASE_sequential || which == CASE_submit)
        count_commands(context, out);
    // Whether all that is read is looked at; else its first words are, or only its status.
    if (which == CASE_request && !context->simulated)
        out->emit(out->context, "content_checked", context->patterned, 1, "observed");
    if (which == CASE_share || is_paced(which))
        count_share(context, out, "cpu_share", context->busy, context->elapsed, "percent");
}

// What there is of the suite besides who is asked, and what becomes of the simulation.
#define DRIVER_SUITE                                                                               \
    SUITE_MEMBERS, .what = "block devices: ways to wait for them, and what that costs",            \
                   .applies = applies, .prepare = prepare, .before = before, .expected = expected, \
                   .ticks = ticks, .interrupts = interrupts, .check = check, .finish = finish

#endif
