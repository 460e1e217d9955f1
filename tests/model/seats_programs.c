// SPDX-License-Identifier: MIT
// Seats under the checker: the object that they guard is a plain word, which users use and the
// owner writes when nobody sits any more. If one of them is not ordered, that is a race.
#include "beside_programs.h"
#include "compiler.h"
#include "ring_seats.h"

#define SEATS   ((struct ring_seats *)(void *)model_memory)
#define OBJECT  ((uint64_t *)(void *)(model_memory + 4 * PAGE_SIZE))
#define OWN     ((uint64_t *)(void *)(model_memory + 5 * PAGE_SIZE)) // a word a seat: its user's
#define STOPPED ((uint64_t *)(void *)(model_memory + 6 * PAGE_SIZE)) // by whoever stops a domain
#define TICKET  ((struct ring_ticket *)(void *)(model_memory + 7 * PAGE_SIZE))
#define WATCH   ((struct ring_watch *)(void *)(model_memory + 7 * PAGE_SIZE + 512))

static void begin(void)
{
    ring_seats_init(SEATS);
}

// Somebody sits, and the watcher has had its first look.
static void begin_seated(void)
{
    enum status status;
    begin();
    model_require(ring_seats_take(SEATS, TICKET) == STATUS_OK, "no seat");
    ring_seats_watch(SEATS, TICKET->seat, WATCH, &status);
}

static void use_object(void)
{
    model_require(*OBJECT == 0, "the object is gone");
}

static void take_use_leave(void)
{
    struct ring_ticket ticket;
    model_begin();
    const enum status status = ring_seats_take(SEATS, &ticket);
    if (status == STATUS_CLOSED)
        return;
    model_require(status == STATUS_OK, "a seat is free, and not given");
    use_object();
    OWN[ticket.seat]++;
    model_begin();
    model_require(ring_seats_leave(SEATS, ticket) == STATUS_OK, "a user could not leave");
    model_begin();
    model_require(ring_seats_leave(SEATS, ticket) == STATUS_STALE, "a user left twice");
}

static void close_seats(void)
{
    model_begin();
    ring_seats_close(SEATS);
}

static void end_object(void)
{
    MODEL_UNTIL(ring_seats_quiet(SEATS));
    *OBJECT = 1;
}

static void close_and_end_object(void)
{
    close_seats();
    end_object();
}

// ---- Death

static void use_and_die(void)
{
    use_object();
    __atomic_store_n(STOPPED, 1, __ATOMIC_RELEASE);
}

static void evict_and_close(void)
{
    MODEL_UNTIL(__atomic_load_n(STOPPED, __ATOMIC_ACQUIRE) == 1);
    model_require(ring_seats_evict(SEATS, *TICKET) == STATUS_OK, "the dead had left");
    close_seats();
}

// ---- Between two calls

static void use_and_beat(void)
{
    use_object();
    model_begin();
    ring_seats_beat(SEATS, *TICKET);
}

static void use_and_leave(void)
{
    use_object();
    model_begin();
    model_require(ring_seats_leave(SEATS, *TICKET) == STATUS_OK, "a user could not leave");
}

// Takes the seat that was left, or another one.
static void take_another(void)
{
    struct ring_ticket ticket;
    model_begin();
    model_require(ring_seats_take(SEATS, &ticket) == STATUS_OK, "no seat");
}

// What the seat's user had begun before the watcher's first look is over.
static void watch_and_end_object(void)
{
    struct ring_watch watch = *WATCH;
    const uint32_t seat = TICKET->seat;
    enum status status;
    MODEL_UNTIL(ring_seats_watch(SEATS, seat, &watch, &status) == 0 || status == STATUS_STALE);
    *OBJECT = 1;
}

static const struct model_program closed = {
    "closed", 2, begin, {take_use_leave, close_and_end_object}, NULL};
static const struct model_program closed_by_another = {
    "closed by another", 3, begin, {take_use_leave, close_seats, end_object}, NULL};
static const struct model_program two_users = {
    "two users", 2, begin, {take_use_leave, take_use_leave}, NULL};
static const struct model_program evicted = {
    "evicted", 3, begin_seated, {use_and_die, evict_and_close, end_object}, NULL};
static const struct model_program beaten = {
    "beaten", 2, begin_seated, {use_and_beat, watch_and_end_object}, NULL};
static const struct model_program left = {
    "left", 2, begin_seated, {use_and_leave, watch_and_end_object}, NULL};
static const struct model_program left_to_another = {
    "left to another", 3, begin_seated, {use_and_leave, take_another, watch_and_end_object}, NULL};

const struct model_set seats_set = {
    .name = "seats",
    .programs = {&closed, &closed_by_another, &two_users, &evicted, &beaten, &left,
                 &left_to_another},
    .functions = {"ring_seats_take", "ring_seats_leave", "ring_seats_beat", "ring_seats_watch",
                  "ring_seats_close", "ring_seats_quiet"},
    .weakenings = 9,
    .harmless =
        {{"ring_seats_quiet: load seq_cst",
          "the one order is that of happens-before here, as in C11; in C++20 it need not be, "
          "and who looks is not always who closed"}},
};
