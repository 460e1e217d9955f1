// SPDX-License-Identifier: MIT
#include "options.h"

#include "compiler.h"
#include "format.h"
#include "record.h"
#include "string.h"
#include "suites.h"

static const char *const words_known[] = {
    "session", "boot",   "output", "suites", "filter", "rounds",  "samples",   "seed", "size",
    "die",     "smoke",  "clock",  "trace",  "memory", "disturb", "die_after", "line", "speed",
    "wait",    "linger", "hold",   "gaps",   "flow",   "cpu",     NULL,
};

// A boot loader may put words of its own (without `=`) in front: only name=value words are checked.
static bool words_are_known(const char *words, char *why, size_t capacity)
{
    for (const char *at = words; *at != '\0';) {
        size_t name = 0, word = 0;
        while (at[word] != ' ' && at[word] != '\0')
            word++;
        while (name < word && at[name] != '=')
            name++;
        bool known = name == word;
        for (unsigned i = 0; words_known[i] != NULL && !known; i++)
            known =
                string_length(words_known[i], 16) == name && memcmp(words_known[i], at, name) == 0;
        if (!known) {
            format(why, capacity,
                   "unknown option %.*s: there are suites filter rounds samples seed size trace "
                   "output disturb cpu line speed flow wait hold gaps clock die smoke",
                   (int)min_u64(name, 32), at);
            return false;
        }
        at += word;
        while (*at == ' ')
            at++;
    }
    return true;
}

static bool number(const char *words, const char *name, uint64_t lowest, uint64_t highest,
                   uint64_t *value, char *why, size_t capacity)
{
    char text[32];
    if (!string_option(words, name, text, sizeof(text)))
        return true;
    if (string_to_u64(text, highest, value) && *value >= lowest)
        return true;
    format(why, capacity, "%s=%s: give a number from %lu to %lu", name, text, lowest, highest);
    return false;
}

static bool suites_exist(const char *list, char *why, size_t capacity)
{
    for (const char *at = list; *at != '\0';) {
        size_t length = 0;
        while (at[length] != ',' && at[length] != '\0')
            length++;
        bool found = false;
        const struct bench_suite *suite;
        for (size_t i = 0; (suite = suites_at(i)) != NULL; i++)
            found = found || (string_length(suite->name, OPTION_MOST) == length &&
                              memcmp(suite->name, at, length) == 0);
        if (!found) {
            size_t end = format(why, capacity, "no suite %.*s: there are", (int)length, at);
            for (size_t i = 0; (suite = suites_at(i)) != NULL; i++)
                end += format(why + end, capacity - end, " %s", suite->name);
            return false;
        }
        at += length + (at[length] == ',');
    }
    return true;
}

static bool read_words(const char *words, struct options *options, char *why, size_t capacity)
{
    char text[16];
    if (string_option(words, "output", text, sizeof(text))) {
        if (string_equal(text, "framed"))
            options->output = OUTPUT_FRAMED;
        else if (string_equal(text, "text") || string_equal(text, "screen") ||
                 string_equal(text, "both")) // where it is seen is the target's affair
            options->output = OUTPUT_TEXT;
        else if (string_equal(text, "list"))
            options->output = OUTPUT_LIST;
        else {
            format(why, capacity, "output=%s: give framed, text, screen or both", text);
            return false;
        }
    }
    string_option(words, "suites", options->suites, sizeof(options->suites));
    string_option(words, "filter", options->filter, sizeof(options->filter));
    string_option(words, "die", options->die, sizeof(options->die));
    if (string_option(words, "trace", text, sizeof(text))) {
        options->trace = string_equal(text, "on");
        if (!options->trace && !string_equal(text, "off")) {
            format(why, capacity, "trace=%s: give on or off", text);
            return false;
        }
    }
    if (string_option(words, "size", text, sizeof(text))) {
        options->full = string_equal(text, "full");
        if (!options->full && !string_equal(text, "quick")) {
            format(why, capacity, "size=%s: give quick or full", text);
            return false;
        }
    }
    return suites_exist(options->suites, why, capacity);
}

bool options_read(const char *words, struct options *options, char *why, size_t capacity)
{
    uint64_t session = 0, boot = 0, smoke = 0, linger = 0;
    *options = (struct options){.output = OUTPUT_TEXT, .seed = 1, .trace = true};
    // The session first: a refusal must already carry it.
    if (!number(words, "session", 0, UINT32_MAX, &session, why, capacity))
        return false;
    options->session = (uint32_t)session;
    if (!read_words(words, options, why, capacity) || !words_are_known(words, why, capacity) ||
        !number(words, "boot", 0, 1023, &boot, why, capacity) ||
        !number(words, "smoke", 0, 1, &smoke, why, capacity) ||
        !number(words, "linger", 0, LINGER_MOST, &linger, why, capacity) ||
        !number(words, "rounds", 1, RECORD_ROUNDS_MOST, &options->rounds, why, capacity) ||
        !number(words, "samples", 1, 4096, &options->samples, why, capacity) ||
        !number(words, "seed", 0, UINT64_MAX, &options->seed, why, capacity))
        return false;
    options->boot = (uint32_t)boot;
    options->smoke = smoke != 0;
    options->linger = (uint32_t)linger;
    return true;
}

static bool listed(const char *list, const char *name)
{
    const size_t length = string_length(name, OPTION_MOST);
    for (const char *at = list; *at != '\0';) {
        size_t word = 0;
        while (at[word] != ',' && at[word] != '\0')
            word++;
        if (word == length && memcmp(at, name, length) == 0)
            return true;
        at += word + (at[word] == ',');
    }
    return false;
}

void bench_row_id(const struct bench_suite *suite, const struct bench_case *bench_case,
                  const struct bench_variant *variant, char *id)
{
    const size_t length = format(id, RECORD_NAME_MOST + 1, "%s/%s", suite->name, bench_case->name);
    if (variant != NULL)
        format(id + length, RECORD_NAME_MOST + 1 - length, "/%s", variant->about->name);
}

bool options_select(const struct options *options, const struct bench_suite *suite,
                    const struct bench_case *bench_case, const struct bench_variant *variant)
{
    char id[RECORD_NAME_MOST + 1];
    if (options->suites[0] != '\0' && !listed(options->suites, suite->name))
        return false;
    bench_row_id(suite, bench_case, variant, id);
    return options->filter[0] == '\0' || string_matches(options->filter, id);
}
