// SPDX-License-Identifier: MIT
// Real disks of this machine, by the seam that benchmarks use: `disk=` names the kind. The disk has
// a pattern on it; each CPU reads by its own queue, asleep or polling.
#include "block.h"
#include "cpu.h"
#include "deeds.h"
#include "interrupts.h"
#include "machine_cpu.h"
#include "platform.h"
#include "smp.h"
#include "string.h"
#include "timer.h"
#include "x86.h"

#define PIECE_BYTES (32u << 10)
#define LATE_MOST   10u
#define LATE_TRIES  6u
#define SLEEP_TRIES 10000u // reads that may be done before a thread sleeps
#define GONE_AFTER  10u    // reads
#define GONE_MOST   16u    // on their way when the disk goes

static struct platform_block found;
static struct block_device *disk;

static bool open_disk(void)
{
    char wanted[16];
    bool is = false;
    string_option(platform_arguments(), "disk", wanted, sizeof(wanted));
    for (unsigned i = 0; !is && platform_block(i, &found); i++)
        is = string_equal(found.name, wanted);
    deeds_say("disk.found", is);
    if (!is)
        return false;
    disk = found.device;
    deeds_say("disk.blocks", disk->facts.blocks);
    deeds_say("disk.block_bytes", disk->facts.block_bytes);
    deeds_say("disk.queues", disk->queue_count);
    deeds_say("disk.interrupts", disk->facts.interrupts);
    deeds_say("disk.read_only", disk->facts.read_only);
    deeds_say("disk.serial", string_equal(disk->facts.serial, "tickmark"));
    return true;
}

// Words that do not stand there, of the disk's from byte `first` on.
static uint64_t wrong_words(uint64_t first, const uint64_t *words, uint64_t bytes)
{
    uint64_t wrong = 0;
    for (uint64_t i = 0; i < bytes / 8; i++)
        wrong += words[i] != (first / 8 + i + 1) * 0x9e3779b97f4a7c15;
    return wrong;
}

// ---- asleep -------------------------------------------------------------------------------------

// A CPU's only thread.
struct sleeper {
    unsigned cpu;
    uint32_t woken; // atomic
};

static void sleep(void *context, unsigned queue, uint64_t most_ns)
{
    struct sleeper *sleeper = context;
    (void)queue;
    interrupts_off();
    if (__atomic_load_n(&sleeper->woken, __ATOMIC_ACQUIRE) == 0) {
        timer_after_ns(most_ns);
        interrupts_wait();
        timer_stop();
    }
    __atomic_store_n(&sleeper->woken, 0, __ATOMIC_RELAXED);
    interrupts_on();
}

static void wake(void *context)
{
    struct sleeper *sleeper = context;
    // Release: what woke it.
    __atomic_store_n(&sleeper->woken, 1, __ATOMIC_RELEASE);
    if (sleeper->cpu != cpu_index())
        smp_interrupt(sleeper->cpu, INTERRUPT_WAKE);
}

// ---- reading all of it --------------------------------------------------------------------------

static CACHE_ALIGNED struct share {
    struct sleeper sleeper;
    uint64_t first, count; // blocks
    uint64_t wrong, failed, interrupts;
} shares[CPU_MOST];

static enum status read_piece(struct share *share, unsigned queue, uint64_t first, uint32_t count,
                              uint8_t *memory, bool polls)
{
    const struct block_waiter waiter = {.context = &share->sleeper, .sleep = sleep, .wake = wake};
    const struct block_segment segment = {.memory = memory,
                                          .address = found.address +
                                                     (uint64_t)(memory - (uint8_t *)found.memory),
                                          .bytes = count * disk->facts.block_bytes};
    struct block_request request;
    block_request_init(&request, BLOCK_READ, first, count, &segment, 1);
    memset(memory, 0xee, segment.bytes);
    const enum status status = block_submit_request(disk, queue, &request);
    if (status != STATUS_OK)
        return status;
    return polls ? block_poll_wait(disk, &request) : block_wait_interrupt(disk, &request, &waiter);
}

static void read_share(void *argument)
{
    struct share *share = argument;
    const unsigned cpu = share->sleeper.cpu;
    const uint64_t before = machine_cpu_here()->counts.device;
    const uint64_t step =
        min_u64(PIECE_BYTES, disk->facts.transfer_bytes) / disk->facts.block_bytes;
    uint8_t *memory = (uint8_t *)found.memory + cpu * PIECE_BYTES;
    for (uint64_t at = share->first; at < share->first + share->count; at += step) {
        const uint64_t count = min_u64(step, share->first + share->count - at);
        // By turns: mostly asleep.
        const bool polls = (at - share->first) / step % 4 == 3;
        const enum status status =
            read_piece(share, cpu % disk->queue_count, at, (uint32_t)count, memory, polls);
        share->failed += status != STATUS_OK;
        share->wrong += wrong_words(at * disk->facts.block_bytes, (const uint64_t *)memory,
                                    count * disk->facts.block_bytes);
    }
    share->interrupts = machine_cpu_here()->counts.device - before;
}

// A disk may have answered whenever a thread was about to sleep: reads on until one has slept.
static uint64_t sleeps(void)
{
    struct block_statistics statistics;
    block_statistics(disk, BLOCK_QUEUES_MOST, &statistics);
    for (unsigned i = 0; i < SLEEP_TRIES && disk->facts.interrupts && statistics.sleeps == 0; i++) {
        shares[0].failed += read_piece(&shares[0], 0, 0, 1, found.memory, false) != STATUS_OK;
        block_statistics(disk, BLOCK_QUEUES_MOST, &statistics);
    }
    return statistics.sleeps;
}

// What nobody may: the layer, and the driver by itself, say no.
static void try_to_write(void)
{
    const struct block_segment segment = {
        .memory = found.memory, .address = found.address, .bytes = disk->facts.block_bytes};
    struct block_request request;
    unsigned refused = 0;
    block_request_init(&request, BLOCK_WRITE, 0, 1, &segment, 1);
    refused += block_submit_request(disk, 0, &request) == STATUS_REFUSED;
    refused += disk->config.ops->submit(disk->config.driver, 0, &request) == STATUS_REFUSED;
    block_request_init(&request, BLOCK_FLUSH, 0, 0, NULL, 0);
    refused += block_submit_request(disk, 0, &request) == STATUS_REFUSED;
    deeds_say("disk.refused", refused);
}

void block_read_deed(void)
{
    const unsigned cpus = platform_cpu_count();
    uint64_t wrong = 0, failed = 0, interrupted = 0;
    interrupt_handle(INTERRUPT_TIMER, interrupt_only_count, NULL);
    interrupt_handle(INTERRUPT_WAKE, interrupt_only_count, NULL);
    if (!open_disk())
        return;
    const uint64_t each = disk->facts.blocks / cpus;
    for (unsigned i = 0; i < cpus; i++) {
        shares[i] = (struct share){.sleeper = {.cpu = i}, .first = i * each, .count = each};
        shares[i].count += i + 1 == cpus ? disk->facts.blocks % cpus : 0;
        if (i > 0 && !platform_cpu_start(i, read_share, &shares[i]))
            platform_panic("a CPU takes no work", __FILE__, __LINE__);
    }
    read_share(&shares[0]);
    deeds_say("disk.slept", sleeps() > 0);
    for (unsigned i = 0; i < cpus; i++) {
        platform_cpu_wait(i, 20000);
        wrong += shares[i].wrong;
        failed += shares[i].failed;
        interrupted += shares[i].interrupts > 0;
    }
    struct block_statistics statistics;
    block_statistics(disk, BLOCK_QUEUES_MOST, &statistics);
    deeds_say("disk.wrong", wrong);
    deeds_say("disk.failed", failed);
    deeds_say("disk.cpus_interrupted", interrupted);
    deeds_say("disk.strays", statistics.strays);
    try_to_write();
}

// ---- errors -------------------------------------------------------------------------------------

// The first `count=` blocks, at first each alone, then all in batches.
void block_errors_deed(void)
{
    static struct block_request requests[BLOCK_BATCH_MOST];
    static struct block_segment segments[BLOCK_BATCH_MOST];
    uint64_t failed[2] = {0, 0}, place[2] = {0, 0}, wrong[2] = {0, 0}, answer = 0;
    if (!open_disk())
        return;
    const uint64_t count = deeds_option("count", 64);
    const uint32_t bytes = disk->facts.block_bytes;
    for (uint64_t at = 0; at < 2 * count; at += BLOCK_BATCH_MOST) {
        const bool batched = at >= count;
        const uint64_t from = at % count;
        for (unsigned i = 0; i < BLOCK_BATCH_MOST; i++) {
            segments[i] = (struct block_segment){.memory = (uint8_t *)found.memory + i * bytes,
                                                 .address = found.address + i * bytes,
                                                 .bytes = bytes};
            block_request_init(&requests[i], BLOCK_READ, from + i, 1, &segments[i], 1);
            const enum status taken = batched ? block_batch_operation(disk, 0, &requests[i])
                                              : block_submit_request(disk, 0, &requests[i]);
            if (taken != STATUS_OK)
                platform_panic("a request is not taken", __FILE__, __LINE__);
        }
        block_flush_batch(disk, 0);
        for (unsigned i = 0; i < BLOCK_BATCH_MOST; i++) {
            const enum status status = block_poll_wait(disk, &requests[i]);
            if (status == STATUS_OK) {
                wrong[batched] += wrong_words((from + i) * bytes, segments[i].memory, bytes);
                continue;
            }
            failed[batched] += status == STATUS_FAILED;
            place[batched] = from + i;
            answer = requests[i].device_status;
        }
    }
    deeds_say("disk.failed", failed[0]);
    deeds_say("disk.failed_place", place[0]);
    deeds_say("disk.failed_answer", answer != 0);
    deeds_say("disk.wrong", wrong[0] + wrong[1]);
    deeds_say("disk.batch_failed", failed[1]);
    deeds_say("disk.batch_failed_place", place[1]);
    struct block_statistics statistics;
    block_statistics(disk, 0, &statistics);
    deeds_say("disk.merged", statistics.merged > 0);
    deeds_say("disk.split", statistics.split > 0);
}

// ---- late ---------------------------------------------------------------------------------------

// More at a time than the disk does within the bounds.
void block_late_deed(void)
{
    static struct block_request requests[LATE_MOST];
    static struct block_segment segments[LATE_MOST];
    uint64_t well = 0, late = 0, aborted = 0, other = 0, worst = 0;
    if (!open_disk())
        return;
    const uint32_t bytes = disk->facts.block_bytes;
    for (unsigned i = 0; i < LATE_MOST; i++) {
        segments[i] = (struct block_segment){.memory = (uint8_t *)found.memory + i * bytes,
                                             .address = found.address + i * bytes,
                                             .bytes = bytes};
        block_request_init(&requests[i], BLOCK_READ, 8 * i, 1, &segments[i], 1);
        if (block_submit_request(disk, 0, &requests[i]) != STATUS_OK)
            platform_panic("a request is not taken", __FILE__, __LINE__);
    }
    for (unsigned i = 0; i < LATE_MOST; i++) {
        const enum status status = block_poll_wait(disk, &requests[i]);
        well += status == STATUS_OK;
        late += status == STATUS_TIMEOUT;
        aborted += status == STATUS_ABORTED;
        other += status != STATUS_OK && status != STATUS_TIMEOUT && status != STATUS_ABORTED;
        worst = max_u64(worst, requests[i].completed_at - requests[i].queued_at);
    }
    const struct device_clock *clock = &disk->config.clock;
    deeds_say("disk.late", late > 0);
    deeds_say("disk.sum", well + late + aborted);
    deeds_say("disk.other", other);
    deeds_say("disk.worst_ms", device_ns_of(clock, worst) / 1000000);
    deeds_say("disk.resets", disk->resets > 0);
    deeds_say("disk.running", block_device_state(disk) == BLOCK_DEVICE_RUNNING);
    // It goes on when it has made up for what a reset made it do at once.
    enum status after = STATUS_ABORTED;
    for (unsigned i = 0; i < LATE_TRIES && after != STATUS_OK; i++)
        after = read_piece(&shares[0], 0, 3, 1, found.memory, true);
    deeds_say("disk.after", after == STATUS_OK && wrong_words(3 * bytes, found.memory, bytes) == 0);
}

// ---- gone ---------------------------------------------------------------------------------------

// The ports by which ACPI's tables of QEMU's `pc` let devices be taken out (QEMU,
// docs/specs/acpi_pci_hotplug.txt): which slots are asked for, and which may go.
#define PORT_ASKED  0xae04u
#define PORT_EJECT  0xae08u
#define PORT_SELECT 0xae10u

// Lets go what QEMU's monitor asks for; false: it has not asked yet.
static bool let_go(void)
{
    x86_out32(PORT_SELECT, 0);
    const uint32_t asked = x86_in32(PORT_ASKED);
    if (asked == 0 || asked == UINT32_MAX)
        return false;
    x86_out32(PORT_EJECT, asked);
    return true;
}

// Reads until the disk is asked for, then lets it go with as many requests on their way as there is
// room for: each ends in time, polled or slept for, with a status that says what became of it.
void block_gone_deed(void)
{
    static struct block_request requests[GONE_MOST];
    static struct block_segment segments[GONE_MOST];
    interrupt_handle(INTERRUPT_TIMER, interrupt_only_count, NULL);
    interrupt_handle(INTERRUPT_WAKE, interrupt_only_count, NULL);
    if (!open_disk())
        return;
    const struct device_clock *clock = &disk->config.clock;
    const struct block_waiter waiter = {
        .context = &shares[0].sleeper, .sleep = sleep, .wake = wake};
    const uint64_t began = device_ticks(clock), most = device_ticks_of(clock, 30000000000u);
    const uint32_t bytes = disk->facts.block_bytes;
    uint64_t read = 0, busy = 0, well = 0, closed = 0, other = 0, worst = 0;
    while (read < GONE_AFTER && read_piece(&shares[0], 0, read, 1, found.memory, true) == STATUS_OK)
        read++;
    for (unsigned i = 0; i < GONE_MOST; i++) {
        segments[i] = (struct block_segment){.memory = (uint8_t *)found.memory + i * bytes,
                                             .address = found.address + i * bytes,
                                             .bytes = bytes};
        block_request_init(&requests[i], BLOCK_READ, 8 * i, 1, &segments[i], 1);
    }
    // All of them on their way, and the request for the disk there.
    bool out = false;
    while (!out && device_ticks(clock) - began < most) {
        for (unsigned i = 0; i < GONE_MOST; i++) {
            if (requests[i].state == BLOCK_IDLE || block_done(&requests[i]))
                (void)block_submit_request(disk, 0, &requests[i]);
        }
        (void)block_poll(disk, 0);
        busy = 0;
        for (unsigned i = 0; i < GONE_MOST; i++)
            busy += !block_done(&requests[i]);
        out = let_go();
    }
    const uint64_t left = device_ticks(clock);
    for (unsigned i = 0; i < GONE_MOST; i++) {
        const enum status status = i % 2 == 0 ? block_poll_wait(disk, &requests[i])
                                              : block_wait_interrupt(disk, &requests[i], &waiter);
        well += status == STATUS_OK && wrong_words(8 * i * bytes, segments[i].memory, bytes) == 0;
        closed += status == STATUS_CLOSED;
        // The controller's last words may be that it aborted it.
        other += status == STATUS_FAILED || status == STATUS_ABORTED || status == STATUS_TIMEOUT;
    }
    worst = device_ticks(clock) - left;
    deeds_say("disk.read_before", read == GONE_AFTER);
    deeds_say("disk.ejected", out);
    deeds_say("disk.busy", busy > GONE_MOST / 2);
    deeds_say("disk.closed", closed);
    deeds_say("disk.ended", well + closed + other);
    deeds_say("disk.worst_ms", device_ns_of(clock, worst) / 1000000);
    // Whoever asks next is told at once, or when the layer has looked.
    enum status status = STATUS_OK;
    while (status != STATUS_CLOSED && device_ticks(clock) - left < most)
        status = read_piece(&shares[0], 0, 1, 1, found.memory, true);
    deeds_say("disk.gone", block_device_state(disk) == BLOCK_DEVICE_GONE);
    deeds_say("disk.still_closed",
              read_piece(&shares[0], 0, 1, 1, found.memory, true) == STATUS_CLOSED);
}
