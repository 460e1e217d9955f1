// SPDX-License-Identifier: MIT
// The functions that code compiled with -fsanitize=thread calls at its accesses to memory, as GCC's
// gcc/sanitizer.def lists them. Outside of an execution's threads they do the access and no more.
#include <string.h>

#include "model_parts.h"

void __tsan_init(void);
void __tsan_func_entry(void *caller);
void __tsan_func_exit(void);
void __tsan_read_range(void *address, size_t length);
void __tsan_write_range(void *address, size_t length);
void __tsan_atomic_thread_fence(int order);
void __tsan_atomic_signal_fence(int order);

void __tsan_init(void)
{
}

void __tsan_func_entry(void *caller)
{
    (void)caller;
}

void __tsan_func_exit(void)
{
}

static void plain(const void *address, size_t length, bool writes)
{
    if (model_is_running())
        model_plain(address, length, writes);
    else
        model_alone(address, length);
}

#define PLAIN(name, length, writes)                                                                \
    void __tsan_##name(void *address);                                                             \
    void __tsan_##name(void *address)                                                              \
    {                                                                                              \
        plain(address, length, writes);                                                            \
    }

PLAIN(read1, 1, false)
PLAIN(read2, 2, false)
PLAIN(read4, 4, false)
PLAIN(read8, 8, false)
PLAIN(read16, 16, false)
PLAIN(write1, 1, true)
PLAIN(write2, 2, true)
PLAIN(write4, 4, true)
PLAIN(write8, 8, true)
PLAIN(write16, 16, true)
PLAIN(unaligned_read2, 2, false)
PLAIN(unaligned_read4, 4, false)
PLAIN(unaligned_read8, 8, false)
PLAIN(unaligned_read16, 16, false)
PLAIN(unaligned_write2, 2, true)
PLAIN(unaligned_write4, 4, true)
PLAIN(unaligned_write8, 8, true)
PLAIN(unaligned_write16, 16, true)

void __tsan_read_range(void *address, size_t length)
{
    plain(address, length, false);
}

void __tsan_write_range(void *address, size_t length)
{
    plain(address, length, true);
}

// ---- Atomic accesses

static uint64_t exchange(uint64_t old, uint64_t with)
{
    (void)old;
    return with;
}

static uint64_t add(uint64_t old, uint64_t with)
{
    return old + with;
}

static uint64_t subtract(uint64_t old, uint64_t with)
{
    return old - with;
}

static uint64_t both(uint64_t old, uint64_t with)
{
    return old & with;
}

static uint64_t either(uint64_t old, uint64_t with)
{
    return old | with;
}

static uint64_t differing(uint64_t old, uint64_t with)
{
    return old ^ with;
}

static uint64_t not_both(uint64_t old, uint64_t with)
{
    return ~(old & with);
}

// Nobody else runs: the access itself, without a model.
static void do_alone(void *address, struct model_operation *operation)
{
    uint64_t value = 0;
    memcpy(&value, address, operation->size);
    operation->result = value;
    operation->compared = value == operation->expected;
    if (operation->site.kind == MODEL_LOAD ||
        (operation->site.kind == MODEL_COMPARE && !operation->compared))
        return;
    value = operation->site.kind == MODEL_CHANGE ? operation->apply(value, operation->operand)
                                                 : operation->operand;
    memcpy(address, &value, operation->size);
}

static void atomic(void *address, struct model_operation *operation)
{
    if (!model_is_running()) {
        model_alone(address, operation->size);
        do_alone(address, operation);
        return;
    }
    const uintptr_t offset = (uintptr_t)address - (uintptr_t)model_memory;
    if (offset > MODEL_MEMORY_BYTES - operation->size || offset % operation->size != 0)
        model_fail("an atomic access outside of the model's memory, or not aligned", NULL);
    operation->offset = (uint32_t)offset;
    model_operate(operation);
}

#define CHANGE(bits, name, function)                                                               \
    uint##bits##_t __tsan_atomic##bits##_##name(void *address, uint##bits##_t operand, int order); \
    uint##bits##_t __tsan_atomic##bits##_##name(void *address, uint##bits##_t operand, int order)  \
    {                                                                                              \
        struct model_operation operation = {                                                       \
            .site = {__builtin_return_address(0), MODEL_CHANGE, order, __ATOMIC_RELAXED},          \
            .apply = function,                                                                     \
            .size = bits / 8,                                                                      \
            .operand = operand,                                                                    \
        };                                                                                         \
        atomic(address, &operation);                                                               \
        return (uint##bits##_t)operation.result;                                                   \
    }

#define COMPARE(bits, name)                                                                        \
    bool __tsan_atomic##bits##_compare_exchange_##name(void *address, uint##bits##_t *expected,    \
                                                       uint##bits##_t operand, int order,          \
                                                       int order_failed);                          \
    bool __tsan_atomic##bits##_compare_exchange_##name(void *address, uint##bits##_t *expected,    \
                                                       uint##bits##_t operand, int order,          \
                                                       int order_failed)                           \
    {                                                                                              \
        struct model_operation operation = {                                                       \
            .site = {__builtin_return_address(0), MODEL_COMPARE, order, order_failed},             \
            .size = bits / 8,                                                                      \
            .operand = operand,                                                                    \
            .expected = *expected,                                                                 \
        };                                                                                         \
        atomic(address, &operation);                                                               \
        *expected = (uint##bits##_t)operation.result;                                              \
        return operation.compared;                                                                 \
    }

#define SIZE(bits)                                                                                 \
    uint##bits##_t __tsan_atomic##bits##_load(const void *address, int order);                     \
    uint##bits##_t __tsan_atomic##bits##_load(const void *address, int order)                      \
    {                                                                                              \
        struct model_operation operation = {                                                       \
            .site = {__builtin_return_address(0), MODEL_LOAD, order, __ATOMIC_RELAXED},            \
            .size = bits / 8,                                                                      \
        };                                                                                         \
        atomic((void *)(uintptr_t)address, &operation);                                            \
        return (uint##bits##_t)operation.result;                                                   \
    }                                                                                              \
    void __tsan_atomic##bits##_store(void *address, uint##bits##_t operand, int order);            \
    void __tsan_atomic##bits##_store(void *address, uint##bits##_t operand, int order)             \
    {                                                                                              \
        struct model_operation operation = {                                                       \
            .site = {__builtin_return_address(0), MODEL_STORE, order, __ATOMIC_RELAXED},           \
            .size = bits / 8,                                                                      \
            .operand = operand,                                                                    \
        };                                                                                         \
        atomic(address, &operation);                                                               \
    }                                                                                              \
    CHANGE(bits, exchange, exchange)                                                               \
    CHANGE(bits, fetch_add, add)                                                                   \
    CHANGE(bits, fetch_sub, subtract)                                                              \
    CHANGE(bits, fetch_and, both)                                                                  \
    CHANGE(bits, fetch_or, either)                                                                 \
    CHANGE(bits, fetch_xor, differing)                                                             \
    CHANGE(bits, fetch_nand, not_both)                                                             \
    COMPARE(bits, strong)                                                                          \
    COMPARE(bits, weak)

SIZE(8)
SIZE(16)
SIZE(32)
SIZE(64)

void __tsan_atomic_thread_fence(int order)
{
    struct model_operation operation = {
        .site = {__builtin_return_address(0), MODEL_FENCE, order, __ATOMIC_RELAXED},
    };
    if (model_is_running())
        model_operate(&operation);
}

// Threads are not interrupted by signals here.
void __tsan_atomic_signal_fence(int order)
{
    (void)order;
}
