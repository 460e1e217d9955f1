// SPDX-License-Identifier: MIT
#include "ipc_peers.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

bool ipc_peers_only_listed;

// ---- the system's -------------------------------------------------------------------------------

static enum status begin(void *object, const int descriptors[2], bool made)
{
    struct ring_system *system = object;
    *system = (struct ring_system){.from = descriptors[0], .to = descriptors[1]};
    return made ? STATUS_OK : STATUS_NO_MEMORY;
}

enum status ring_pipe_init(void *object, void *memory, size_t slots)
{
    int made[2] = {-1, -1};
    (void)memory;
    (void)slots;
    const bool there = pipe2(made, O_NONBLOCK | O_CLOEXEC) == 0;
    return begin(object, made, there);
}

enum status ring_unix_socket_init(void *object, void *memory, size_t slots)
{
    int made[2] = {-1, -1};
    (void)memory;
    (void)slots;
    const int type = SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC;
    const bool there = socketpair(AF_UNIX, type, 0, made) == 0;
    return begin(object, made, there);
}

enum status ring_eventfd_init(void *object, void *memory, size_t slots)
{
    (void)memory;
    (void)slots;
    const int made = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    const int both[2] = {made, made};
    return begin(object, both, made >= 0);
}

enum status ring_system_send(void *object, const void *payload, size_t length)
{
    const struct ring_system *system = object;
    const ssize_t done = write(system->to, payload, length);
    if (done == (ssize_t)length)
        return STATUS_OK;
    return done < 0 && errno == EAGAIN ? STATUS_FULL : STATUS_CORRUPT;
}

enum status ring_system_receive(void *object, void *payload, size_t *length)
{
    const struct ring_system *system = object;
    const ssize_t done = read(system->from, payload, RING_PAYLOAD_MOST);
    if (done < 0)
        return errno == EAGAIN ? STATUS_EMPTY : STATUS_CORRUPT;
    *length = (size_t)done;
    return STATUS_OK;
}

// A counter of 0 is an empty one.
enum status ring_eventfd_send(void *object, const void *payload, size_t length)
{
    const struct ring_system *system = object;
    const uint64_t number = ((const uint64_t *)payload)[6] + 1;
    (void)length;
    return write(system->to, &number, sizeof(number)) == sizeof(number) ? STATUS_OK : STATUS_FULL;
}

enum status ring_eventfd_receive(void *object, void *payload, size_t *length)
{
    const struct ring_system *system = object;
    uint64_t number;
    if (read(system->from, &number, sizeof(number)) != sizeof(number))
        return STATUS_EMPTY;
    ((uint64_t *)payload)[6] = number - 1;
    *length = sizeof(number);
    return STATUS_OK;
}

bool ring_system_check(const void *object)
{
    const struct ring_system *system = object;
    return fcntl(system->from, F_GETFD) >= 0 && fcntl(system->to, F_GETFD) >= 0;
}

void ring_system_end(void *object)
{
    struct ring_system *system = object;
    if (system->from != system->to)
        close(system->from);
    close(system->to);
}

// ---- as libraries -------------------------------------------------------------------------------

static const char *bind_nothing(void *handle)
{
    (void)handle;
    return NULL;
}

#define HEADER(name_, header_, version_)                                                           \
    {                                                                                              \
        .name = name_, .header = header_, .built = version_                                        \
    }
#define SYSTEM(name_)                                                                              \
    {                                                                                              \
        .name = name_, .file = "libc.so.6", .own = true, .bind = bind_nothing,                     \
        .tell = library_tell_system                                                                \
    }

struct library ipc_peers_libraries[IPC_PEERS_COUNT] = {
    HEADER("ck_ring", "ck_ring.h", IPC_PEER_CK_VERSION),
    HEADER("rte_ring", "rte_ring.h", IPC_PEER_DPDK_VERSION),
    HEADER("rte_ring_elem64", "rte_ring.h", IPC_PEER_DPDK_VERSION),
    HEADER("wfcqueue", "urcu/wfcqueue.h", IPC_PEER_URCU_VERSION),
    HEADER("boost_spsc", "boost/lockfree/spsc_queue.hpp", IPC_PEER_BOOST_VERSION),
    HEADER("boost_queue", "boost/lockfree/queue.hpp", IPC_PEER_BOOST_VERSION),
    SYSTEM("mutex_queue"),
    SYSTEM("pipe"),
    SYSTEM("unix_socket"),
    SYSTEM("eventfd"),
};

bool ipc_peers_wanted(const char *name)
{
    for (size_t i = 0; i < IPC_PEERS_COUNT; i++)
        if (ipc_peers_libraries[i].present && strcmp(ipc_peers_libraries[i].name, name) == 0)
            return true;
    return ipc_peers_only_listed;
}
