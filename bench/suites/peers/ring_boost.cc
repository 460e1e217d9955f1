// SPDX-License-Identifier: MIT
// Boost's queues behind C functions: all of this build that is C++. They allocate what they need in
// the caller's memory when they are made, and nothing later.

#include <boost/lockfree/queue.hpp>
#include <boost/lockfree/spsc_queue.hpp>
#include <cstdlib>
#include <new>

extern "C" {
#include "ring_boost.h"
}

namespace
{

struct message {
    uint64_t words[RING_BOOST_PAYLOAD / 8];
};

// From here on lies what has not been handed out yet.
struct arena {
    uint8_t *next, *end;
};

// Of the queue that is being made: its constructor passes no allocator on.
arena *making;

template <class T> struct in_arena {
    typedef T value_type;
    arena *from;

    in_arena() : from(making) {}
    template <class U> in_arena(in_arena<U> const &other) : from(other.from) {}

    T *allocate(std::size_t count)
    {
        // Nodes have a cache line each, as they would have from Boost's own allocator.
        const uintptr_t at = (reinterpret_cast<uintptr_t>(from->next) + 63) & ~uintptr_t(63);
        from->next = reinterpret_cast<uint8_t *>(at + count * sizeof(T));
        if (from->next > from->end)
            std::abort();
        return reinterpret_cast<T *>(at);
    }
    void deallocate(T *, std::size_t) {}
};

typedef boost::lockfree::allocator<in_arena<message>> own_memory;
typedef boost::lockfree::spsc_queue<message, own_memory> one_queue;
typedef boost::lockfree::queue<message, own_memory, boost::lockfree::fixed_sized<true>> many_queue;

template <class Queue> struct object {
    arena memory;
    alignas(64) unsigned char queue[sizeof(Queue)];
};

static_assert(sizeof(object<one_queue>) <= RING_BOOST_STATE, "the header says how much");
static_assert(sizeof(object<many_queue>) <= RING_BOOST_STATE, "the header says how much");

template <class Queue> Queue *queue_of(void *ring)
{
    return reinterpret_cast<Queue *>(static_cast<object<Queue> *>(ring)->queue);
}

template <class Queue> bool push(void *ring, const void *payload)
{
    return queue_of<Queue>(ring)->push(*static_cast<const message *>(payload));
}

template <class Queue> bool pop(void *ring, void *payload)
{
    return queue_of<Queue>(ring)->pop(*static_cast<message *>(payload));
}

template <class Queue> void make(void *ring, void *memory, size_t slots)
{
    // So that the compiler sees that the queue is not too long, and leaves its exception out.
    if (slots > RING_BOOST_SLOTS_MOST)
        std::abort();
    object<Queue> *made = static_cast<object<Queue> *>(ring);
    made->memory.next = static_cast<uint8_t *>(memory);
    made->memory.end = made->memory.next + slots * RING_BOOST_SLOT;
    making = &made->memory;
    new (made->queue) Queue(slots);
}

} // namespace

void ring_boost_spsc_make(void *ring, void *memory, size_t slots)
{
    make<one_queue>(ring, memory, slots);
}

void ring_boost_queue_make(void *ring, void *memory, size_t slots)
{
    make<many_queue>(ring, memory, slots);
}

bool ring_boost_spsc_push(void *ring, const void *payload)
{
    return push<one_queue>(ring, payload);
}

bool ring_boost_spsc_pop(void *ring, void *payload)
{
    return pop<one_queue>(ring, payload);
}

bool ring_boost_queue_push(void *ring, const void *payload)
{
    return push<many_queue>(ring, payload);
}

bool ring_boost_queue_pop(void *ring, void *payload)
{
    return pop<many_queue>(ring, payload);
}
