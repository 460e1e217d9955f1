// SPDX-License-Identifier: MIT
#include "ipc_sleepers.h"

#include <linux/futex.h>
#include <pthread.h>
#include <stddef.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "platform.h"

#define WORDS   7u
#define WAIT_MS 60000u

// One direction.
struct way {
    int from, to;
    uint32_t there __attribute__((aligned(128))); // atomic: a message is in `slot`; the futex
    uint64_t slot[WORDS];
};

struct kind {
    const char *name;
    bool (*make)(struct way *way);
    bool (*send)(struct way *way, const uint64_t *message);
    bool (*receive)(struct way *way, uint64_t *message);
};

static struct {
    const struct kind *kind;
    struct way there, back;
    uint32_t over; // atomic
    bool two_cpus, open;
    pthread_t other;
} pair;

static bool is_over(void)
{
    return __atomic_load_n(&pair.over, __ATOMIC_ACQUIRE) != 0;
}

// ---- descriptors, which block -------------------------------------------------------------------

static bool make_pipe(struct way *way)
{
    int made[2];
    const bool done = pipe(made) == 0;
    way->from = made[0];
    way->to = made[1];
    return done;
}

static bool make_socket(struct way *way)
{
    int made[2];
    const bool done = socketpair(AF_UNIX, SOCK_SEQPACKET, 0, made) == 0;
    way->from = made[0];
    way->to = made[1];
    return done;
}

static bool make_eventfd(struct way *way)
{
    way->from = way->to = eventfd(0, 0);
    return way->from >= 0;
}

static bool send_bytes(struct way *way, const uint64_t *message)
{
    return write(way->to, message, WORDS * 8) == (ssize_t)(WORDS * 8);
}

static bool receive_bytes(struct way *way, uint64_t *message)
{
    return read(way->from, message, WORDS * 8) == (ssize_t)(WORDS * 8) && !is_over();
}

// A counter of 0 is an empty one.
static bool send_number(struct way *way, const uint64_t *message)
{
    const uint64_t number = message[WORDS - 1] + 1;
    return write(way->to, &number, sizeof(number)) == sizeof(number);
}

static bool receive_number(struct way *way, uint64_t *message)
{
    uint64_t number;
    if (read(way->from, &number, sizeof(number)) != sizeof(number) || is_over())
        return false;
    message[WORDS - 1] = number - 1;
    return true;
}

// ---- a futex and a line of memory ---------------------------------------------------------------

static bool make_futex(struct way *way)
{
    way->there = 0;
    return true;
}

static bool send_by_futex(struct way *way, const uint64_t *message)
{
    memcpy(way->slot, message, sizeof(way->slot));
    // Release: the message is written.
    __atomic_store_n(&way->there, 1, __ATOMIC_RELEASE);
    syscall(SYS_futex, &way->there, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
    return true;
}

static bool receive_by_futex(struct way *way, uint64_t *message)
{
    while (__atomic_load_n(&way->there, __ATOMIC_ACQUIRE) == 0)
        syscall(SYS_futex, &way->there, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0);
    memcpy(message, way->slot, sizeof(way->slot));
    __atomic_store_n(&way->there, 0, __ATOMIC_RELAXED);
    return !is_over();
}

static const struct kind kinds[] = {
    {"pipe", make_pipe, send_bytes, receive_bytes},
    {"unix_socket", make_socket, send_bytes, receive_bytes},
    {"eventfd", make_eventfd, send_number, receive_number},
    {"futex", make_futex, send_by_futex, receive_by_futex},
};

// ---- two that take turns ------------------------------------------------------------------------

static void echo(void *unused)
{
    uint64_t message[WORDS] = {0};
    (void)unused;
    while (pair.kind->receive(&pair.there, message)) {
        message[WORDS - 1]++;
        if (!pair.kind->send(&pair.back, message))
            break;
    }
}

static void *echo_here(void *unused)
{
    echo(unused);
    return NULL;
}

bool ipc_sleepers_begin(const char *name, bool two_cpus)
{
    if (pair.open)
        ipc_sleepers_end(); // of a row that failed
    pair.kind = NULL;
    pair.two_cpus = two_cpus;
    pair.over = 0;
    pair.there = pair.back = (struct way){.from = -1, .to = -1};
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
        if (strcmp(kinds[i].name, name) == 0)
            pair.kind = &kinds[i];
    if (pair.kind == NULL || !pair.kind->make(&pair.there) || !pair.kind->make(&pair.back))
        return false;
    // A thread runs where the one that made it does.
    pair.open = two_cpus ? platform_cpu_start(1, echo, NULL)
                         : pthread_create(&pair.other, NULL, echo_here, NULL) == 0;
    return pair.open;
}

uint64_t ipc_sleepers_turns(uint64_t turns)
{
    uint64_t message[WORDS] = {0}, good = 0;
    for (uint64_t i = 0; i < turns; i++) {
        message[WORDS - 1] = i;
        if (!pair.kind->send(&pair.there, message) || !pair.kind->receive(&pair.back, message))
            break;
        good += message[WORDS - 1] == i + 1;
    }
    return good;
}

static void close_way(const struct way *way)
{
    if (way->from >= 0)
        close(way->from);
    if (way->to >= 0 && way->to != way->from)
        close(way->to);
}

void ipc_sleepers_end(void)
{
    const uint64_t last[WORDS] = {0};
    __atomic_store_n(&pair.over, 1, __ATOMIC_RELEASE);
    (void)pair.kind->send(&pair.there, last);
    if (pair.two_cpus)
        platform_cpu_wait(1, WAIT_MS);
    else
        pthread_join(pair.other, NULL);
    close_way(&pair.there);
    close_way(&pair.back);
    pair.open = false;
}
