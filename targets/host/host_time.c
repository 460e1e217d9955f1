// SPDX-License-Identifier: MIT
#include "host_time.h"

#include <stdio.h>
#include <string.h>

#include "platform.h"

#define SOURCES "/sys/devices/system/clocksource/clocksource0/available_clocksource"

struct host_time host_time;

// The kernel withdraws it as soon as it finds that it is not the same on all CPUs.
static bool kernel_offers_ticks(void)
{
    char line[256] = "";
    bool found = false;
    FILE *file = fopen(SOURCES, "r");
    if (file == NULL)
        return false;
    if (fgets(line, sizeof(line), file) != NULL) {
        char *rest = line;
        for (char *word; (word = strtok_r(rest, " \n", &rest)) != NULL;)
            found = found || strcmp(word, "tsc") == 0;
    }
    fclose(file);
    return found;
}

void host_time_init(void)
{
    const uint64_t hz = platform_clock_hz();
    if (host_time.start_ns != 0)
        return;
    host_time.by_ticks = hz != 0 && cpu_has_invariant_ticks() && kernel_offers_ticks();
    if (host_time.by_ticks)
        host_time.ns_per_tick = (uint64_t)(((unsigned __int128)1000000000u << 32) / hz);
    host_time.start_ticks = cpu_ticks_start();
    host_time.start_ns = host_time_of_kernel_ns();
}
