// SPDX-License-Identifier: MIT
#include "switch_peers.h"

#include <dlfcn.h>
#include <gnu/libc-version.h>
#include <linux/futex.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <ucontext.h>

#include "platform.h"

bool switch_peers_only_listed;

struct switch_transfer (*switch_fcontext_jump)(void *place, void *data);
int (*switch_ucontext_swap)(void *from, const void *to);

static void *(*make_fcontext)(void *top, size_t bytes, void (*function)(struct switch_transfer));
static long (*system_call)(long number, ...);

// ---- fcontext -----------------------------------------------------------------------------------

struct fcontext_begin {
    void (*function)(void *argument);
    void *argument;
};

// Learns what it is to do, goes back at once, and does it when it is switched to.
static void begin_fcontext(struct switch_transfer came)
{
    const struct fcontext_begin begin = *(const struct fcontext_begin *)came.data;
    came = switch_fcontext_jump(came.place, NULL);
    ((struct switch_fcontext *)came.data)->place = came.place;
    begin.function(begin.argument);
}

void switch_fcontext_make(void *context, void *top, void (*function)(void *argument),
                          void *argument, bool by_ret)
{
    struct fcontext_begin begin = {.function = function, .argument = argument};
    (void)by_ret;
    void *const place = make_fcontext(top, SWITCH_STACK_LEAST, begin_fcontext);
    ((struct switch_fcontext *)context)->place = switch_fcontext_jump(place, &begin).place;
}

// ---- ucontext -----------------------------------------------------------------------------------

_Static_assert(sizeof(ucontext_t) <= sizeof(struct switch_ucontext), "it is one");

// makecontext passes numbers of the size of int.
static void begin_ucontext(unsigned high, unsigned low, unsigned argument_high,
                           unsigned argument_low)
{
    void (*const function)(void *) = (void (*)(void *))((uintptr_t)high << 32 | low);
    function((void *)((uintptr_t)argument_high << 32 | argument_low));
}

void switch_ucontext_make(void *context, void *top, void (*function)(void *argument),
                          void *argument, bool by_ret)
{
    ucontext_t *const made = context;
    const uintptr_t code = (uintptr_t)function, data = (uintptr_t)argument;
    (void)by_ret;
    if (getcontext(made) != 0)
        platform_panic("getcontext fails", __FILE__, __LINE__);
    made->uc_link = NULL;
    made->uc_stack.ss_sp = (char *)top - SWITCH_STACK_LEAST;
    made->uc_stack.ss_size = SWITCH_STACK_LEAST;
    makecontext(made, (void (*)(void))begin_ucontext, 4, (unsigned)(code >> 32), (unsigned)code,
                (unsigned)(data >> 32), (unsigned)data);
}

// ---- futex --------------------------------------------------------------------------------------

_Static_assert(sizeof(pthread_t) == sizeof(unsigned long), "a thread's name");

static void let_go_on(struct switch_futex *one)
{
    // Release: whoever sees its turn sees what was done in the turn before.
    __atomic_store_n(&one->turn, 1, __ATOMIC_RELEASE);
    system_call(SYS_futex, &one->turn, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

static void wait_for_turn(struct switch_futex *one)
{
    while (__atomic_load_n(&one->turn, __ATOMIC_ACQUIRE) == 0)
        system_call(SYS_futex, &one->turn, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0);
    __atomic_store_n(&one->turn, 0, __ATOMIC_RELAXED);
    if (one->ended)
        longjmp(*(jmp_buf *)one->end, 1);
}

void *switch_futex(void *from, void *to)
{
    let_go_on(to);
    wait_for_turn(from);
    return from;
}

static void *be_context(void *context)
{
    struct switch_futex *const one = context;
    jmp_buf end;
    one->end = &end;
    if (setjmp(end) == 0) {
        wait_for_turn(one);
        one->function(one->argument);
    }
    return NULL;
}

void switch_futex_make(void *context, void *top, void (*function)(void *argument), void *argument,
                       bool by_ret)
{
    struct switch_futex *const made = context;
    (void)top;
    (void)by_ret;
    *made = (struct switch_futex){.function = function, .argument = argument};
    if (pthread_create(&made->thread, NULL, be_context, made) != 0)
        platform_panic("no thread", __FILE__, __LINE__);
}

void switch_futex_stop(void *context)
{
    struct switch_futex *const one = context;
    one->ended = 1;
    let_go_on(one);
    pthread_join(one->thread, NULL);
}

// ---- as libraries -------------------------------------------------------------------------------

static const char *bind_fcontext(void *handle)
{
    *(void **)&make_fcontext = dlsym(handle, "make_fcontext");
    *(void **)&switch_fcontext_jump = dlsym(handle, "jump_fcontext");
    if (make_fcontext != NULL && switch_fcontext_jump != NULL)
        return NULL;
    switch_fcontext_jump = NULL;
    return "jump_fcontext or make_fcontext";
}

static const char *bind_ucontext(void *handle)
{
    *(void **)&switch_ucontext_swap = dlsym(handle, "swapcontext");
    return switch_ucontext_swap == NULL ? "swapcontext" : NULL;
}

static const char *bind_futex(void *handle)
{
    *(void **)&system_call = dlsym(handle, "syscall");
    return system_call == NULL ? "syscall" : NULL;
}

static void tell_glibc(void *handle, const char *path, char *text, size_t capacity)
{
    (void)handle;
    (void)path;
    snprintf(text, capacity, "glibc %s", gnu_get_libc_version());
}

struct library switch_peers_libraries[SWITCH_PEERS_COUNT] = {
    {.name = "fcontext",
     .file = "/usr/lib/*/libboost_context.so.*",
     .bind = bind_fcontext,
     .tell = library_tell_file},
    {.name = "ucontext",
     .file = "libc.so.6",
     .own = true,
     .bind = bind_ucontext,
     .tell = tell_glibc},
    {.name = "futex",
     .file = "libc.so.6",
     .own = true,
     .bind = bind_futex,
     .tell = library_tell_system},
};
