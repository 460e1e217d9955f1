// SPDX-License-Identifier: MIT
#include "stack_table.h"

#include "compiler.h"
#include "string.h"

bool stack_holds(const struct stack *stack, uint64_t address)
{
    return address >= stack->bottom - PAGE_SIZE && address < stack->top;
}

// The stack of a slot, whole or not at all (a sequence lock: the words are read between two equal
// versions).
static bool read_slot(const struct stack_table *table, unsigned i, struct stack *stack)
{
    uint64_t words[STACK_WORDS];
    const uint32_t version = __atomic_load_n(&table->slots[i].version, __ATOMIC_ACQUIRE);
    if (version % 2 == 0)
        return false;
    for (unsigned k = 0; k < STACK_WORDS; k++)
        words[k] = __atomic_load_n(&table->slots[i].words[k], __ATOMIC_RELAXED);
    // The words before the second look at the version.
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    if (__atomic_load_n(&table->slots[i].version, __ATOMIC_RELAXED) != version)
        return false;
    memcpy(stack, words, sizeof(*stack));
    return true;
}

static void set_version(struct stack_table *table, unsigned i, uint32_t version)
{
    __atomic_store_n(&table->slots[i].version, version, __ATOMIC_RELEASE);
}

enum status stack_table_add(struct stack_table *table, uint64_t bottom, uint64_t top, uint64_t cpu,
                            const char *name)
{
    struct stack stack = {.bottom = bottom, .top = top, .cpu = cpu}, other;
    if ((bottom | top) % PAGE_SIZE != 0 || bottom < PAGE_SIZE || bottom >= top)
        return STATUS_INVALID;
    memcpy(stack.name, name, string_length(name, STACK_NAME_BYTES - 1));
    for (unsigned i = 0; i < STACK_TABLE_MOST; i++) {
        if (read_slot(table, i, &other) && bottom - PAGE_SIZE < other.top &&
            other.bottom - PAGE_SIZE < top)
            return STATUS_DOUBLE;
    }
    for (unsigned i = 0; i < STACK_TABLE_MOST; i++) {
        if (__atomic_exchange_n(&table->slots[i].claimed, 1, __ATOMIC_ACQUIRE) != 0)
            continue;
        uint64_t words[STACK_WORDS];
        memcpy(words, &stack, sizeof(words));
        // The version of the last removal before the new words: see read_slot.
        __atomic_thread_fence(__ATOMIC_RELEASE);
        for (unsigned k = 0; k < STACK_WORDS; k++)
            __atomic_store_n(&table->slots[i].words[k], words[k], __ATOMIC_RELAXED);
        set_version(table, i, table->slots[i].version + 1);
        return STATUS_OK;
    }
    return STATUS_FULL;
}

enum status stack_table_remove(struct stack_table *table, uint64_t bottom)
{
    struct stack stack;
    for (unsigned i = 0; i < STACK_TABLE_MOST; i++) {
        if (!read_slot(table, i, &stack) || stack.bottom != bottom)
            continue;
        set_version(table, i, table->slots[i].version + 1);
        __atomic_store_n(&table->slots[i].claimed, 0, __ATOMIC_RELEASE);
        return STATUS_OK;
    }
    return STATUS_EMPTY;
}

bool stack_table_find(const struct stack_table *table, uint64_t address, struct stack *found)
{
    for (unsigned i = 0; i < STACK_TABLE_MOST; i++) {
        if (read_slot(table, i, found) && stack_holds(found, address))
            return true;
    }
    return false;
}
