// SPDX-License-Identifier: MIT
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "commands.h"
#include "replay.h"
#include "store.h"
#include "trace_file.h"

#define PATH_MOST 4096u

struct rebuild {
    struct store store;
    const char *results;
    unsigned same, changed, added, unfinished, bad;
};

static int no_dots(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

// Calls `each` for what is in the folder, in the order of names. False as soon as one fails.
static bool for_each(struct rebuild *rebuild, const char *folder, const char *run,
                     bool (*each)(struct rebuild *, const char *run, const char *name))
{
    struct dirent **entries = NULL;
    const int count = scandir(folder, &entries, no_dots, by_name);
    bool done = true;
    for (int i = 0; i < count; i++) {
        done = done && each(rebuild, run, entries[i]->d_name);
        free(entries[i]);
    }
    free(entries);
    return done;
}

static bool put(struct rebuild *rebuild, const struct run *run, const char *machine, bool exists,
                const char *before)
{
    char after[STORE_DIGEST_CHARACTERS + 1] = "";
    if (!store_put(&rebuild->store, run, true) ||
        !store_find(&rebuild->store, run->run, machine, &exists, after))
        return false;
    if (before[0] == '\0')
        rebuild->added++;
    else if (strcmp(before, after) == 0)
        rebuild->same++;
    else {
        rebuild->changed++;
        printf("%s %s: the store had something else\n", run->run, machine);
    }
    return true;
}

// One capture. False only if the store fails: a capture that is damaged is named and counted.
static bool take_machine(struct rebuild *rebuild, const char *run_name, const char *machine)
{
    char path[PATH_MOST], why[PATH_MOST + 64] = "", before[STORE_DIGEST_CHARACTERS + 1] = "";
    char theirs[2 * (RECORD_NAME_MOST + 1)];
    struct run run = {0};
    bool exists = false, done = true;
    text_format(path, sizeof(path), "%s/runs/%s/%s/stream.bin", rebuild->results, run_name,
                machine);
    FILE *file = fopen(path, "rbe");
    if (file == NULL && (errno == ENOENT || errno == ENOTDIR))
        return true; // a link, a trace, a folder that holds something else
    if (file != NULL)
        fclose(file);
    if (!store_find(&rebuild->store, run_name, machine, &exists, before))
        return false;
    const enum capture_status status = replay_capture(path, &run, why, sizeof(why));
    run_machine(&run, theirs);
    if (status == CAPTURE_TRUNCATED && !exists) {
        rebuild->unfinished++;
        printf("%s: of a run that was stopped, left out\n", path);
    } else if (status != CAPTURE_WHOLE) {
        rebuild->bad++;
        complain("%s%s", why, exists ? ": the stored run is left as it is" : ": left out");
    } else if (strcmp(run.run, run_name) != 0 || strcmp(theirs, machine) != 0) {
        rebuild->bad++;
        complain("%s is of run %s on %s: left out", path, run.run, theirs);
    } else {
        done = put(rebuild, &run, machine, exists, before) && trace_write(rebuild->results, &run);
    }
    run_free(&run);
    return done;
}

static bool take_run(struct rebuild *rebuild, const char *unused, const char *name)
{
    char folder[PATH_MOST];
    (void)unused;
    text_format(folder, sizeof(folder), "%s/runs/%s", rebuild->results, name);
    return for_each(rebuild, folder, name, take_machine);
}

int rebuild_command(const char *results)
{
    struct rebuild rebuild = {.results = results};
    char database[PATH_MOST], folder[PATH_MOST];
    text_format(database, sizeof(database), "%s/history.db", results);
    text_format(folder, sizeof(folder), "%s/runs", results);
    DIR *runs = opendir(folder);
    if (runs == NULL) {
        complain("%s: %s: results= names the folder that holds runs/", folder, strerror(errno));
        return EXIT_USAGE;
    }
    closedir(runs);
    bool done = store_open(&rebuild.store, database) && store_begin(&rebuild.store);
    if (done) {
        done = for_each(&rebuild, folder, NULL, take_run) && store_commit(&rebuild.store);
        if (!done)
            store_rollback(&rebuild.store);
    }
    store_close(&rebuild.store);
    if (!done)
        return EXIT_HARNESS;
    printf("%s: %u runs as they were, %u changed, %u added, %u unfinished, %u damaged\n", database,
           rebuild.same, rebuild.changed, rebuild.added, rebuild.unfinished, rebuild.bad);
    return rebuild.bad > 0 ? EXIT_HARNESS : EXIT_COMPLETE;
}
