// SPDX-License-Identifier: MIT
#include "ring_zero_copy.h"

// Its bytes fill all pages but the last, which has at least one: lengths of 4096, and the rest.
static bool is_sound(const struct ring_pages *pages)
{
    return pages->count >= 1 && pages->count <= RING_PAGES_MOST &&
           pages->length > (pages->count - 1u) * PAGE_SIZE &&
           pages->length <= pages->count * PAGE_SIZE;
}

static struct ring_descriptor descriptor_of(const struct ring_pages *pages, unsigned which)
{
    const bool last = which + 1 == pages->count;
    return (struct ring_descriptor){
        .pool = pages->pool,
        .index = pages->page[which].index,
        .generation = pages->page[which].generation,
        .length = (uint16_t)(last ? pages->length - which * PAGE_SIZE : PAGE_SIZE),
    };
}

// Passes the pages one by one; those that were passed are passed back if one cannot be.
static enum status pass_all(struct ring_pool *pool, unsigned from, unsigned to,
                            const struct ring_pages *pages)
{
    enum status status = STATUS_OK;
    unsigned passed = 0;
    for (; passed < pages->count && status == STATUS_OK; passed++) {
        const struct ring_descriptor descriptor = descriptor_of(pages, passed);
        status = ring_pool_pass(pool, from, to, &descriptor);
    }
    if (status == STATUS_OK)
        return STATUS_OK;
    while (--passed > 0) { // the last one was not
        const struct ring_descriptor descriptor = descriptor_of(pages, passed - 1);
        ring_pool_pass(pool, to, from, &descriptor);
    }
    return status;
}

enum status ring_send_pages(const struct ring_ops *ops, void *ring, struct ring_pool *pool,
                            struct ring_parties parties, const struct ring_pages *pages)
{
    union {
        struct ring_pages pages;
        uint64_t payload[RING_PAYLOAD_MOST / 8];
    } message = {*pages};
    if (!is_sound(&message.pages))
        return STATUS_INVALID;
    enum status status = pass_all(pool, parties.sender, parties.receiver, &message.pages);
    if (status != STATUS_OK)
        return status;
    status = ops->send_kind(ring, message.payload, sizeof(message.pages), RING_PAGES);
    if (status != STATUS_OK)
        pass_all(pool, parties.receiver, parties.sender, &message.pages);
    return status;
}

enum status ring_free_pages(struct ring_pool *pool, unsigned receiver,
                            const struct ring_pages *pages)
{
    enum status first = STATUS_OK;
    if (!is_sound(pages))
        return STATUS_INVALID;
    for (unsigned i = 0; i < pages->count; i++) {
        const struct ring_descriptor descriptor = descriptor_of(pages, i);
        const enum status status = ring_pool_free(pool, receiver, &descriptor);
        first = first == STATUS_OK ? status : first;
    }
    return first;
}

enum status ring_receive_pages(const struct ring_ops *ops, void *ring, struct ring_pool *pool,
                               unsigned receiver, struct ring_pages *pages, void **bytes)
{
    union {
        uint64_t payload[RING_PAYLOAD_MOST / 8];
        struct ring_pages pages;
    } message;
    enum ring_kind kind;
    size_t length;
    enum status status = ops->receive_kind(ring, message.payload, &length, &kind);
    if (status != STATUS_OK)
        return status;
    if (kind != RING_PAGES || length != sizeof(message.pages) || !is_sound(&message.pages))
        return STATUS_CORRUPT;
    for (unsigned i = 0; i < message.pages.count && status == STATUS_OK; i++) {
        const struct ring_descriptor descriptor = descriptor_of(&message.pages, i);
        status = ring_pool_open(pool, receiver, &descriptor, &bytes[i]);
    }
    if (status == STATUS_OK)
        *pages = message.pages;
    else
        ring_free_pages(pool, receiver, &message.pages);
    return status;
}

enum status ring_send_with_pool(const struct ring_ops *ops, void *ring, struct ring_pool *pool,
                                struct ring_parties parties, const void *payload, size_t length)
{
    struct ring_descriptor descriptor;
    const ring_word *from = payload;
    void *bytes;
    assert_slow(ring_is_aligned(payload, sizeof(ring_word)));
    if (length > PAGE_SIZE)
        return STATUS_TOO_LARGE;
    enum status status = ring_pool_allocate(pool, parties.sender, &descriptor, &bytes);
    if (status != STATUS_OK)
        return status;
    for (size_t i = 0; i < length / sizeof(ring_word); i++)
        ((ring_word *)bytes)[i] = from[i];
    for (size_t i = length & ~(sizeof(ring_word) - 1); i < length; i++)
        ((uint8_t *)bytes)[i] = ((const uint8_t *)payload)[i];
    ring_pool_count_copied(pool, length);
    descriptor.length = (uint16_t)length;
    status = ring_send_page(ops, ring, pool, parties, &descriptor);
    if (status != STATUS_OK)
        ring_pool_free(pool, parties.sender, &descriptor);
    return status;
}
