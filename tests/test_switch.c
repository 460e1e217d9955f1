// SPDX-License-Identifier: MIT
// Every context switch in every form: what it keeps is kept, with another pattern in each context,
// while signals come at random moments.
#include <check.h>
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>

#include "boot/switch_patterns.h"
#include "compiler.h"
#include "random.h"
#include "run_checks.h"
#include "seed.h"
#include "soak.h"

#define VARIANT_OPS(name) &switch_##name##_ops,
static const struct switch_ops *const variants[] = {SWITCH_VARIANTS(VARIANT_OPS)};

#define STACK_BYTES (64u << 10) // sanitisers need more than SWITCH_STACK_LEAST
#define CONTEXTS    5u

static uint64_t operations(void)
{
    // Over all variants and forms: 10^5, or 10^7.
    const uint64_t all = soaked(100000, 10000000);
    return all / (ARRAY_COUNT(variants) * FORMS) + CONTEXTS;
}

static void *leave(const struct switch_ops *ops, enum form form, void *from, void *to)
{
    if (form == FORM_INLINE)
        return ops->inline_(from, to);
    return form == FORM_JMP ? ops->jmp(from, to) : ops->ret(from, to);
}

// ---- signals as interrupts ----------------------------------------------------------------------

static volatile sig_atomic_t signals;

// Runs on whatever stack is the current one, below its red zone, and leaves no register alone.
static void on_signal(int number)
{
    uint64_t noise[64];
    (void)number;
    for (unsigned i = 0; i < ARRAY_COUNT(noise); i++) {
        noise[i] = 0xbadbadbadull * i;
        __asm__ volatile("" : : "r"(&noise[i]) : "memory");
    }
    __asm__ volatile("" : : : "rbx", "r12", "r13", "r14", "r15", "memory");
    signals++;
}

static void start_signals(void)
{
    const struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    const struct itimerval often = {.it_interval = {.tv_usec = 200}, .it_value = {.tv_usec = 200}};
    signals = 0;
    ck_assert_int_eq(sigaction(SIGALRM, &action, NULL), 0);
    ck_assert_int_eq(setitimer(ITIMER_REAL, &often, NULL), 0);
}

static void stop_signals(void)
{
    const struct itimerval never = {{0}, {0}};
    setitimer(ITIMER_REAL, &never, NULL);
}

// ---- contexts that check themselves -------------------------------------------------------------

struct one {
    void *context;
    struct ring *ring;
    uint64_t seed, rounds;
    unsigned number;
};

struct ring {
    const struct switch_ops *ops;
    enum form form;
    struct one ones[CONTEXTS];
    void *stacks[CONTEXTS];
    uint32_t mxcsr[CONTEXTS]; // where it is kept
    bool vector;
};

static void open_ring(struct ring *ring, const struct switch_ops *ops, enum form form,
                      void (*function)(void *argument))
{
    memset(ring, 0, sizeof(*ring));
    ring->ops = ops;
    ring->form = form;
    for (unsigned i = 0; i < CONTEXTS; i++) {
        struct one *one = &ring->ones[i];
        one->ring = ring;
        one->number = i;
        one->seed = 0x9e3779b97f4a7c15ull * (i + 1);
        one->context = aligned_alloc(64, align_up(ops->context_bytes, 64));
        memset(one->context, 0, align_up(ops->context_bytes, 64));
        ck_assert_uint_eq((uintptr_t)one->context % ops->context_alignment, 0);
        if (i > 0) {
            ring->stacks[i] = malloc(STACK_BYTES);
            ops->make(one->context, (char *)ring->stacks[i] + STACK_BYTES, function, one,
                      form == FORM_RET);
        }
    }
}

static void close_ring(struct ring *ring)
{
    for (unsigned i = 0; i < CONTEXTS; i++) {
        free(ring->ones[i].context);
        free(ring->stacks[i]);
    }
}

static void go_on(struct one *one)
{
    struct ring *ring = one->ring;
    void *own = leave(ring->ops, ring->form, one->context,
                      ring->ones[(one->number + 1) % CONTEXTS].context);
    if (own != one->context)
        ck_abort_msg("%s, %s: a context came back as another one", ring->ops->about.name,
                     form_names[ring->form]);
    one->rounds++;
}

// A dozen values live across the switch, in registers or on the stack as the compiler likes.
static void live_values(struct one *one)
{
    uint64_t v[12], stack[40];
    for (unsigned i = 0; i < ARRAY_COUNT(v); i++)
        v[i] = one->seed * (i + 1) ^ one->rounds;
    for (unsigned i = 0; i < ARRAY_COUNT(stack); i++)
        stack[i] = one->seed + i;
    uint64_t a = v[0], b = v[1], c = v[2], d = v[3], e = v[4], f = v[5], g = v[6], h = v[7];
    __asm__ volatile("" : "+r"(a), "+r"(b), "+r"(c), "+r"(d), "+r"(e), "+r"(f) : : "memory");
    go_on(one);
    __asm__ volatile("" : "+r"(a), "+r"(b), "+r"(c), "+r"(d), "+r"(e), "+r"(f) : : "memory");
    if (a != v[0] || b != v[1] || c != v[2] || d != v[3] || e != v[4] || f != v[5] || g != v[6] ||
        h != v[7])
        ck_abort_msg("%s, %s: a live value has changed", one->ring->ops->about.name,
                     form_names[one->ring->form]);
    for (unsigned i = 0; i < ARRAY_COUNT(stack); i++)
        if (stack[i] != one->seed + i)
            ck_abort_msg("%s, %s: the stack has changed", one->ring->ops->about.name,
                         form_names[one->ring->form]);
}

static void for_ever_live(void *argument)
{
    for (;;)
        live_values(argument);
}

static bool works(const struct switch_ops *ops)
{
    return ops->works == NULL || ops->works();
}

START_TEST(live_values_and_stacks_survive_switches_under_signals)
{
    const struct switch_ops *ops = variants[_i / FORMS];
    struct ring ring;
    if (!works(ops))
        return;
    open_ring(&ring, ops, (enum form)(_i % FORMS), for_ever_live);
    start_signals();
    for (uint64_t i = 0; i < operations() / CONTEXTS || signals < 3; i++)
        live_values(&ring.ones[0]);
    stop_signals();
    for (unsigned i = 1; i < CONTEXTS; i++)
        ck_assert_uint_ge(ring.ones[i].rounds + 1, ring.ones[0].rounds);
    close_ring(&ring);
}
END_TEST

// ---- registers, one by one ----------------------------------------------------------------------

static const struct function *under_test;

static void patterned(struct one *one, struct random *random)
{
    struct registers in, out = {0};
    uint64_t *word = &in.rax;
    for (unsigned i = 0; i < sizeof(in) / sizeof(uint64_t); i++)
        word[i] = random_u64(random);
    in.flags = (in.flags & FLAGS_SEEN) | FLAGS_ON;
    with_registers(&in, &out, one->context, one->ring->ones[(one->number + 1) % CONTEXTS].context,
                   under_test->function);
    const char *changed = what_changed(under_test->kept, &in, &out);
    if (changed != NULL)
        ck_abort_msg("%s: %s has changed; flags %lx, then %lx", under_test->name, changed,
                     (unsigned long)in.flags, (unsigned long)out.flags);
    one->rounds++;
}

static void for_ever_patterned(void *argument)
{
    struct one *one = argument;
    struct random random = random_seeded(one->seed);
    for (;;)
        patterned(one, &random);
}

START_TEST(every_register_that_a_function_keeps_comes_back_under_signals)
{
    struct ring ring;
    under_test = &functions[_i];
    struct random random = seeded_for(under_test->name);
    open_ring(&ring, under_test->ops, under_test->form, for_ever_patterned);
    start_signals();
    for (uint64_t i = 0; i < operations() / CONTEXTS || signals < 3; i++)
        patterned(&ring.ones[0], &random);
    stop_signals();
    close_ring(&ring);
}
END_TEST

// ---- x87 and SSE state --------------------------------------------------------------------------

static uint64_t low_of_xmm7(void)
{
    uint64_t value;
    __asm__ volatile("movq %%xmm7, %0" : "=r"(value));
    return value;
}

// Another rounding mode in each context (bits 14:13) and another number in a vector register.
static void vectored(struct one *one)
{
    const uint32_t own = 0x1f80u | (one->number % 4) << 13;
    const uint64_t number = one->seed ^ one->rounds;
    struct ring *ring = one->ring;
    set_mxcsr(own);
    __asm__ volatile("movq %0, %%xmm7" : : "r"(number) : "xmm7");
    leave(ring->ops, ring->form, one->context, ring->ones[(one->number + 1) % CONTEXTS].context);
    if (ring->vector && (read_mxcsr() != own || low_of_xmm7() != number))
        ck_abort_msg("%s, %s: vector state has changed", ring->ops->about.name,
                     form_names[ring->form]);
    ring->mxcsr[one->number] = read_mxcsr();
    one->rounds++;
}

static void for_ever_vectored(void *argument)
{
    for (;;)
        vectored(argument);
}

START_TEST(vector_state_is_kept_by_those_that_say_so_and_by_no_others)
{
    const struct switch_ops *ops = variants[_i / FORMS];
    struct ring ring;
    if (!works(ops))
        return;
    open_ring(&ring, ops, (enum form)(_i % FORMS), for_ever_vectored);
    ring.vector = keeps_vectors(ops);
    for (uint64_t i = 0; i < 1000; i++)
        vectored(&ring.ones[0]);
    // The one before the first rounds its own way: that is what the first finds if nobody keeps it.
    const uint32_t last = 0x1f80u | ((CONTEXTS - 2) % 4) << 13;
    if (!ring.vector)
        ck_assert_uint_eq(ring.mxcsr[CONTEXTS - 1], last);
    set_mxcsr(MXCSR_USUAL);
    close_ring(&ring);
}
END_TEST

// ---- layout -------------------------------------------------------------------------------------

START_TEST(contexts_have_the_sizes_and_alignments_of_the_design)
{
    ck_assert_uint_eq(switch_windowed_ops.context_bytes, 16);
    ck_assert_uint_eq(switch_windowed_ops.context_alignment, 16);
    ck_assert_uint_eq(switch_windowed_ops.register_bytes, 16);
    ck_assert_uint_eq(switch_full_ops.context_bytes, 64);
    ck_assert_uint_eq(switch_full_ops.context_alignment, 64);
    ck_assert_uint_eq(switch_full_ops.register_bytes, 64);
    ck_assert_uint_eq(switch_classic_ops.register_bytes, 128);
    for (unsigned i = 0; i < ARRAY_COUNT(variants); i++) {
        ck_assert_uint_eq(variants[i]->context_bytes % variants[i]->context_alignment, 0);
        ck_assert_uint_le(variants[i]->context_alignment, 64);
    }
}
END_TEST

struct begun {
    uintptr_t stack;
    void *argument;
    void *back, *own;
};

static void begin(void *argument)
{
    struct begun *begun = argument;
    begun->stack = (uintptr_t)__builtin_frame_address(0);
    begun->argument = argument;
    for (;;)
        switch_full_ops.jmp(begun->own, begun->back);
}

START_TEST(a_new_context_begins_aligned_with_its_argument_on_its_own_stack)
{
    uint8_t *stack = malloc(STACK_BYTES);
    struct begun begun = {.back = aligned_alloc(64, 64), .own = aligned_alloc(64, 64)};
    for (unsigned odd = 0; odd < 16; odd += 5) { // a top that is not aligned does as well
        switch_full_ops.make(begun.own, stack + STACK_BYTES - odd, begin, &begun, false);
        switch_full_ops.jmp(begun.back, begun.own);
        ck_assert_ptr_eq(begun.argument, &begun);
        ck_assert(begun.stack > (uintptr_t)stack && begun.stack < (uintptr_t)stack + STACK_BYTES);
        ck_assert_uint_eq(begun.stack % 16, 0);
    }
    free(begun.back);
    free(begun.own);
    free(stack);
}
END_TEST

static Suite *switch_suite(void)
{
    Suite *suite = suite_create("switch");
    TCase *all = tcase_create("every switch");
    const int forms = (int)ARRAY_COUNT(variants) * FORMS;
    tcase_set_timeout(all, 300);
    tcase_add_test(all, contexts_have_the_sizes_and_alignments_of_the_design);
    tcase_add_test(all, a_new_context_begins_aligned_with_its_argument_on_its_own_stack);
    tcase_add_loop_test(all, live_values_and_stacks_survive_switches_under_signals, 0, forms);
    tcase_add_loop_test(all, every_register_that_a_function_keeps_comes_back_under_signals, 0,
                        (int)ARRAY_COUNT(functions));
    tcase_add_loop_test(all, vector_state_is_kept_by_those_that_say_so_and_by_no_others, 0, forms);
    suite_add_tcase(suite, all);
    return suite;
}

int main(void)
{
    return run_checks(switch_suite());
}
