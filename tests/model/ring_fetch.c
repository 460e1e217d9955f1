// SPDX-License-Identifier: MIT
// What a peer can write to is read once: the word that says whether a message is there, of what
// kind and how long, changes behind any single instruction of a receiving call, and what the call
// says must be true of one of the two words. test_ring_mutants.py runs this, and plants
// second reads that it must find.
#include <check.h>
#include <signal.h>
#include <ucontext.h>

#include "ring_subject.h"
#include "run_checks.h"
#include "single_step.h"

#define SLOTS 8u

// A word of a peer's, and what a message of it is.
struct look {
    uint64_t word;
    bool sound;
    size_t length;
    enum ring_kind kind;
};

struct taken {
    enum status status;
    size_t length;
    enum ring_kind kind; // RING_KINDS: the call does not say
};

enum way { RECEIVE, RECEIVE_BATCH, RECEIVE_KIND, PEEK, PEEK_SLOWLY, RECEIVE_SLOWLY, WAYS };

static struct subject s;
static struct {
    volatile unsigned count;
    unsigned at; // behind this instruction
    uint64_t *word;
    uint64_t value;
} strike;

static void on_step(int signal, siginfo_t *info, void *context)
{
    (void)signal;
    (void)info;
    if (strike.count++ != strike.at)
        return;
    ((ucontext_t *)context)->uc_mcontext.gregs[REG_EFL] &= ~0x100; // the rest goes at full speed
    __atomic_store_n(strike.word, strike.value, __ATOMIC_RELAXED);
}

static bool has_way(const struct ring_ops *ops, enum way way)
{
    if (way == PEEK || way == PEEK_SLOWLY)
        return ops->peek != NULL;
    if (way == RECEIVE_SLOWLY)
        return ops == &ring_fusion_spsc_ops;
    return way != RECEIVE_KIND || ops->receive_kind != NULL;
}

static enum status peek_slowly(const struct ring_fusion_slot **place, size_t *length)
{
    if (s.ops == &ring_fusion_spsc_in_place_ops)
        return ring_fusion_spsc_peek_other(s.ring, place, length);
    return ring_fusion_mpmc_peek_slowly(s.ring, place, length);
}

static struct taken take(enum way way)
{
    static struct ring_message messages[2];
    struct taken taken = {.kind = RING_KINDS};
    const void *place = NULL;
    const struct ring_fusion_slot *slot = NULL;
    size_t count = 0;
    single_step(true);
    switch (way) {
    case RECEIVE:
        taken.status = s.ops->receive(s.ring, messages[0].payload, &taken.length);
        break;
    case RECEIVE_BATCH:
        taken.status = s.ops->receive_batch(s.ring, messages, ARRAY_COUNT(messages), &count);
        break;
    case RECEIVE_KIND:
        taken.status = s.ops->receive_kind(s.ring, messages[0].payload, &taken.length, &taken.kind);
        break;
    case PEEK:
        taken.status = s.ops->peek(s.ring, &place, &taken.length);
        break;
    case PEEK_SLOWLY:
        taken.status = peek_slowly(&slot, &taken.length);
        break;
    default:
        taken.status =
            ring_fusion_spsc_receive_other(s.ring, messages[0].payload, &taken.length, &taken.kind);
    }
    single_step(false);
    if (way == RECEIVE_BATCH)
        taken.length = messages[0].length;
    if (taken.status == STATUS_OK && (way == PEEK || way == PEEK_SLOWLY))
        taken.kind = RING_INLINE; // it gives no other
    return taken;
}

static bool is_of(const struct taken *taken, const struct look *look)
{
    return look->sound && taken->length == look->length &&
           (taken->kind == RING_KINDS || taken->kind == look->kind);
}

// The control words of a message at position 0; of the ring without them, lengths.
static struct look look_of(size_t length, unsigned kind)
{
    const bool stream = s.ops == &ring_fusion_stream_ops;
    return (struct look){
        .word = stream ? length
                       : ring_fusion_control(0, length) | (uint64_t)kind << RING_FUSION_KIND_SHIFT,
        .sound = length <= RING_PAYLOAD_MOST && kind < RING_VOID,
        .length = length,
        .kind = stream ? RING_INLINE : (enum ring_kind)kind,
    };
}

// One call for each instruction of it; how many there are.
static unsigned strike_behind_each(enum way way, const struct look *before,
                                   const struct look *after)
{
    static const uint64_t payload[RING_PAYLOAD_MOST / 8];
    strike.word = s.memory;
    strike.value = after->word;
    for (strike.at = 0;; strike.at++) {
        ck_assert_int_eq(s.ops->init(s.ring, s.memory, SLOTS), STATUS_OK);
        ck_assert_int_eq(s.ops->send(s.ring, payload, 8), STATUS_OK);
        *strike.word = before->word;
        strike.count = 0;
        const struct taken taken = take(way);
        if (taken.status == STATUS_OK && !is_of(&taken, before) && !is_of(&taken, after))
            ck_abort_msg("%s, way %d, %lx then %lx behind instruction %u: length %zu, kind %d",
                         NAME(s.ops), way, before->word, after->word, strike.at, taken.length,
                         (int)taken.kind);
        if (strike.count <= strike.at)
            return strike.at;
    }
}

static const struct ring_ops *const victims[] = {
    &ring_fusion_spsc_ops, &ring_fusion_spsc_in_place_ops, &ring_fusion_stream_ops,
    &ring_fusion_mpmc_ops, &ring_fusion_mpmc_in_place_ops};
#define VICTIMS ((int)ARRAY_COUNT(victims))

START_TEST(a_call_says_what_one_of_the_words_said)
{
    const struct sigaction action = {.sa_sigaction = on_step, .sa_flags = SA_SIGINFO};
    s = create(victims[_i], SLOTS);
    ck_assert_int_eq(sigaction(SIGTRAP, &action, NULL), 0);
    const struct look good[] = {look_of(24, RING_INLINE), look_of(24, RING_DESCRIPTOR)};
    const struct look bad[] = {look_of(40, RING_PAGES), look_of(0xfff0, 200)};
    for (enum way way = RECEIVE; way < WAYS; way++) {
        for (unsigned i = 0; has_way(s.ops, way) && i < 4; i++)
            ck_assert_uint_gt(strike_behind_each(way, &good[i / 2], &bad[i % 2]), 10);
    }
    free(s.ring);
    free(s.memory);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("ring_fetch");
    for (int i = 0; i < VICTIMS; i++) { // a case each: CK_RUN_CASE
        TCase *fetch = tcase_create(NAME(victims[i]));
        tcase_set_timeout(fetch, 120);
        tcase_add_loop_test(fetch, a_call_says_what_one_of_the_words_said, i, i + 1);
        suite_add_tcase(suite, fetch);
    }
    return run_checks(suite);
}
