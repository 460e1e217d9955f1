// SPDX-License-Identifier: MIT
// Batches: gathered, sorted by block, merged where they are adjacent.
#include "block_queue.h"

void block_gather(struct block_device *device, struct block_queue *queue,
                  struct block_request *request, uint64_t now, struct list *finished)
{
    if (queue->batch_count == 0)
        queue->batch_flush_at = now + device->batch_ticks;
    block_set_state(request, BLOCK_QUEUED);
    list_insert_after(queue->batch.previous, &request->link);
    queue->batch_count++;
    if (queue->batch_count == BLOCK_BATCH_MOST || now >= queue->batch_flush_at)
        block_flush(device, queue, now, finished);
}

static bool precedes(const struct block_request *a, const struct block_request *b)
{
    return a->operation != b->operation ? a->operation < b->operation : a->first < b->first;
}

static bool adjacent(const struct block_request *a, const struct block_request *b)
{
    return a->operation == b->operation && a->first + a->count == b->first;
}

// Empties the batch into `requests`, in order of operation and block; those that are alike stay in
// order of arrival. By insertion: there are few, and often they are in order already.
static unsigned sorted(struct block_queue *queue, struct block_request **requests)
{
    unsigned count = 0, before = 0, after = 0;
    const struct block_request *last = NULL;
    while (!list_empty(&queue->batch)) {
        struct block_request *request = block_request_of(queue->batch.next);
        list_remove(&request->link);
        before += last != NULL && adjacent(last, request);
        last = request;
        unsigned at = count++;
        for (; at > 0 && precedes(request, requests[at - 1]); at--)
            requests[at] = requests[at - 1];
        requests[at] = request;
    }
    for (unsigned i = 1; i < count; i++)
        after += adjacent(requests[i - 1], requests[i]);
    queue->batch_count = 0;
    queue->statistics.seeks_saved += after > before ? after - before : 0;
    return count;
}

// ---- merging ------------------------------------------------------------------------------------

// A carrier while it is loaded.
struct load {
    const struct block_facts *facts;
    struct block_segment *segments;
    uint32_t segment_count;
    uint64_t bytes;
};

static bool continues(const struct block_segment *a, const struct block_segment *b)
{
    return a->address + a->bytes == b->address && (char *)a->memory + a->bytes == b->memory &&
           a->bytes <= UINT32_MAX - b->bytes;
}

// Puts one request's segments behind those that are there; false, and nothing is changed, if the
// device would not take the result.
static bool load(struct load *load, const struct block_request *request)
{
    const struct block_facts *facts = load->facts;
    const uint64_t bytes = (uint64_t)request->count * facts->block_bytes;
    const uint64_t most = min_u64(facts->segments, BLOCK_CARRIER_SEGMENTS);
    if (load->bytes + bytes > facts->transfer_bytes)
        return false;
    struct block_segment *last =
        load->segment_count > 0 ? &load->segments[load->segment_count - 1] : NULL;
    const struct block_segment *first = &request->segments[0];
    const bool joins = last != NULL && continues(last, first);
    if (load->segment_count + request->segment_count - joins > most)
        return false;
    const bool seam = last != NULL && !joins;
    if (seam && !facts->scatter &&
        ((last->address + last->bytes) % PAGE_SIZE != 0 || first->address % PAGE_SIZE != 0))
        return false;
    if (joins)
        last->bytes += first->bytes;
    for (uint32_t i = joins; i < request->segment_count; i++)
        load->segments[load->segment_count++] = request->segments[i];
    load->bytes += bytes;
    return true;
}

// How many of `requests`, from the first on, carrier number `number` takes.
static unsigned loaded(struct block_device *device, struct block_queue *queue, unsigned number,
                       struct block_request **requests, unsigned count)
{
    struct load cargo = {.facts = &device->facts, .segments = queue->segments[number]};
    unsigned taken = 0;
    while (taken < count && !requests[taken]->single &&
           (taken == 0 || adjacent(requests[taken - 1], requests[taken])) &&
           load(&cargo, requests[taken]))
        taken++;
    struct block_request *carrier = &queue->carriers[number];
    block_request_init(carrier, requests[0]->operation, requests[0]->first,
                       (uint32_t)(cargo.bytes / device->facts.block_bytes), queue->segments[number],
                       cargo.segment_count);
    return taken;
}

static void give_merged(struct block_device *device, struct block_queue *queue, unsigned number,
                        struct block_request **requests, unsigned count, uint64_t now,
                        struct list *finished)
{
    struct block_request *carrier = &queue->carriers[number];
    queue->carriers_free &= ~(1u << number);
    queue->statistics.merged += count - 1;
    carrier->owner = device;
    carrier->queue = queue->index;
    carrier->queued_at = now;
    list_init(&carrier->merged);
    for (unsigned i = 0; i < count; i++) {
        block_set_state(requests[i], BLOCK_MERGED);
        requests[i]->submitted_at = now;
        list_insert_after(carrier->merged.previous, &requests[i]->link);
    }
    const enum status status = block_give(device, queue, carrier, now);
    if (status != STATUS_OK)
        block_unload(device, queue, carrier, status, now, finished);
}

unsigned block_flush(struct block_device *device, struct block_queue *queue, uint64_t now,
                     struct list *finished)
{
    struct block_request *requests[BLOCK_BATCH_MOST];
    // During a reset it stays what it is, and goes when that is over.
    if (queue->batch_count == 0 || !block_running(device))
        return 0;
    const unsigned count = sorted(queue, requests);
    queue->statistics.batches++;
    queue->statistics.batched += count;
    for (unsigned at = 0; at < count;) {
        unsigned taken = 0;
        if (queue->carriers_free != 0) {
            const unsigned number = (unsigned)__builtin_ctz(queue->carriers_free);
            taken = loaded(device, queue, number, requests + at, count - at);
            if (taken > 1)
                give_merged(device, queue, number, requests + at, taken, now, finished);
        }
        if (taken < 2) {
            const enum status status = block_give(device, queue, requests[at], now);
            if (status != STATUS_OK)
                block_end(device, queue, requests[at], status, now, finished);
            taken = 1;
        }
        at += taken;
    }
    block_ring(device, queue);
    return count;
}

void block_unload(struct block_device *device, struct block_queue *queue,
                  struct block_request *carrier, enum status status, uint64_t now,
                  struct list *finished)
{
    const bool again = status == STATUS_FAILED || status == STATUS_CORRUPT;
    queue->statistics.split += again;
    while (!list_empty(&carrier->merged)) {
        struct block_request *request = block_request_of(carrier->merged.next);
        list_remove(&request->link);
        request->device_status = carrier->device_status;
        if (again) {
            request->single = true;
            block_trace_request(TRACE_BLOCK_QUEUED, queue, request);
            block_put_back(device, queue, request, now);
        } else {
            block_end(device, queue, request, status, now, finished);
        }
    }
    block_set_state(carrier, BLOCK_IDLE);
    queue->carriers_free |= 1u << (carrier - queue->carriers);
}
