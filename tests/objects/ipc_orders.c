// SPDX-License-Identifier: MIT
// Counts what a send of a batch orders, in the rings' own sources as the compiler has made calls of
// their atomic operations (-fsanitize=thread): these functions are in the sanitiser's place.
// Prints, for each ring, length of the batch and whether credit was at hand:
//   ring length at_hand | releases acquires stronger, as counted | fences acquires, as the ring
//   says
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ring_fusion_mpmc.h"
#include "ring_fusion_spsc.h"
#include "ring_fusion_stream.h"

#define SLOTS 64u

static struct {
    uint64_t releases, acquires, stronger;
} seen;

static void see(int order, int store)
{
    seen.stronger += order == __ATOMIC_SEQ_CST;
    seen.releases += order == __ATOMIC_RELEASE || order == __ATOMIC_ACQ_REL;
    seen.acquires += (order == __ATOMIC_ACQUIRE || order == __ATOMIC_ACQ_REL) && !store;
}

uint64_t __tsan_atomic64_load(const volatile uint64_t *at, int order);
void __tsan_atomic64_store(volatile uint64_t *at, uint64_t value, int order);
uint32_t __tsan_atomic32_load(const volatile uint32_t *at, int order);
void __tsan_atomic32_store(volatile uint32_t *at, uint32_t value, int order);
int __tsan_atomic64_compare_exchange_strong(volatile uint64_t *at, uint64_t *wanted, uint64_t value,
                                            int order, int otherwise);
uint64_t __tsan_atomic64_fetch_add(volatile uint64_t *at, uint64_t value, int order);
void __tsan_atomic_thread_fence(int order);

uint64_t __tsan_atomic64_load(const volatile uint64_t *at, int order)
{
    see(order, 0);
    return *at;
}

void __tsan_atomic64_store(volatile uint64_t *at, uint64_t value, int order)
{
    see(order, 1);
    *at = value;
}

uint32_t __tsan_atomic32_load(const volatile uint32_t *at, int order)
{
    see(order, 0);
    return *at;
}

void __tsan_atomic32_store(volatile uint32_t *at, uint32_t value, int order)
{
    see(order, 1);
    *at = value;
}

int __tsan_atomic64_compare_exchange_strong(volatile uint64_t *at, uint64_t *wanted, uint64_t value,
                                            int order, int otherwise)
{
    (void)otherwise;
    see(order, 0);
    if (*at != *wanted) {
        *wanted = *at;
        return 0;
    }
    *at = value;
    return 1;
}

uint64_t __tsan_atomic64_fetch_add(volatile uint64_t *at, uint64_t value, int order)
{
    see(order, 0);
    *at += value;
    return *at - value;
}

void __tsan_atomic_thread_fence(int order)
{
    (void)order;
    seen.stronger++;
}

#define NOTHING(name)                                                                              \
    void name(void);                                                                               \
    void name(void)                                                                                \
    {                                                                                              \
    }
NOTHING(__tsan_init)
NOTHING(__tsan_func_entry)
NOTHING(__tsan_func_exit)
NOTHING(__tsan_read1)
NOTHING(__tsan_read2)
NOTHING(__tsan_read4)
NOTHING(__tsan_read8)
NOTHING(__tsan_write4)
NOTHING(__tsan_write8)
NOTHING(__tsan_write_range)

_Noreturn void platform_panic(const char *reason, const char *file, unsigned line)
{
    printf("%s %s %u\n", reason, file, line);
    exit(EXIT_FAILURE);
}

static void count(const struct ring_ops *ops, size_t length)
{
    static uint8_t object[16 * PAGE_SIZE] __attribute__((aligned(PAGE_SIZE)));
    static uint8_t slots[SLOTS * CACHE_LINE] __attribute__((aligned(PAGE_SIZE)));
    static struct ring_message messages[SLOTS], came[SLOTS];
    size_t sent, received;
    if (ops->init(object, slots, SLOTS) != STATUS_OK)
        exit(EXIT_FAILURE);
    // The last of a lap that credit was there for, then the first of the next.
    for (size_t at = 0; at <= SLOTS; at += length) {
        struct ring_statistics told;
        memset(&seen, 0, sizeof(seen));
        if (ops->send_batch(object, messages, length, &sent) != STATUS_OK || sent != length)
            exit(EXIT_FAILURE);
        const uint64_t releases = seen.releases, acquires = seen.acquires;
        const uint64_t stronger = seen.stronger;
        ops->statistics(object, &told);
        printf("%s %zu %d %lu %lu %lu %lu %lu\n", ops->about.name, length, at < SLOTS,
               (unsigned long)releases, (unsigned long)acquires, (unsigned long)stronger,
               (unsigned long)told.fences, (unsigned long)told.acquires);
        if (ops->receive_batch(object, came, length, &received) != STATUS_OK || received != length)
            exit(EXIT_FAILURE);
    }
}

int main(void)
{
    for (size_t length = 1; length <= SLOTS; length *= 2) {
        count(&ring_fusion_spsc_ops, length);
        count(&ring_fusion_stream_ops, length);
        count(&ring_fusion_mpmc_ops, length);
    }
    return EXIT_SUCCESS;
}
