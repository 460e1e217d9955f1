// SPDX-License-Identifier: MIT
// Last words of the host program: signals and failed assertions become the same PANIC and STACK
// frames that the kernel sends.
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include "host.h"
#include "platform.h"
#include "record.h"
#include "wire.h"

#define REPORT_SECONDS_MOST 10
#define SHOW_SIGNAL         SIGUSR1
#define SEQUENCE            0x80000000u // far above the run's own control frames

static struct wire_sender sender;
static uint8_t payload[WIRE_PAYLOAD_MOST];
static char reason[RECORD_TEXT_MOST];
static int reporting;

// session= and output= of the command line, read without the framework.
static unsigned long number_of(const char *name)
{
    const char *at = strstr(host.arguments, name);
    return at != NULL ? strtoul(at + strlen(name), NULL, 10) : 0;
}

// Where the running thread's stack ends; NULL if that is not known.
static const char *stack_top(void)
{
    pthread_attr_t attributes;
    void *lowest;
    size_t bytes;
    if (host_cpu_index() == 0)
        return host.stack_top;
    if (pthread_getattr_np(pthread_self(), &attributes) != 0)
        return NULL;
    pthread_attr_getstack(&attributes, &lowest, &bytes);
    return (const char *)lowest + bytes;
}

static void send_stack(uint64_t rsp)
{
    const char *from = (const char *)rsp, *top = stack_top();
    if (top == NULL || from >= top || top - from > (8 << 20))
        return; // on no stack that is known
    size_t length = (size_t)(top - from);
    if (length > RECORD_STACK_MOST)
        length = RECORD_STACK_MOST;
    wire_send(&sender, WIRE_CONTROL, WIRE_STACK, from, length);
}

static void report(const struct record_panic *panic)
{
    struct record_writer writer;
    if (strstr(host.arguments, "output=framed") == NULL) {
        dprintf(host.line, "\npanic: %s\npanic: rip %016lx rsp %016lx\n", panic->reason, panic->rip,
                panic->rsp);
        return;
    }
    wire_sender_init(&sender, (uint32_t)number_of("session="), platform_line_write);
    sender.sequence[WIRE_CONTROL] = SEQUENCE;
    record_writer_init(&writer, payload, sizeof(payload));
    record_put_panic(&writer, panic);
    // More than once: nobody will be there to send again what gets lost.
    for (unsigned copy = 0; copy < WIRE_COPIES; copy++) {
        wire_send(&sender, WIRE_CONTROL, WIRE_PANIC, payload, writer.length);
        sender.offset[WIRE_CONTROL] = 0; // offsets of STACK count from RSP
        send_stack(panic->rsp);
    }
}

// The vectors the same events have on the machine.
static unsigned vector_of(int signal)
{
    switch (signal) {
    case SIGFPE:
        return 0;
    case SIGILL:
        return 6;
    case SIGSEGV:
        return 14;
    case SIGBUS:
        return 17;
    default:
        return RECORD_NO_VECTOR;
    }
}

// One thread reports. Another one that gets here meanwhile waits for the end, which is near; the
// same one once more has failed in its report.
static void begin(void)
{
    static pthread_t reporter;
    if (__atomic_exchange_n(&reporting, 1, __ATOMIC_ACQ_REL) == 0) {
        reporter = pthread_self();
        return;
    }
    if (pthread_equal(reporter, pthread_self()))
        _exit(1);
    sleep(REPORT_SECONDS_MOST);
    _exit(1);
}

static struct record_panic from_context(const ucontext_t *context)
{
    static const int order[RECORD_REGISTERS] = {
        REG_RAX, REG_RBX, REG_RCX, REG_RDX, REG_RSI, REG_RDI, REG_RBP, REG_RSP,
        REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};
    const greg_t *saved = context->uc_mcontext.gregs;
    struct record_panic panic = {.error = (uint64_t)saved[REG_ERR],
                                 .rip = (uint64_t)saved[REG_RIP],
                                 .rsp = (uint64_t)saved[REG_RSP],
                                 .rflags = (uint64_t)saved[REG_EFL],
                                 .cr2 = (uint64_t)saved[REG_CR2],
                                 // Not through the CPU base: it may be what is broken.
                                 .cpu = host_cpu_index()};
    for (unsigned i = 0; i < RECORD_REGISTERS; i++)
        panic.registers[i] = (uint64_t)saved[order[i]];
    return panic;
}

static void on_signal(int signal, siginfo_t *info, void *context)
{
    begin();
    struct record_panic panic = from_context(context);
    const char *address = info->si_addr;
    const bool stack = signal == SIGSEGV && address < (const char *)panic.rsp + 65536 &&
                       address > (const char *)panic.rsp - 65536;
    if (signal == SHOW_SIGNAL)
        snprintf(reason, sizeof(reason), "CPU %u does not finish", (unsigned)panic.cpu);
    else
        snprintf(reason, sizeof(reason), "%s%s at %p", stack ? "stack overflow: " : "",
                 strsignal(signal), info->si_addr);
    panic.reason = reason;
    panic.vector = vector_of(signal);
    report(&panic);
    _exit(1);
}

void host_signal_stack(void)
{
    const size_t bytes = 64 << 10;
    char *stack = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (stack == MAP_FAILED)
        host_refuse("mmap of a signal stack");
    const stack_t alternate = {.ss_sp = stack, .ss_size = bytes};
    sigaltstack(&alternate, NULL);
}

void host_signals_init(void)
{
    const int signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SHOW_SIGNAL};
    struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    host_signal_stack();
    for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
        sigaction(signals[i], &action, NULL);
}

_Noreturn void host_show(pthread_t thread)
{
    pthread_kill(thread, SHOW_SIGNAL);
    sleep(REPORT_SECONDS_MOST); // the thread ends the process
    _exit(1);
}

_Noreturn void platform_panic(const char *text, const char *file, unsigned line)
{
    ucontext_t context = {0};
    begin();
    getcontext(&context);
    struct record_panic panic = from_context(&context);
    snprintf(reason, sizeof(reason), "%s:%u: %s", file, line, text);
    panic.reason = reason;
    panic.vector = RECORD_NO_VECTOR;
    report(&panic);
    _exit(1);
}
