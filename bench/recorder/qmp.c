// SPDX-License-Identifier: MIT
#include "qmp.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define READS_A_TURN 64u
#define ANSWER_MS    5000
#define DEPTH        32u

// ---- JSON --------------------------------------------------------------------------------------

static const char *skip_space(const char *at)
{
    return at + strspn(at, " \t\r\n");
}

static void add_character(struct buffer *out, unsigned code)
{
    // Only text of monitors and events is read here; what is not ASCII is of no use.
    const char c = code < 0x80 && code != 0 ? (char)code : '?';
    if (out != NULL)
        buffer_add(out, &c, 1);
}

static const char *read_escape(const char *at, struct buffer *out)
{
    static const char names[] = "\"\\/bfnrt", codes[] = "\"\\/\b\f\n\r\t";
    if (*at == 'u') {
        char digits[5] = "";
        if (strnlen(at + 1, 4) < 4)
            return NULL;
        memcpy(digits, at + 1, 4);
        if (strspn(digits, "0123456789abcdefABCDEF") != 4)
            return NULL;
        add_character(out, (unsigned)strtoul(digits, NULL, 16));
        return at + 5;
    }
    const char *name = *at != '\0' ? strchr(names, *at) : NULL;
    if (name == NULL)
        return NULL;
    add_character(out, (unsigned char)codes[name - names]);
    return at + 1;
}

// `at` stands behind the opening quote; returns what follows the closing one, or NULL.
static const char *read_string(const char *at, struct buffer *out)
{
    while (at != NULL && *at != '"') {
        if (*at == '\0')
            return NULL;
        if (*at == '\\') {
            at = read_escape(at + 1, out);
        } else {
            add_character(out, (unsigned char)*at);
            at++;
        }
    }
    return at == NULL ? NULL : at + 1;
}

// Reads one value. Where `path` is not NULL it is looked for within; its value goes to `out` and
// `found` becomes true. Returns what follows, or NULL if this is no JSON.
static const char *read_value(const char *at, const char *path, struct buffer *out, bool *found,
                              unsigned depth);

// Behind the opening brace or bracket.
static const char *read_members(const char *at, bool object, const char *path, struct buffer *out,
                                bool *found, unsigned depth)
{
    const char close = object ? '}' : ']';
    at = skip_space(at);
    if (*at == close)
        return at + 1;
    for (;;) {
        const char *inner = NULL;
        if (object) {
            struct buffer key = {0};
            at = *at == '"' ? read_string(at + 1, &key) : NULL;
            if (at != NULL && path != NULL && key.length > 0 &&
                strncmp(path, (char *)key.bytes, key.length) == 0 &&
                (path[key.length] == '.' || path[key.length] == '\0'))
                inner = path + key.length + (path[key.length] == '.');
            buffer_free(&key);
            at = at != NULL ? skip_space(at) : NULL;
            if (at == NULL || *at != ':')
                return NULL;
            at = skip_space(at + 1);
        }
        at = read_value(at, inner, out, found, depth + 1);
        if (at == NULL)
            return NULL;
        at = skip_space(at);
        if (*at == close)
            return at + 1;
        if (*at != ',')
            return NULL;
        at = skip_space(at + 1);
    }
}

static const char *read_value(const char *at, const char *path, struct buffer *out, bool *found,
                              unsigned depth)
{
    const bool wanted = path != NULL && *path == '\0' && !*found;
    const char *const start = at;
    if (depth > DEPTH)
        return NULL;
    if (*at == '"') {
        at = read_string(at + 1, wanted ? out : NULL);
        *found = *found || (wanted && at != NULL);
        return at;
    }
    if (*at == '{' || *at == '[')
        at = read_members(at + 1, *at == '{', path, out, found, depth);
    else
        at += strcspn(at, ",]} \t\r\n");
    if (at == NULL || at == start)
        return NULL;
    if (wanted && !*found) {
        buffer_add(out, start, (size_t)(at - start));
        *found = true;
    }
    return at;
}

bool qmp_json(const char *json, const char *path, struct buffer *value)
{
    bool found = false;
    value->length = 0;
    const char *rest = read_value(skip_space(json), path, value, &found, 0);
    if (rest == NULL || *skip_space(rest) != '\0' || !found)
        return false;
    buffer_add(value, "", 1);
    value->length--;
    return true;
}

// ---- the line ----------------------------------------------------------------------------------

void qmp_init(struct qmp *qmp, int fd)
{
    *qmp = (struct qmp){.fd = fd};
}

void qmp_free(struct qmp *qmp)
{
    buffer_free(&qmp->line);
    buffer_free(&qmp->answer);
}

static bool send_line(struct qmp *qmp, const char *text)
{
    // Commands are short and the socket's buffer is not: a write that would wait is a QEMU that
    // does not read.
    const size_t length = strlen(text);
    return write(qmp->fd, text, length) == (ssize_t)length;
}

static void take_line(struct qmp *qmp, const char *json)
{
    struct buffer value = {0};
    uint64_t id;
    if (qmp_json(json, "QMP", &value))
        qmp->ready = send_line(qmp, "{\"execute\":\"qmp_capabilities\",\"id\":0}\n");
    if (qmp_json(json, "event", &value) && strcmp((char *)value.bytes, "SHUTDOWN") == 0) {
        qmp->shut_down = true;
        if (qmp_json(json, "data.reason", &value))
            text_clean(qmp->reason, sizeof(qmp->reason), value.bytes, value.length);
    }
    if (qmp_json(json, "id", &value) && text_number((char *)value.bytes, UINT32_MAX, &id) &&
        id == qmp->awaited && id > 0) {
        if (!qmp_json(json, "return", &qmp->answer))
            qmp->answer.length = 0;
        qmp->answered = (unsigned)id;
    }
    buffer_free(&value);
}

static void take_bytes(struct qmp *qmp, const char *bytes, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        if (bytes[i] != '\n') {
            // A line beyond the cap is none of QEMU's: it is cut and then fails as JSON.
            if (qmp->line.length < QMP_LINE_MOST && bytes[i] != '\0')
                buffer_add(&qmp->line, &bytes[i], 1);
            continue;
        }
        buffer_add(&qmp->line, "", 1);
        take_line(qmp, (char *)qmp->line.bytes);
        qmp->line.length = 0;
    }
}

bool qmp_poll(struct qmp *qmp)
{
    char bytes[16384];
    for (unsigned turn = 0; turn < READS_A_TURN && qmp->fd >= 0; turn++) {
        const ssize_t got = read(qmp->fd, bytes, sizeof(bytes));
        if (got > 0)
            take_bytes(qmp, bytes, (size_t)got);
        else if (got < 0 && errno == EINTR)
            continue;
        else if (got < 0 && errno == EAGAIN)
            return true;
        else
            qmp->fd = -1; // its owner closes it
    }
    return qmp->fd >= 0;
}

// Waits until `condition` or the time is over.
static bool wait_for(struct qmp *qmp, const bool *ready, unsigned id)
{
    const int64_t end = now_ms() + ANSWER_MS;
    while (qmp_poll(qmp)) {
        if (ready != NULL ? *ready : qmp->answered == id)
            return true;
        const int64_t left = end - now_ms();
        struct pollfd poll_fd = {.fd = qmp->fd, .events = POLLIN};
        if (left <= 0 || (poll(&poll_fd, 1, (int)left) < 0 && errno != EINTR))
            return false;
    }
    return false;
}

// The monitor's answer stands in qmp->answer, terminated. `command` needs no escapes.
static bool ask_monitor(struct qmp *qmp, const char *command)
{
    char text[256];
    const unsigned id = ++qmp->awaited;
    text_format(text, sizeof(text),
                "{\"execute\":\"human-monitor-command\",\"arguments\":{\"command-line\":\"%s\"},"
                "\"id\":%u}\n",
                command, id);
    return send_line(qmp, text) && wait_for(qmp, NULL, id) && qmp->answer.length > 0;
}

// ---- registers ---------------------------------------------------------------------------------

static bool find_register(const char *text, const char *name, uint64_t *value)
{
    const size_t length = strlen(name);
    for (const char *at = text; (at = strstr(at, name)) != NULL; at += length) {
        const bool begins = at == text || strchr(" \n\r", at[-1]) != NULL;
        const char *digits = at + length + strspn(at + length, " ");
        if (!begins || *digits != '=')
            continue;
        char *end;
        digits++;
        *value = strtoull(digits, &end, 16);
        return end != digits;
    }
    return false;
}

bool qmp_registers(const char *text, struct machine_state *state)
{
    static const char *const names[RECORD_REGISTERS][2] = {
        {"RAX", "EAX"}, {"RBX", "EBX"}, {"RCX", "ECX"}, {"RDX", "EDX"},
        {"RSI", "ESI"}, {"RDI", "EDI"}, {"RBP", "EBP"}, {"RSP", "ESP"},
        {"R8", "R8"},   {"R9", "R9"},   {"R10", "R10"}, {"R11", "R11"},
        {"R12", "R12"}, {"R13", "R13"}, {"R14", "R14"}, {"R15", "R15"},
    };
    *state = (struct machine_state){.named = true};
    for (unsigned i = 0; i < RECORD_REGISTERS; i++) {
        if (!find_register(text, names[i][0], &state->registers[i]) &&
            !find_register(text, names[i][1], &state->registers[i]) && i == STATE_RSP)
            return false;
    }
    if (!find_register(text, "RFL", &state->rflags))
        find_register(text, "EFL", &state->rflags);
    find_register(text, "CR2", &state->cr2);
    find_register(text, "CR3", &state->cr3);
    return find_register(text, "RIP", &state->rip) || find_register(text, "EIP", &state->rip);
}

size_t qmp_words(const char *text, uint8_t *bytes, size_t capacity)
{
    size_t length = 0;
    for (const char *line = text; *line != '\0';) {
        const char *at = strchr(line, ':');
        const char *end = line + strcspn(line, "\n");
        while (at != NULL && at < end && (at = strstr(at, "0x")) != NULL && at < end) {
            char *behind;
            const uint64_t word = strtoull(at, &behind, 16);
            if (length + 8 > capacity)
                return length;
            for (unsigned i = 0; i < 8; i++)
                bytes[length++] = (uint8_t)(word >> (8 * i));
            at = behind;
        }
        line = *end == '\n' ? end + 1 : end;
    }
    return length;
}

bool qmp_state(struct qmp *qmp, struct machine_state *state)
{
    char command[64];
    if (!wait_for(qmp, &qmp->ready, 0))
        return false;
    send_line(qmp, "{\"execute\":\"stop\"}\n");
    if (!ask_monitor(qmp, "info registers") || !qmp_registers((char *)qmp->answer.bytes, state))
        return false;
    // Page by page: one that is not mapped fails as a whole.
    const uint64_t rsp = state->registers[STATE_RSP];
    while (state->stack_length < RECORD_STACK_MOST) {
        const uint64_t from = rsp + state->stack_length;
        size_t most = 4096 - from % 4096;
        if (most > RECORD_STACK_MOST - state->stack_length)
            most = RECORD_STACK_MOST - state->stack_length;
        if (most < 8)
            break;
        text_format(command, sizeof(command), "x /%zuxg 0x%llx", most / 8,
                    (unsigned long long)from);
        if (!ask_monitor(qmp, command))
            break;
        const size_t got =
            qmp_words((char *)qmp->answer.bytes, state->stack + state->stack_length, most);
        state->stack_length += got;
        if (got < most / 8 * 8 || got == 0)
            break;
    }
    return true;
}
