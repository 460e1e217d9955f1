// SPDX-License-Identifier: MIT
// A target for line-fault runs: the framework's own report and answers over a socket, with results
// that only the seed and the session decide, and no benchmarks, so that it is done in no time.
//
// line_target FD ARGUMENTS
// line_target FD ARGUMENTS FASTEST    waits to be met first, as a machine that a person booted.
// Each
//   packet to FD, a SOCK_SEQPACKET, begins with a byte: 0: data; 1: the speed from here on, u32.
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "answer.h"
#include "compiler.h"
#include "format.h"
#include "meet.h"
#include "random.h"
#include "test_platform.h"

#define CASES       8u
#define VARIANTS    3u
#define ROUNDS      2u
#define STREAM_MOST (4u << 20)
#define GIVEN_UP_MS 1000
#define SPEED       115200u
#define PATIENCE_NS 60000000000u

static int line;
static bool as_packets;
static struct options options;
static struct clock measured = {.class = PLATFORM_CLOCK_EMULATED};
static struct report report;
static struct random chance;
static uint8_t memory[STREAM_MOST];
static int64_t samples[ROUNDS][RECORD_SAMPLES_MOST], tags[RECORD_SAMPLES_MOST];
static uint8_t first_tags[RECORD_SAMPLES_MOST];

static ssize_t send_some(const char *at, size_t length)
{
    uint8_t packet[1 + 1024];
    if (!as_packets)
        return send(line, at, length, MSG_DONTWAIT | MSG_NOSIGNAL);
    const size_t piece = length < sizeof(packet) - 1 ? length : sizeof(packet) - 1;
    packet[0] = 0;
    memcpy(packet + 1, at, piece);
    const ssize_t sent = send(line, packet, piece + 1, MSG_DONTWAIT | MSG_NOSIGNAL);
    return sent > 0 ? sent - 1 : sent;
}

static size_t write_line(const void *bytes, size_t length)
{
    const char *at = bytes;
    while (length > 0) {
        struct pollfd wait = {.fd = line, .events = POLLOUT};
        const ssize_t sent = send_some(at, length);
        if (sent > 0) {
            at += sent;
            length -= (size_t)sent;
        } else if (errno != EAGAIN || poll(&wait, 1, GIVEN_UP_MS) <= 0) {
            break;
        }
    }
    return length;
}

static size_t read_line(void *bytes, size_t capacity)
{
    struct pollfd wait = {.fd = line, .events = POLLIN};
    poll(&wait, 1, as_packets ? 5 : 1); // the recorder and the proxy share this computer
    const ssize_t got = recv(line, bytes, capacity, MSG_DONTWAIT);
    return got > 0 ? (size_t)got : 0;
}

// ---- what is planned ----------------------------------------------------------------------------

static const struct variant abouts[VARIANTS] = {
    {.name = "one", .what = "the first", .role = VARIANT_BASELINE},
    {.name = "two", .what = "the second", .role = VARIANT_PRODUCT},
    {.name = "three", .what = "the third", .role = VARIANT_FLOOR},
};
static const struct bench_variant variants[VARIANTS] = {
    {.about = &abouts[0]}, {.about = &abouts[1]}, {.about = &abouts[2]}};
static char names[CASES][16];
static struct bench_case cases[CASES];
static const struct bench_suite suite = {.name = "line",
                                         .what = "results that only the seed decides",
                                         .cases = cases,
                                         .case_count = CASES,
                                         .variants = variants,
                                         .variant_count = VARIANTS};

static struct row row_of(unsigned which, unsigned variant)
{
    return (struct row){.index = which * VARIANTS + variant,
                        .suite = &suite,
                        .bench_case = &cases[which],
                        .variant = &variants[variant],
                        .definition = which + 1,
                        .operations = 16};
}

static void plan(void)
{
    report_fact(&report, "target", "decided by its seed");
    report_plan(&report, CASES * VARIANTS, CASES, STREAM_MOST);
    for (unsigned i = 0; i < CASES; i++) {
        format(names[i], sizeof(names[i]), "case_%u", i);
        cases[i] = (struct bench_case){
            .name = names[i], .what = "is decided by the seed", .operations = 16, .seconds = 60};
        for (unsigned k = 0; k < VARIANTS; k++) {
            const struct row row = row_of(i, k);
            report_plan_row(&report, &row, ROUNDS, options.samples);
        }
    }
}

// ---- what is measured ---------------------------------------------------------------------------

static void run_row(const struct row *row)
{
    for (unsigned round = 0; round < ROUNDS; round++) {
        for (uint64_t i = 0; i < options.samples; i++) {
            samples[round][i] = (int64_t)random_below(&chance, 100000);
            tags[i] = random_below(&chance, 10) == 0 ? RECORD_TAG_PREEMPTION : 0;
            first_tags[i] = round == 0 ? (uint8_t)tags[i] : first_tags[i];
        }
        report_round(&report, row,
                     &(struct round){.number = round,
                                     .operations = 16,
                                     .overhead = 3,
                                     .cold = (int64_t)random_below(&chance, 1000000),
                                     .samples = samples[round],
                                     .tags = tags,
                                     .count = options.samples});
    }
    report_counter(&report, row, "hits", random_below(&chance, 1000), 1000, "ratio");
    report_finish(&report, row, samples[0], first_tags, options.samples, 0);
}

static void run_case(unsigned which)
{
    char id[RECORD_NAME_MOST + 1];
    bench_row_id(&suite, &cases[which], NULL, id);
    report_begin(&report, which, id, which * VARIANTS, VARIANTS, 60);
    for (unsigned i = 0; i < VARIANTS; i++) {
        const struct row row = row_of(which, i);
        run_row(&row);
        report_log(&report, "row %u of case %u is done", i, which);
    }
    answer_between(&report);
}

// ---- a machine that nobody started --------------------------------------------------------------

static bool set_speed(uint32_t speed)
{
    uint8_t packet[5] = {1};
    meet_put_u32(packet + 1, speed);
    return send(line, packet, sizeof(packet), MSG_NOSIGNAL) == sizeof(packet);
}

// Adds what the host says to the words. False if none came.
static bool be_met(const char *fastest, char *words, size_t capacity)
{
    static struct meet meet;
    const struct meet_line ends = {.write = write_line,
                                   .read = read_line,
                                   .set_speed = set_speed,
                                   .clock_ns = platform_clock_ns,
                                   .fastest = (uint32_t)atoi(fastest),
                                   .speed = SPEED};
    as_packets = true;
    const uint64_t now = platform_clock_ns() ^ (uint64_t)getpid() << 40;
    meet_init(&meet, &ends, (uint32_t)(now * 0x9e3779b97f4a7c15u >> 32) | 1, test_build_id,
              sizeof(test_build_id));
    if (!meet_host(&meet, PATIENCE_NS))
        return false;
    const size_t length = strlen(words);
    snprintf(words + length, capacity - length, " %s", meet.words);
    return true;
}

int main(int count, char **words)
{
    char why[256], given[4096];
    if (count < 3 || count > 4)
        return 2;
    snprintf(given, sizeof(given), "%s", words[2]);
    line = atoi(words[1]);
    test_line_write = write_line;
    test_line_read = read_line;
    for (uint8_t i = 0; i < sizeof(test_build_id); i++)
        test_build_id[i] = i;
    if (count == 4 && !be_met(words[3], given, sizeof(given)))
        return 1;
    if (!options_read(given, &options, why, sizeof(why))) {
        fprintf(stderr, "%s\n", why);
        return 2;
    }
    test_build_id_length = sizeof(test_build_id); // that of the recorder's tests
    // Rows of two sessions of one seed are never the same: none passes for the other's.
    chance = random_seeded(options.seed ^ (uint64_t)options.session << 32);
    options.samples = options.samples != 0 ? options.samples : 200;
    report_open(&report, &options, &measured, memory, sizeof(memory));
    plan();
    for (unsigned i = 0; i < CASES; i++)
        run_case(i);
    report_end(&report, true);
    return 0;
}
