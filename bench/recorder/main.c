// SPDX-License-Identifier: MIT
// The recorder: starts a target, survives it, and writes the store.
#include <signal.h>
#include <string.h>

#include "commands.h"

static const char usage[] =
    "recorder bench OPTION=VALUE... -- COMMAND ARG...\n"
    "    starts COMMAND once a boot and stores what it measures. In its words {line} stands for "
    "the\n"
    "    fd of the serial line, {qmp} for that of QMP, {arguments} for the target's command line.\n"
    "    run=ID target=host|qemu|baremetal machine=NAME image=ELF results=DIR boots=N\n"
    "    commit=HEX|unknown dirty=0|1 size=quick|full success-exit=N\n"
    "    [clock=insn|tsc|emulated] [session=random|N] [arguments=\"...\"] [fact:KEY=VALUE ...]\n"
    "    [start-seconds=30] [idle-seconds=30] [boot-seconds=7200] [line-mib=256]\n"
    "recorder bench OPTION=VALUE... port=PATH [speed=115200] [flow=auto|on|off]\n"
    "    [menu-text=TEXT menu-key=C] [gone-seconds=600] [reset-seconds=180] [restarts=2]\n"
    "    the same of a machine at a serial port, which calls when it has booted\n"
    "recorder rebuild results=DIR    makes the store again from the captures\n"
    "recorder show FILE              prints a capture (stream.bin) as text\n"
    "exit codes: 0 complete, 2 usage, 30 the target could not start, 40 any other failure,\n"
    "130 or 143 stopped by SIGINT or SIGTERM (then nothing is stored)\n";

static int bench(int count, char **words)
{
    struct request request;
    const int code = request_read(&request, count, words) ? bench_command(&request) : EXIT_USAGE;
    request_free(&request);
    return code;
}

int main(int count, char **words)
{
    const char *command = count > 1 ? words[1] : "";
    // Both are noticed where the write fails.
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
    if (strcmp(command, "bench") == 0)
        return bench(count - 2, words + 2);
    if (strcmp(command, "rebuild") == 0 && count == 3 && strncmp(words[2], "results=", 8) == 0)
        return rebuild_command(words[2] + 8);
    if (strcmp(command, "show") == 0 && count == 3)
        return show_command(words[2]);
    if (strcmp(command, "help") == 0) {
        fputs(usage, stdout);
        return EXIT_COMPLETE;
    }
    complain("there are: bench OPTION=VALUE... -- COMMAND, rebuild results=DIR, show FILE, help");
    return EXIT_USAGE;
}
