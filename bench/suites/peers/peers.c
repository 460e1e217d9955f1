// SPDX-License-Identifier: MIT
// What only the Linux process measures: other people's mechanisms, beside ours.
#include "peers.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "bench.h"
#include "compiler.h"
#include "heap_peers.h"
#include "ipc_peers.h"
#include "library.h"
#include "platform.h"
#include "switch_peers.h"

extern const struct bench_suite driver_peers_suite, heap_peers_suite, ipc_peers_suite,
    ipc_wait_peers_suite, switch_peers_suite;

// The libraries of each suite that has some.
static struct group {
    const char *suite;
    struct library *libraries;
    size_t count;
    bool *only_listed;
    bool loaded;
} groups[] = {
    {"heap", heap_peers_libraries, HEAP_PEERS_COUNT, &heap_peers_only_listed, false},
    {"ipc", ipc_peers_libraries, IPC_PEERS_COUNT, &ipc_peers_only_listed, false},
    {"switch", switch_peers_libraries, SWITCH_PEERS_COUNT, &switch_peers_only_listed, false},
};

const struct bench_suite *const *platform_suites(void)
{
    static const struct bench_suite *const suites[] = {&driver_peers_suite, &heap_peers_suite,
                                                       &ipc_peers_suite,    &ipc_wait_peers_suite,
                                                       &switch_peers_suite, NULL};
    return suites;
}

// ---- which words ask for them -------------------------------------------------------------------

// The value of name= among `words`, its length in `length`; NULL if there is none.
static const char *value_of(const char *words, const char *name, size_t *length)
{
    const size_t known = strlen(name);
    for (const char *at = words; *at != '\0'; at += strspn(at, " ")) {
        const size_t word = strcspn(at, " ");
        if (word > known && at[known] == '=' && strncmp(at, name, known) == 0) {
            *length = word - known - 1;
            return at + known + 1;
        }
        at += word;
    }
    return NULL;
}

// Whether `suite` is named by the list suites=, or there is none.
static bool in_suites(const char *words, const char *suite)
{
    size_t length;
    const char *at = value_of(words, "suites", &length);
    if (at == NULL)
        return true;
    for (const char *const end = at + length; at < end; at++) {
        const size_t word = strcspn(at, ", ");
        if (word == strlen(suite) && strncmp(at, suite, word) == 0)
            return true;
        at += word;
    }
    return false;
}

// Whether filter= may select a row of `suite`: what stands in front of its first slash must be the
// end of the suite's name. Errs on the side of yes.
static bool in_filter(const char *words, const char *suite)
{
    size_t length;
    const char *const filter = value_of(words, "filter", &length);
    const char *const slash = filter != NULL ? memchr(filter, '/', length) : NULL;
    if (slash == NULL || memchr(filter, '*', length) != NULL)
        return true;
    const size_t first = (size_t)(slash - filter), all = strlen(suite);
    return first <= all && strncmp(suite + all - first, filter, first) == 0;
}

static bool lists_only(const char *words)
{
    size_t length;
    const char *const output = value_of(words, "output", &length);
    return output != NULL && length == 4 && strncmp(output, "list", 4) == 0;
}

bool peers_may_measure(const char *words, const char *suite)
{
    return !lists_only(words) && in_suites(words, suite) && in_filter(words, suite);
}

// ---- start --------------------------------------------------------------------------------------

static void *nothing(void *argument)
{
    return argument;
}

// From now on the process has had a second thread, as those have that allocators are made for: none
// of them takes a short cut for programs without any, and whether an earlier suite started a thread
// makes no difference.
static void be_threaded(void)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, nothing, NULL) == 0)
        pthread_join(thread, NULL);
}

static void load(struct group *group, bool *room)
{
    for (size_t i = 0; i < group->count; i++) {
        library_load(&group->libraries[i]);
        *room = *room && !group->libraries[i].wants_room;
    }
    group->loaded = true;
}

void peers_start(char **words)
{
    const char *arguments = "";
    bool room = true, any = false;
    for (char **word = words + 1; *word != NULL; word++)
        arguments = strncmp(*word, "line=", 5) != 0 ? *word : arguments;
    for (size_t i = 0; i < ARRAY_COUNT(groups); i++) {
        *groups[i].only_listed = lists_only(arguments);
        if (peers_may_measure(arguments, groups[i].suite))
            load(&groups[i], &room);
        any = any || groups[i].loaded;
    }
    if (!room)
        library_make_room(words);
    if (any)
        be_threaded();
}

static void describe(const struct library *library,
                     void (*emit)(void *context, const char *key, const char *value), void *context)
{
    char key[64];
    const int length = snprintf(key, sizeof(key), "peers.%s", library->name);
    emit(context, key, library->present ? library->version : "absent");
    if (library->present)
        return;
    snprintf(key + length, sizeof(key) - (size_t)length, ".problem");
    emit(context, key, library->problem);
}

void peers_describe(void (*emit)(void *context, const char *key, const char *value), void *context)
{
    char text[256];
    bool any = false;
    for (size_t i = 0; i < ARRAY_COUNT(groups); i++) {
        for (size_t k = 0; k < groups[i].count && groups[i].loaded; k++)
            describe(&groups[i].libraries[k], emit, context);
        any = any || groups[i].loaded;
    }
    if (!any)
        return;
    library_tuning(text, sizeof(text));
    emit(context, "peers.tuning", text[0] != '\0' ? text : "none");
}
