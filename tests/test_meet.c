// SPDX-License-Identifier: MIT
// trace/meet and bench/recorder/meeting: the two halves against each other and against lines and
// hosts of all kinds, in a time of the test's own.
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "meet.h"
#include "meeting.h"
#include "random.h"
#include "run_checks.h"
#include "seed.h"

#define FIRST    115200u
#define MS_NS    1000000u
#define PATIENCE 30000u // ms
#define WORDS    "session=7 boot=0 suites=heap"

// The world between the two ends. Bytes of one turn arrive in the next.
static struct world {
    uint64_t now;   // ms
    uint32_t speed; // of the target
    uint32_t clean; // up to which the cable is good
    unsigned lost_percent;
    bool echoes, silent, babbles;
    struct random chance;
    struct meeting host;
    struct wire_decoder hears; // the host's
    uint8_t there[1 << 14];    // on the way to the target
    size_t there_length, there_read;
    unsigned calls, went; // CALLs said, and how often another speed was gone to
} world;

static void host_frame(void *context, const struct wire_header *header, const uint8_t *payload)
{
    (void)context;
    world.calls += header->type == WIRE_CALL;
    meeting_frame(&world.host, header, payload, (int64_t)world.now);
}

static bool arrives(void)
{
    return world.speed == world.host.speed && world.speed <= world.clean &&
           random_below(&world.chance, 100) >= world.lost_percent;
}

static void to_target(const void *bytes, size_t length)
{
    if (world.there_length + length > sizeof(world.there))
        return;
    memcpy(world.there + world.there_length, bytes, length);
    world.there_length += length;
}

static size_t target_writes(const void *bytes, size_t length)
{
    if (world.echoes)
        to_target(bytes, length);
    meeting_bytes(&world.host, bytes, length, (int64_t)world.now);
    if (!world.silent && arrives())
        wire_decode(&world.hears, bytes, length);
    return 0;
}

static void babble(void)
{
    uint8_t frame[WIRE_FRAME_MOST], payload[MEET_SPEED_BYTES];
    const struct wire_header header = {.version = WIRE_VERSION,
                                       .type = WIRE_SPEED,
                                       .channel = WIRE_CONTROL,
                                       .session = 5,
                                       .length = sizeof(payload)};
    meet_put_u32(payload, FIRST);
    to_target(frame, wire_encode(&header, payload, frame));
}

// A millisecond goes by; the host does what is due.
static void turn(void)
{
    world.now++;
    if (world.babbles && world.now % 100 == 0)
        babble();
    meeting_tick(&world.host, (int64_t)world.now);
    if (world.host.say.length > 0 && !world.silent && arrives())
        to_target(world.host.say.bytes, world.host.say.length);
    world.host.say.length = 0;
}

static size_t target_reads(void *bytes, size_t capacity)
{
    if (world.there_read == world.there_length) {
        world.there_read = world.there_length = 0;
        turn();
    }
    const size_t left = world.there_length - world.there_read;
    const size_t length = left < capacity ? left : capacity;
    memcpy(bytes, world.there + world.there_read, length);
    world.there_read += length;
    return length;
}

static bool target_speed(uint32_t speed)
{
    world.went += speed != world.speed;
    world.speed = speed;
    return true;
}

static uint64_t target_clock(void)
{
    return world.now * MS_NS;
}

static void begin(uint64_t seed)
{
    meeting_free(&world.host);
    world = (struct world){.now = 1000, .speed = FIRST, .clean = UINT32_MAX};
    world.chance = random_seeded(seed);
    meeting_init(&world.host, WORDS, FIRST);
    wire_decoder_init(&world.hears, (struct wire_sink){NULL, host_frame, NULL});
}

static bool meet_once(struct meet *meet, uint32_t fastest, uint32_t boot)
{
    static struct meet_line line;
    line = (struct meet_line){.write = target_writes,
                              .read = target_reads,
                              .set_speed = target_speed,
                              .clock_ns = target_clock,
                              .fastest = fastest,
                              .speed = FIRST};
    meet_init(meet, &line, boot, "id", 2);
    return meet_host(meet, PATIENCE * (uint64_t)MS_NS);
}

// ---- good and bad lines -------------------------------------------------------------------------

START_TEST(both_go_to_the_fastest_speed_that_both_have)
{
    static const struct {
        uint32_t fastest, agreed;
    } cases[] = {{115200, 115200},   {230400, 230400},   {921600, 921600}, {1843200, 921600},
                 {3906250, 3000000}, {4000000, 4000000}, {9600, 115200},   {1500000, 1500000}};
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct meet meet;
        begin(i);
        ck_assert(meet_once(&meet, cases[i].fastest, 5));
        ck_assert_str_eq(meet.words, WORDS);
        ck_assert_uint_eq(world.speed,
                          meet_divisor(cases[i].fastest, world.speed) != 0 ? world.speed : FIRST);
        ck_assert_uint_eq(world.host.speed, world.speed);
        if (cases[i].fastest != 3906250)
            ck_assert_uint_eq(world.speed, cases[i].agreed);
        ck_assert_int_eq(world.host.state, MEETING_STARTED);
        ck_assert_uint_le(world.now, 3000);
    }
}
END_TEST

START_TEST(a_speed_that_the_cable_does_not_carry_costs_seconds_and_nothing_else)
{
    struct meet meet;
    begin(1);
    world.clean = 300000;
    ck_assert(meet_once(&meet, 921600, 5));
    ck_assert_uint_eq(world.speed, 230400);
    ck_assert_uint_eq(world.host.speed, 230400);
    ck_assert_uint_le(world.now, 20000);
}
END_TEST

static void say_to_host(enum wire_type type, uint32_t offset, const void *payload, size_t length)
{
    const struct wire_header header = {.version = WIRE_VERSION,
                                       .type = (uint8_t)type,
                                       .channel = WIRE_CONTROL,
                                       .session = 5,
                                       .offset = offset,
                                       .length = (uint16_t)length};
    meeting_frame(&world.host, &header, payload, (int64_t)world.now);
}

// Up to the first probe at the speed that the host asks for.
static void go_where_asked(uint32_t fastest)
{
    uint8_t call[MEET_CALL_BYTES];
    meet_put_u32(call, MEET_VERSION);
    meet_put_u32(call + 4, fastest);
    meet_put_u32(call + 8, FIRST);
    say_to_host(WIRE_CALL, 0, call, sizeof(call));
    ck_assert_int_eq(world.host.state, MEETING_ASKS);
    meet_put_u32(call, world.host.asked);
    say_to_host(WIRE_SPEED_TAKEN, 0, call, MEET_SPEED_BYTES);
    ck_assert_int_eq(world.host.state, MEETING_PROBES);
}

// A target by hand that answers all probes but those of the bits. How many there were; *taken: the
// speed was.
static unsigned probe_without(uint32_t lost, uint64_t delay, bool *taken)
{
    uint8_t pattern[MEET_PATTERN_BYTES];
    uint64_t due[32] = {0};
    begin(1);
    go_where_asked(230400);
    unsigned probes = 0;
    for (; world.host.state == MEETING_PROBES; world.now++) {
        ck_assert_uint_le(world.now, 5000);
        meeting_tick(&world.host, (int64_t)world.now);
        for (; world.host.state == MEETING_PROBES && probes < world.host.turns; probes++)
            due[probes] = (lost >> probes & 1) == 0 ? world.now + delay : UINT64_MAX;
        for (uint32_t i = 0; i < probes; i++) {
            if (due[i] != world.now)
                continue;
            meet_pattern(i, true, pattern);
            say_to_host(WIRE_PROBED, i, pattern, sizeof(pattern));
        }
    }
    *taken = world.host.state == MEETING_STARTS && world.host.speed == 230400;
    return probes;
}

START_TEST(a_speed_at_which_a_second_probe_is_lost_is_not_taken)
{
    bool taken;
    for (uint32_t lost = 0; lost < 64; lost++) {
        const unsigned probes = probe_without(lost, 2, &taken);
        const uint32_t first = lost & ((1u << (MEET_PROBES + 1)) - 1);
        const bool good = (first & (first - 1)) == 0;
        ck_assert_msg(taken == good, "lost %x", lost);
        ck_assert_uint_le(probes, MEET_PROBES + 1);
    }
    // Late is not lost.
    ck_assert_uint_le(probe_without(0, 250, &taken), MEET_PROBES + 1);
    ck_assert(taken);
}
END_TEST

START_TEST(a_speed_that_the_port_refuses_is_not_asked_for_again)
{
    begin(1);
    go_where_asked(921600);
    ck_assert_uint_eq(world.host.speed, 921600);
    meeting_refused(&world.host);
    ck_assert_int_eq(world.host.state, MEETING_WAITS);
    ck_assert_uint_eq(world.host.speed, FIRST);
    go_where_asked(921600);
    ck_assert_uint_eq(world.host.speed, 460800);
    meeting_refused(&world.host);
    meeting_refused(&world.host); // nothing more to be refused
    go_where_asked(921600);
    ck_assert_uint_eq(world.host.speed, 230400);
}
END_TEST

START_TEST(a_lossy_line_ends_with_both_at_one_speed)
{
    struct random seeds = seeded_for("a_lossy_line");
    const uint64_t seed = random_u64(&seeds) >> 1;
    unsigned unsure = 0;
    for (unsigned i = 0; i < 300; i++) {
        struct meet meet;
        begin(seed + i);
        world.lost_percent = i % 21;
        ck_assert_msg(meet_once(&meet, 921600, 5), "seed %llu", (unsigned long long)(seed + i));
        ck_assert_str_eq(meet.words, WORDS);
        // Where all STARTEDs were lost the host looks for it at both speeds until it is heard.
        for (unsigned ms = 0; ms < 20000 && world.host.speed != world.speed; ms++)
            turn();
        ck_assert_uint_eq(world.host.speed, world.speed);
        unsure += world.host.state != MEETING_STARTED;
    }
    ck_assert_uint_le(unsure, 30);
}
END_TEST

// ---- nobody, and others -------------------------------------------------------------------------

START_TEST(nobody_there_is_given_up_in_time_and_at_the_first_speed)
{
    struct meet meet;
    begin(1);
    world.silent = true;
    ck_assert(!meet_once(&meet, 921600, 5));
    ck_assert_uint_eq(world.speed, FIRST);
    ck_assert_uint_ge(world.now, 1000 + PATIENCE);
    ck_assert_uint_le(world.now, 1000 + PATIENCE + 10);
}
END_TEST

START_TEST(a_line_that_echoes_is_no_host)
{
    struct meet meet;
    begin(1);
    world.silent = world.echoes = true;
    ck_assert(!meet_once(&meet, 921600, 5));
    ck_assert_uint_eq(world.went, 0);
}
END_TEST

START_TEST(a_host_that_only_talks_is_given_up)
{
    struct meet meet;
    begin(1);
    world.silent = world.babbles = true;
    ck_assert(!meet_once(&meet, 921600, 5));
    ck_assert_uint_le(world.now, 1000 + 2 * PATIENCE + 10);
}
END_TEST

START_TEST(a_host_that_is_gone_after_the_change_is_called_at_the_first_speed)
{
    struct meet meet;
    begin(1);
    world.clean = FIRST; // it hears nothing at any other, and neither does the target
    ck_assert(meet_once(&meet, 230400, 5));
    ck_assert_uint_eq(world.speed, FIRST);
    ck_assert_uint_eq(world.went, 2 * MEETING_TRIES);
}
END_TEST

START_TEST(a_machine_that_calls_as_another_boot_is_told_nothing_until_it_is_noticed)
{
    struct meet meet;
    begin(1);
    ck_assert(meet_once(&meet, FIRST, 5));
    ck_assert(!world.host.again);
    const uint32_t before = world.calls;
    world.speed = FIRST;
    world.there_length = world.there_read = 0;
    // As the recorder does: it takes note some turns later.
    struct meet second;
    static struct meet_line line;
    line = (struct meet_line){.write = target_writes,
                              .read = target_reads,
                              .set_speed = target_speed,
                              .clock_ns = target_clock,
                              .fastest = FIRST,
                              .speed = FIRST};
    meet_init(&second, &line, 6, "id", 2);
    ck_assert(!meet_host(&second, 500 * (uint64_t)MS_NS));
    ck_assert(world.host.again);
    ck_assert_uint_gt(world.calls, before);
    world.host.again = false;
    ck_assert(meet_host(&second, 500 * (uint64_t)MS_NS));
    // What comes late of the first boot changes nothing.
    const struct wire_header late = {.version = WIRE_VERSION,
                                     .type = WIRE_CALL,
                                     .channel = WIRE_CONTROL,
                                     .session = 5,
                                     .length = MEET_CALL_BYTES};
    uint8_t payload[MEET_CALL_BYTES] = {1};
    meeting_frame(&world.host, &late, payload, (int64_t)world.now);
    ck_assert(!world.host.again);
    ck_assert_uint_eq(world.host.boot, 6);
}
END_TEST

// ---- parts --------------------------------------------------------------------------------------

START_TEST(a_divisor_is_one_of_fifty_off_at_the_most)
{
    ck_assert_uint_eq(meet_divisor(115200, 115200), 1);
    ck_assert_uint_eq(meet_divisor(115200, 9600), 12);
    ck_assert_uint_eq(meet_divisor(115200, 230400), 0);
    ck_assert_uint_eq(meet_divisor(115200, 0), 0);
    ck_assert_uint_eq(meet_divisor(0, 9600), 0);
    ck_assert_uint_eq(meet_divisor(4000000, 115200), 35); // 114286
    ck_assert_uint_eq(meet_divisor(1500000, 921600), 0);  // nothing near
    ck_assert_uint_eq(meet_divisor(4000000, 1), 0);       // no register holds it
}
END_TEST

START_TEST(a_pattern_has_every_byte_and_is_nobody_elses)
{
    for (uint32_t number = 0; number < 40; number++) {
        uint8_t ours[MEET_PATTERN_BYTES], theirs[MEET_PATTERN_BYTES];
        unsigned seen[256] = {0};
        meet_pattern(number, false, ours);
        meet_pattern(number, true, theirs);
        ck_assert(memcmp(ours, theirs, sizeof(ours)) != 0);
        for (unsigned i = 0; i < sizeof(ours); i++)
            seen[ours[i]]++;
        for (unsigned i = 0; i < 256; i++)
            ck_assert_uint_eq(seen[i], 2);
        const struct wire_header header = {
            .type = WIRE_PROBE, .offset = number, .length = sizeof(ours)};
        ck_assert(meet_pattern_is_right(&header, ours));
        ck_assert(!meet_pattern_is_right(&header, theirs));
        ours[number] ^= 1;
        ck_assert(!meet_pattern_is_right(&header, ours));
    }
}
END_TEST

START_TEST(words_longer_than_there_is_room_for_are_no_start)
{
    struct meet meet;
    uint8_t frame[WIRE_FRAME_MOST], payload[WIRE_PAYLOAD_MOST];
    begin(1);
    world.silent = true;
    memset(payload, 'x', sizeof(payload));
    const struct wire_header header = {.version = WIRE_VERSION,
                                       .type = WIRE_START,
                                       .channel = WIRE_CONTROL,
                                       .session = 5,
                                       .length = MEET_WORDS_MOST + 1};
    to_target(frame, wire_encode(&header, payload, frame));
    ck_assert(!meet_once(&meet, FIRST, 5));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("meet");
    TCase *lines = tcase_create("lines");
    tcase_set_timeout(lines, 60);
    tcase_add_test(lines, both_go_to_the_fastest_speed_that_both_have);
    tcase_add_test(lines, a_speed_that_the_cable_does_not_carry_costs_seconds_and_nothing_else);
    tcase_add_test(lines, a_speed_at_which_a_second_probe_is_lost_is_not_taken);
    tcase_add_test(lines, a_speed_that_the_port_refuses_is_not_asked_for_again);
    tcase_add_test(lines, a_lossy_line_ends_with_both_at_one_speed);
    suite_add_tcase(suite, lines);
    TCase *others = tcase_create("others");
    tcase_add_test(others, nobody_there_is_given_up_in_time_and_at_the_first_speed);
    tcase_add_test(others, a_line_that_echoes_is_no_host);
    tcase_add_test(others, a_host_that_only_talks_is_given_up);
    tcase_add_test(others, a_host_that_is_gone_after_the_change_is_called_at_the_first_speed);
    tcase_add_test(others,
                   a_machine_that_calls_as_another_boot_is_told_nothing_until_it_is_noticed);
    suite_add_tcase(suite, others);
    TCase *parts = tcase_create("parts");
    tcase_add_test(parts, a_divisor_is_one_of_fifty_off_at_the_most);
    tcase_add_test(parts, a_pattern_has_every_byte_and_is_nobody_elses);
    tcase_add_test(parts, words_longer_than_there_is_room_for_are_no_start);
    suite_add_tcase(suite, parts);
    return run_checks(suite);
}
