// SPDX-License-Identifier: MIT
// A virtio disk that does what a row of bytes says, whatever that is: every request ends in time,
// and nothing outside of what is the disk's is touched (the sanitisers look).
#ifndef VIRTIO_STORM_H
#define VIRTIO_STORM_H

#include "virtio_subject.h"

#define STORM_READINGS  24u
#define STORM_SCRIBBLES 16u
#define STORM_STEP_NS   100000u // that pass with a look at the clock

struct storm {
    const uint8_t *bytes;
    size_t length;
    struct virtio_subject subject;
    struct virtio_reading readings[STORM_READINGS];
    bool out[STORM_READINGS]; // the device's, as far as one knows
};

static inline uint32_t storm_next(struct storm *storm)
{
    if (storm->length == 0)
        return 0;
    storm->length--;
    return *storm->bytes++;
}

static inline uint32_t storm_wide(struct storm *storm)
{
    const uint32_t low = storm_next(storm);
    return low | storm_next(storm) << 8;
}

static inline void storm_submit(struct storm *storm)
{
    struct virtio_subject *subject = &storm->subject;
    const unsigned number = storm_next(storm) % STORM_READINGS;
    if (storm->out[number])
        return;
    const uint32_t count = 1 + storm_next(storm) % 8;
    const unsigned most = (unsigned)min_u64(count, subject->device->facts.segments);
    virtio_reading_set(subject, &storm->readings[number], storm_wide(storm) % (FAKE_SECTORS - 8),
                       count, 1 + storm_next(storm) % most);
    storm->out[number] =
        block_submit_request(subject->device, number % subject->device->queue_count,
                             &storm->readings[number].request) == STATUS_OK;
}

// Into the queues' memory, or only where the device is to write.
static inline void storm_scribble(struct storm *storm)
{
    struct virtio_fake *fake = &storm->subject.fake;
    const struct fake_queue *queue = &fake->queues[storm_next(storm) % FAKE_QUEUES];
    const bool anywhere = storm_next(storm) % 4 == 0;
    if (fake->isolated > 0 || fake->gone || !queue->enabled)
        return;
    fake->mad = true;
    for (unsigned i = storm_next(storm) % STORM_SCRIBBLES; i > 0; i--) {
        const uint64_t bytes = anywhere ? fake->pages_used * PAGE_SIZE : 6 + 8u * queue->size;
        uint8_t *memory = fake_at(fake, anywhere ? FAKE_BASE : queue->used, bytes);
        const uint64_t at = storm_wide(storm) * 16 + storm_next(storm);
        memory[at % bytes] = (uint8_t)storm_next(storm);
    }
    // An index just ahead is the likeliest to be believed.
    fake_used(fake, queue)[1] = (uint16_t)(queue->index + storm_next(storm) % 4);
}

static inline void storm_see(struct storm *storm)
{
    for (unsigned i = 0; i < STORM_READINGS; i++) {
        const struct block_request *request = &storm->readings[i].request;
        if (storm->out[i] && block_done(request)) {
            storm->out[i] = false;
            fake_insist(request->completed_at - request->queued_at <=
                        block_bound_ns(storm->subject.device));
        }
    }
}

static inline void storm_step(struct storm *storm)
{
    struct virtio_fake *fake = &storm->subject.fake;
    switch (storm_next(storm) % 8) {
    case 0:
        fake->misdeed = storm_next(storm) % FAKE_MISDEEDS;
        fake->odd = (uint8_t)storm_next(storm);
        break;
    case 1:
    case 2:
        storm_submit(storm);
        break;
    case 3:
        fake_work(fake);
        break;
    case 4:
        block_poll(storm->subject.device, storm_next(storm) % storm->subject.device->queue_count);
        break;
    case 5:
        storm_scribble(storm);
        break;
    case 6:
        fake->status = (uint8_t)storm_next(storm);
        break;
    default:
        if (fake->lines[0].handler != NULL && fake->lines[0].open)
            fake->lines[0].handler(fake->lines[0].argument);
        break;
    }
    storm_see(storm);
}

static inline void virtio_storm(const uint8_t *bytes, size_t length)
{
    static struct storm storm;
    storm = (struct storm){.bytes = bytes, .length = length};
    struct virtio_subject *subject = &storm.subject;
    virtio_prepare(subject);
    const uint32_t shape = storm_next(&storm);
    subject->fake.offered &= ~((shape & 1) != 0 ? VIRTIO_FEATURE_INDIRECT : 0);
    subject->fake.offered &= ~((shape & 2) != 0 ? VIRTIO_FEATURE_EVENT : 0);
    subject->fake.queue_most = (uint16_t)(1u << (2 + (shape >> 2) % 8));
    if (virtio_begin_with(subject, 1 + (shape >> 5) % FAKE_QUEUES, (shape >> 6) % 3) == STATUS_OK) {
        for (unsigned i = 0; i < STORM_READINGS; i++)
            virtio_reading_make(subject, &storm.readings[i], PAGE_SIZE);
        subject->fake.slow = true;
        subject->fake.step = STORM_STEP_NS;
        while (storm.length > 0)
            storm_step(&storm);
        for (unsigned i = 0; i < STORM_READINGS; i++) {
            if (storm.out[i])
                block_poll_wait(subject->device, &storm.readings[i].request);
        }
        storm_see(&storm);
    }
    fake_insist(subject->fake.written == 0);
    virtio_end(subject);
}

#endif
