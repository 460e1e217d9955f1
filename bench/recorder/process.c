// SPDX-License-Identifier: MIT
#include "process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common.h"
#include "unwind.h"

// ---- the command -------------------------------------------------------------------------------

// Returns the word with each {name} replaced; free() it.
static char *replace(char *word, const char *name, const char *value)
{
    struct buffer out = {0};
    for (const char *at = word; *at != '\0';) {
        if (strncmp(at, name, strlen(name)) == 0) {
            buffer_add(&out, value, strlen(value));
            at += strlen(name);
        } else {
            buffer_add(&out, at++, 1);
        }
    }
    buffer_add(&out, "", 1);
    free(word);
    return (char *)out.bytes;
}

static char **fill_in(char *const *words, int line, int qmp, const char *arguments)
{
    size_t count = 0;
    char line_text[16], qmp_text[16];
    while (words[count] != NULL)
        count++;
    char **filled = memory_get((count + 1) * sizeof(*filled));
    text_format(line_text, sizeof(line_text), "%d", line);
    text_format(qmp_text, sizeof(qmp_text), "%d", qmp);
    for (size_t i = 0; i < count; i++) {
        filled[i] = replace(memory_text(words[i]), "{line}", line_text);
        filled[i] = replace(filled[i], "{qmp}", qmp_text);
        filled[i] = replace(filled[i], "{arguments}", arguments);
    }
    return filled;
}

static void free_words(char **words)
{
    for (size_t i = 0; words[i] != NULL; i++)
        free(words[i]);
    free(words);
}

static bool uses(char *const *words, const char *name)
{
    for (size_t i = 0; words[i] != NULL; i++) {
        if (strstr(words[i], name) != NULL)
            return true;
    }
    return false;
}

// ---- start -------------------------------------------------------------------------------------

// The ends of all channels: [0] ours, [1] the target's.
struct channels {
    int line[2], qmp[2], output[2], report[2];
};

static void close_pair(int pair[2], unsigned which)
{
    if (pair[which] >= 0)
        close(pair[which]);
    pair[which] = -1;
}

static void close_side(struct channels *channels, unsigned which)
{
    close_pair(channels->line, which);
    close_pair(channels->qmp, which);
    close_pair(channels->output, which);
    close_pair(channels->report, which);
}

// All are close-on-exec, so that a target has its own ends and nothing else.
static bool open_channels(struct channels *channels, bool with_qmp)
{
    *channels = (struct channels){{-1, -1}, {-1, -1}, {-1, -1}, {-1, -1}};
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, channels->line) != 0 ||
        (with_qmp && socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, channels->qmp) != 0) ||
        pipe2(channels->output, O_CLOEXEC) != 0 || pipe2(channels->report, O_CLOEXEC) != 0) {
        close_side(channels, 0);
        close_side(channels, 1);
        return false;
    }
    return true;
}

static void set_flags(int fd)
{
    if (fd >= 0)
        fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
}

// In the child: never returns. errno goes through the report pipe if the program cannot run.
static void become_target(const struct channels *channels, char **words, pid_t parent)
{
    sigset_t none;
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(127); // the recorder died before the kernel knew to tell
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGPIPE, SIG_DFL);
    signal(SIGXFSZ, SIG_DFL);
    const int nothing = open("/dev/null", O_RDWR);
    dup2(nothing, 0);
    dup2(channels->output[1], 1);
    dup2(channels->output[1], 2);
    if (nothing > 2)
        close(nothing);
    fcntl(channels->line[1], F_SETFD, 0);
    if (channels->qmp[1] >= 0)
        fcntl(channels->qmp[1], F_SETFD, 0);
    execvp(words[0], words);
    const int reason = errno;
    write_all(channels->report[1], &reason, sizeof(reason));
    _exit(127);
}

static void explain(const char *program, int reason, char *why, size_t capacity)
{
    char name[256];
    text_clean(name, sizeof(name), program, strlen(program));
    const char *base = strrchr(name, '/') != NULL ? strrchr(name, '/') + 1 : name;
    const bool qemu = strncmp(base, "qemu-system-", 12) == 0;
    text_format(why, capacity, "cannot run %s: %s%s", name, strerror(reason),
                reason != ENOENT ? ""
                : qemu           ? ": install the Debian package qemu-system-x86"
                                 : ": build it first, or give the path of an existing program");
}

bool process_start(struct process *process, char *const *words, const char *arguments, char *why,
                   size_t capacity)
{
    struct channels channels;
    const pid_t parent = getpid();
    int reason = 0;
    *process = (struct process){.line = -1, .qmp = -1, .output = -1};
    if (!open_channels(&channels, uses(words, "{qmp}"))) {
        text_format(why, capacity, "cannot make the target's line: %s", strerror(errno));
        return false;
    }
    char **filled = fill_in(words, channels.line[1], channels.qmp[1], arguments);
    process->pid = fork();
    if (process->pid == 0)
        become_target(&channels, filled, parent);
    const bool forked = process->pid > 0;
    if (!forked) {
        text_format(why, capacity, "cannot start a process: %s", strerror(errno));
        process->pid = 0;
    } else {
        setpgid(process->pid, process->pid); // whoever comes first: both make it so
    }
    close_side(&channels, 1);
    const ssize_t got = forked ? read(channels.report[0], &reason, sizeof(reason)) : 0;
    close_pair(channels.report, 0);
    process->line = channels.line[0];
    process->qmp = channels.qmp[0];
    process->output = channels.output[0];
    set_flags(process->line);
    set_flags(process->qmp);
    set_flags(process->output);
    if (got > 0)
        explain(filled[0], reason, why, capacity);
    free_words(filled);
    if (forked && got <= 0)
        return true;
    process_end(process);
    return false;
}

// ---- end ---------------------------------------------------------------------------------------

// The group is killed while the dead leader still holds its number, so that no other group can have
// it.
static void reap(struct process *process)
{
    kill(-process->pid, SIGKILL);
    while (waitpid(process->pid, &process->status, 0) < 0 && errno == EINTR)
        continue;
    process->ended = true;
}

void process_poll(struct process *process)
{
    siginfo_t info = {.si_pid = 0};
    if (process->pid > 0 && !process->ended &&
        waitid(P_PID, (id_t)process->pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
        info.si_pid == process->pid)
        reap(process);
}

void process_end(struct process *process)
{
    if (process->pid > 0 && !process->ended) {
        kill(process->pid, SIGKILL); // should it not have made its group yet
        reap(process);
    }
    int *const files[] = {&process->line, &process->qmp, &process->output};
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        if (*files[i] >= 0)
            close(*files[i]);
        *files[i] = -1;
    }
}

void process_describe(const struct process *process, char *out, size_t capacity)
{
    if (WIFSIGNALED(process->status))
        text_format(out, capacity, "killed by signal %d (%s)", WTERMSIG(process->status),
                    strsignal(WTERMSIG(process->status)));
    else
        text_format(out, capacity, "exit code %d", WEXITSTATUS(process->status));
}

// ---- registers ---------------------------------------------------------------------------------

static bool runs_image(pid_t pid, const char *image)
{
    char path[64];
    struct stat running, asked;
    text_format(path, sizeof(path), "/proc/%d/exe", (int)pid);
    return stat(path, &running) == 0 && stat(image, &asked) == 0 &&
           running.st_dev == asked.st_dev && running.st_ino == asked.st_ino;
}

// Waits for the stop that was asked for, a second at most.
static bool wait_stopped(pid_t pid)
{
    for (unsigned i = 0; i < 100; i++) {
        int status;
        const pid_t changed = waitpid(pid, &status, WNOHANG | __WALL);
        if (changed == pid)
            return WIFSTOPPED(status);
        usleep(10000);
    }
    return false;
}

bool process_state(const struct process *process, const char *image, struct machine_state *state)
{
    struct user_regs_struct r;
    if (process->pid <= 0 || process->ended || ptrace(PTRACE_SEIZE, process->pid, NULL, NULL) != 0)
        return false;
    if (ptrace(PTRACE_INTERRUPT, process->pid, NULL, NULL) != 0 || !wait_stopped(process->pid) ||
        ptrace(PTRACE_GETREGS, process->pid, NULL, &r) != 0) {
        ptrace(PTRACE_DETACH, process->pid, NULL, NULL);
        return false;
    }
    const uint64_t registers[RECORD_REGISTERS] = {r.rax, r.rbx, r.rcx, r.rdx, r.rsi, r.rdi,
                                                  r.rbp, r.rsp, r.r8,  r.r9,  r.r10, r.r11,
                                                  r.r12, r.r13, r.r14, r.r15};
    *state = (struct machine_state){.rip = r.rip, .rflags = r.eflags};
    memcpy(state->registers, registers, sizeof(registers));
    state->named = runs_image(process->pid, image);
    // A stack near its end: the piece is read page by page, so that what is there is read.
    while (state->stack_length < RECORD_STACK_MOST) {
        const uint64_t from = r.rsp + state->stack_length;
        size_t most = 4096 - from % 4096;
        if (most > RECORD_STACK_MOST - state->stack_length)
            most = RECORD_STACK_MOST - state->stack_length;
        const struct iovec ours = {state->stack + state->stack_length, most};
        const struct iovec theirs = {(void *)(uintptr_t)from, most};
        if (process_vm_readv(process->pid, &ours, 1, &theirs, 1, 0) != (ssize_t)most)
            break;
        state->stack_length += most;
    }
    ptrace(PTRACE_DETACH, process->pid, NULL, NULL);
    return true;
}
