// SPDX-License-Identifier: MIT
#include "request.h"

#include <string.h>
#include <sys/random.h>

#include "meet.h"

enum option_kind {
    OPTION_NAME,   // charset of names, fit for a folder
    OPTION_TEXT,   // any printable text
    OPTION_NUMBER, // between lowest and highest
    OPTION_CHOICE, // one of the words in `choices`
};

struct option {
    const char *name;
    enum option_kind kind;
    bool needed;
    const char *choices; // words with a space around each
    uint64_t lowest, highest;
};

enum option_index {
    OPT_RUN,
    OPT_TARGET,
    OPT_MACHINE,
    OPT_CLOCK,
    OPT_IMAGE,
    OPT_RESULTS,
    OPT_BOOTS,
    OPT_SESSION,
    OPT_COMMIT,
    OPT_DIRTY,
    OPT_SIZE,
    OPT_SUCCESS_EXIT,
    OPT_ARGUMENTS,
    OPT_START_SECONDS,
    OPT_IDLE_SECONDS,
    OPT_BOOT_SECONDS,
    OPT_LINE_MIB,
    OPT_PORT,
    OPT_SPEED,
    OPT_FLOW,
    OPT_MENU_TEXT,
    OPT_MENU_KEY,
    OPT_GONE_SECONDS,
    OPT_RESET_SECONDS,
    OPT_RESTARTS,
    OPTIONS,
};

static const struct option options[OPTIONS] = {
    [OPT_RUN] = {"run", OPTION_NAME, true, NULL, 0, 0},
    [OPT_TARGET] = {"target", OPTION_CHOICE, true, " host qemu baremetal ", 0, 0},
    [OPT_MACHINE] = {"machine", OPTION_NAME, true, NULL, 0, 0},
    [OPT_CLOCK] = {"clock", OPTION_CHOICE, false, " insn tsc emulated ", 0, 0},
    [OPT_IMAGE] = {"image", OPTION_TEXT, true, NULL, 0, 0},
    [OPT_RESULTS] = {"results", OPTION_TEXT, true, NULL, 0, 0},
    [OPT_BOOTS] = {"boots", OPTION_NUMBER, true, NULL, 1, MODEL_BOOTS_MOST},
    [OPT_SESSION] = {"session", OPTION_TEXT, false, NULL, 0, 0},
    [OPT_COMMIT] = {"commit", OPTION_NAME, true, NULL, 0, 0},
    [OPT_DIRTY] = {"dirty", OPTION_NUMBER, true, NULL, 0, 1},
    [OPT_SIZE] = {"size", OPTION_CHOICE, true, " quick full ", 0, 0},
    [OPT_SUCCESS_EXIT] = {"success-exit", OPTION_NUMBER, true, NULL, 0, 255},
    [OPT_ARGUMENTS] = {"arguments", OPTION_TEXT, false, NULL, 0, 0},
    [OPT_START_SECONDS] = {"start-seconds", OPTION_NUMBER, false, NULL, 1, 3600},
    [OPT_IDLE_SECONDS] = {"idle-seconds", OPTION_NUMBER, false, NULL, 1, 3600},
    [OPT_BOOT_SECONDS] = {"boot-seconds", OPTION_NUMBER, false, NULL, 1, 86400},
    [OPT_LINE_MIB] = {"line-mib", OPTION_NUMBER, false, NULL, 1, 256},
    [OPT_PORT] = {"port", OPTION_TEXT, false, NULL, 0, 0},
    [OPT_SPEED] = {"speed", OPTION_NUMBER, false, NULL, 1200, 4000000},
    [OPT_FLOW] = {"flow", OPTION_CHOICE, false, " auto on off ", 0, 0},
    [OPT_MENU_TEXT] = {"menu-text", OPTION_TEXT, false, NULL, 0, 0},
    [OPT_MENU_KEY] = {"menu-key", OPTION_TEXT, false, NULL, 0, 0},
    [OPT_GONE_SECONDS] = {"gone-seconds", OPTION_NUMBER, false, NULL, 1, 86400},
    [OPT_RESET_SECONDS] = {"reset-seconds", OPTION_NUMBER, false, NULL, 0, 3600},
    [OPT_RESTARTS] = {"restarts", OPTION_NUMBER, false, NULL, 0, 16},
};

static bool is_printable(const char *text)
{
    while (*text >= 0x20 && *text <= 0x7e)
        text++;
    return *text == '\0';
}

static bool refuse_word(const char *word)
{
    struct buffer names = {0};
    char clean[256];
    for (size_t i = 0; i < OPTIONS; i++)
        buffer_print(&names, " %s=", options[i].name);
    text_clean(clean, sizeof(clean), word, strlen(word));
    complain("unknown option %s: there are%.*s fact:KEY= and -- COMMAND", clean, (int)names.length,
             (char *)names.bytes);
    buffer_free(&names);
    return false;
}

static bool check_value(const struct option *option, const char *value, uint64_t *number)
{
    char among[96];
    text_format(among, sizeof(among), " %s ", value);
    if (option->kind == OPTION_NAME && !text_is_folder_name(value))
        complain("%s=: give 1 to %u characters of A-Z a-z 0-9 _ . : -", option->name,
                 RECORD_NAME_MOST);
    else if (option->kind == OPTION_TEXT && !is_printable(value))
        complain("%s=: printable ASCII only", option->name);
    else if (option->kind == OPTION_CHOICE &&
             (strchr(value, ' ') != NULL || strstr(option->choices, among) == NULL))
        complain("%s=: give one of%s", option->name, option->choices);
    else if (option->kind == OPTION_NUMBER &&
             (!text_number(value, option->highest, number) || *number < option->lowest))
        complain("%s=: give a number from %llu to %llu", option->name,
                 (unsigned long long)option->lowest, (unsigned long long)option->highest);
    else
        return true;
    return false;
}

static bool take_fact(struct request *request, char *word)
{
    char *value = strchr(word, '=');
    if (value == NULL)
        return refuse_word(word);
    *value++ = '\0';
    if (text_is_name(word) && is_printable(value) && facts_set(&request->facts, word, value))
        return true;
    complain("fact:KEY=VALUE: KEY is a name of at most %u characters, VALUE printable text of at "
             "most %u, and there are at most %u",
             RECORD_NAME_MOST, FACT_MOST, MODEL_FACTS_MOST);
    return false;
}

// Fills `values` (and `numbers`) by the table; finds the command.
static bool read_words(struct request *request, int count, char **words, const char **values,
                       uint64_t *numbers)
{
    for (int i = 0; i < count; i++) {
        size_t which = 0;
        if (strcmp(words[i], "--") == 0) {
            request->command = words + i + 1;
            return true;
        }
        if (strncmp(words[i], "fact:", 5) == 0) {
            if (!take_fact(request, words[i] + 5))
                return false;
            continue;
        }
        const char *equals = strchr(words[i], '=');
        const size_t length = equals != NULL ? (size_t)(equals - words[i]) : 0;
        while (which < OPTIONS && (strlen(options[which].name) != length ||
                                   strncmp(options[which].name, words[i], length) != 0))
            which++;
        if (equals == NULL || which == OPTIONS)
            return refuse_word(words[i]);
        if (!check_value(&options[which], equals + 1, &numbers[which]))
            return false;
        values[which] = equals + 1;
    }
    return true;
}

static bool is_commit(const char *text)
{
    return strcmp(text, "unknown") == 0 || strspn(text, "0123456789abcdef") == strlen(text);
}

// 0 is the session of a target that was told none; the numbers of all boots stay in range.
static bool choose_session(struct request *request, const char *value)
{
    const uint32_t highest = UINT32_MAX - MODEL_BOOTS_MOST;
    uint64_t number = 0;
    if (value != NULL && strcmp(value, "random") != 0) {
        request->session = text_number(value, highest, &number) ? (uint32_t)number : 0;
        if (request->session == 0)
            complain("session=: give random or a number from 1 to %u", highest);
        return request->session != 0;
    }
    while (request->session == 0 || request->session > highest) {
        if (getrandom(&request->session, sizeof(request->session), 0) != sizeof(request->session)) {
            complain("no random number for the session");
            return false;
        }
    }
    return true;
}

#define START_SECONDS_PORT 3600u // somebody has to walk there

// Words that START has room for, besides its own.
#define ARGUMENTS_MOST (MEET_WORDS_MOST - 80u)

static bool check_port(const struct request *request)
{
    const bool menu = request->menu_text[0] != '\0';
    if (request->command != NULL)
        complain("port=: a machine at a port is started by nobody: leave -- COMMAND out");
    else if (!port_knows_speed(request->speed))
        complain("speed=%u: no port has this: give 9600, 115200, 921600 or the like",
                 request->speed);
    else if (strlen(request->arguments) > ARGUMENTS_MOST)
        complain("arguments=: at most %u characters go to a machine at a port", ARGUMENTS_MOST);
    else if (menu != (strlen(request->menu_key) == 1))
        complain("menu-text= needs menu-key=, one character, and the other way round");
    else
        return true;
    return false;
}

static bool check_command(const struct request *request)
{
    if (request->port != NULL)
        return check_port(request);
    bool line = false, arguments = false;
    for (size_t i = 0; request->command != NULL && request->command[i] != NULL; i++) {
        line = line || strstr(request->command[i], "{line}") != NULL;
        arguments = arguments || strstr(request->command[i], "{arguments}") != NULL;
    }
    if (request->command == NULL || request->command[0] == NULL)
        complain("no command: end with -- COMMAND ARG...");
    else if (!line || !arguments)
        complain("the command needs {line} and {arguments} among its words");
    return line && arguments;
}

static void read_port(struct request *request, const char *const *values, const uint64_t *numbers)
{
    const char *flow = values[OPT_FLOW];
    request->port = values[OPT_PORT];
    request->menu_text = values[OPT_MENU_TEXT];
    request->menu_key = values[OPT_MENU_KEY];
    request->speed = (uint32_t)numbers[OPT_SPEED];
    request->flow = strcmp(flow, "on") == 0    ? PORT_FLOW_ON
                    : strcmp(flow, "off") == 0 ? PORT_FLOW_OFF
                                               : PORT_FLOW_AUTO;
    request->gone_seconds = (uint32_t)numbers[OPT_GONE_SECONDS];
    request->reset_seconds = (uint32_t)numbers[OPT_RESET_SECONDS];
    request->restarts = (uint32_t)numbers[OPT_RESTARTS];
    if (request->port != NULL && values[OPT_START_SECONDS] == NULL)
        request->start_seconds = START_SECONDS_PORT;
}

bool request_read(struct request *request, int count, char **words)
{
    const char *values[OPTIONS] = {[OPT_CLOCK] = "",
                                   [OPT_ARGUMENTS] = "",
                                   [OPT_FLOW] = "auto",
                                   [OPT_MENU_TEXT] = "",
                                   [OPT_MENU_KEY] = ""};
    uint64_t numbers[OPTIONS] = {
        [OPT_START_SECONDS] = 30,  [OPT_IDLE_SECONDS] = 30, [OPT_BOOT_SECONDS] = 7200,
        [OPT_LINE_MIB] = 256,      [OPT_SPEED] = 115200,    [OPT_GONE_SECONDS] = 600,
        [OPT_RESET_SECONDS] = 180, [OPT_RESTARTS] = 2};
    *request = (struct request){0};
    if (!read_words(request, count, words, values, numbers))
        return false;
    for (size_t i = 0; i < OPTIONS; i++) {
        if (options[i].needed && values[i] == NULL) {
            complain("%s= is missing", options[i].name);
            return false;
        }
    }
    if (!is_commit(values[OPT_COMMIT])) {
        complain("commit=: give the commit in lower case hexadecimal, or unknown");
        return false;
    }
    request->run = values[OPT_RUN];
    request->target = values[OPT_TARGET];
    request->machine = values[OPT_MACHINE];
    request->clock = values[OPT_CLOCK];
    request->image = values[OPT_IMAGE];
    request->results = values[OPT_RESULTS];
    request->commit = values[OPT_COMMIT];
    request->size = values[OPT_SIZE];
    request->arguments = values[OPT_ARGUMENTS];
    request->dirty = numbers[OPT_DIRTY] != 0;
    request->boots = (uint32_t)numbers[OPT_BOOTS];
    request->success_exit = (uint32_t)numbers[OPT_SUCCESS_EXIT];
    request->start_seconds = (uint32_t)numbers[OPT_START_SECONDS];
    request->idle_seconds = (uint32_t)numbers[OPT_IDLE_SECONDS];
    request->boot_seconds = (uint32_t)numbers[OPT_BOOT_SECONDS];
    request->line_mib = (uint32_t)numbers[OPT_LINE_MIB];
    read_port(request, values, numbers);
    return choose_session(request, values[OPT_SESSION]) && check_command(request);
}

void request_free(struct request *request)
{
    facts_free(&request->facts);
}
