// SPDX-License-Identifier: MIT
// Other people's message queues as rings. Those that are headers are inlined, as ours are and as in
// their users' programs; they are here when their headers were, when this was built. The others are
// the system's, and called.
//
// Rules for callers, beyond those of ring.h
//   messages     56 bytes in a buffer of 64, whatever length is said: what moves a fixed number of
//                bytes moves all 64
//   calls        Boost's are called; so are fusion_spsc_called and fusion_mpmc_called, which are
//   ours
//                and here to stand beside them
//   copies       ck_ring, rte_ring_elem64, Boost's and mutex_queue copy a message in and out;
//   rte_ring
//                passes its address, wfcqueue links it; pipe and unix_socket copy 56 bytes into the
//                system and out of it; eventfd has no message, only a number
//   capacity     ck_ring and rte_ring keep a slot empty, wfcqueue has no bound, the system's have
//                their own
//   statistics   where a queue has none there is no function
//   memory       the system's hold two descriptors until ring_system_end
#ifndef IPC_PEERS_H
#define IPC_PEERS_H

#include "compiler.h"
#include "ipc_peers_built.h" // generated: the headers of those that are here
#include "library.h"
#include "ring.h"
#include "ring_mutex_queue.h"

#define IPC_PEERS(X)                                                                               \
    IPC_PEER_CK(X(ck_ring))                                                                        \
    IPC_PEER_DPDK(X(rte_ring) X(rte_ring_elem64))                                                  \
    IPC_PEER_URCU(X(wfcqueue))                                                                     \
    IPC_PEER_BOOST(X(boost_spsc) X(boost_queue) X(fusion_spsc_called) X(fusion_mpmc_called))       \
    X(mutex_queue) X(pipe) X(unix_socket) X(eventfd)
#define IPC_PEERS_COUNT 10

// Rows are listed, not measured: those of what is not wanted here, too.
extern bool ipc_peers_only_listed;

extern struct library ipc_peers_libraries[IPC_PEERS_COUNT];

// It is here, or rows are only listed.
bool ipc_peers_wanted(const char *name);

// ---- the system's -------------------------------------------------------------------------------

// Descriptors that do not block: who finds nothing looks again, as with a ring.
struct ring_system {
    int from, to;
};

enum status ring_pipe_init(void *object, void *memory, size_t slots);
enum status ring_unix_socket_init(void *object, void *memory, size_t slots);
enum status ring_eventfd_init(void *object, void *memory, size_t slots);
enum status ring_system_send(void *object, const void *payload, size_t length);
enum status ring_system_receive(void *object, void *payload, size_t *length);
enum status ring_eventfd_send(void *object, const void *payload, size_t length);
enum status ring_eventfd_receive(void *object, void *payload, size_t *length);
bool ring_system_check(const void *object);
void ring_system_end(void *object);

#define RING_SYSTEM_OPS(name_, what_, send_, receive_)                                             \
    static const struct ring_ops ring_##name_##_ops = {                                            \
        .about = {.name = #name_, .what = what_, .role = VARIANT_PEER},                            \
        .state_bytes = sizeof(struct ring_system),                                                 \
        .init = ring_##name_##_init,                                                               \
        .send = send_,                                                                             \
        .receive = receive_,                                                                       \
        .check = ring_system_check,                                                                \
    };

RING_SYSTEM_OPS(pipe, "a pipe of the system, 56 bytes written and read", ring_system_send,
                ring_system_receive)
RING_SYSTEM_OPS(unix_socket, "a pair of local sockets, 56 bytes in a packet", ring_system_send,
                ring_system_receive)
RING_SYSTEM_OPS(eventfd, "an eventfd of the system: a number of 8 bytes", ring_eventfd_send,
                ring_eventfd_receive)

#endif
