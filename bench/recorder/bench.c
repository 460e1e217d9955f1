// SPDX-License-Identifier: MIT
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include "boot.h"
#include "commands.h"
#include "facts.h"
#include "replay.h"
#include "store.h"
#include "trace_file.h"

#define PATH_MOST    4096u
#define MISSING_MOST 20u // rows named one by one

struct bench {
    const struct request *request;
    char machine[2 * (RECORD_NAME_MOST + 1)]; // <target>-<machine>
    char database[PATH_MOST], folder[PATH_MOST];
    char stream[PATH_MOST], log[PATH_MOST], tables[PATH_MOST];
    char utc[32];
    struct session_expect expect;
    char obstacle[DETAIL_MOST]; // why no boot can start
    struct capture capture;
    struct progress progress;
    int signals;
};

static bool make_paths(struct bench *bench)
{
    const struct request *request = bench->request;
    // The longest name below is far shorter than what is kept free here.
    if (strlen(request->results) > PATH_MOST - 4 * RECORD_NAME_MOST - 64) {
        complain("results=: the path is too long");
        return false;
    }
    const char *results = request->results;
    text_format(bench->machine, sizeof(bench->machine), "%s-%s", request->target, request->machine);
    text_format(bench->database, PATH_MOST, "%s/history.db", results);
    text_format(bench->folder, PATH_MOST, "%s/runs/%s/%s", results, request->run, bench->machine);
    text_format(bench->stream, PATH_MOST, "%s/runs/%s/%s/stream.bin", results, request->run,
                bench->machine);
    text_format(bench->log, PATH_MOST, "%s/runs/%s/%s/log.txt", results, request->run,
                bench->machine);
    text_format(bench->tables, PATH_MOST, "%s/runs/%s/%s/tables.txt", results, request->run,
                bench->machine);
    if (make_folders(bench->folder))
        return true;
    complain_write(bench->folder);
    return false;
}

static int refuse_known_run(const struct bench *bench)
{
    struct store store;
    bool exists = false;
    const bool read = store_open(&store, bench->database) &&
                      store_find(&store, bench->request->run, bench->machine, &exists, NULL);
    store_close(&store);
    if (!read)
        return EXIT_HARNESS;
    if (!exists)
        return EXIT_COMPLETE;
    complain("run %s on %s is in %s already: choose another run=", bench->request->run,
             bench->machine, bench->database);
    return EXIT_USAGE;
}

// ---- the begin chunk ---------------------------------------------------------------------------

static void gather_facts(const struct bench *bench, struct facts *facts)
{
    const struct request *request = bench->request;
    facts_of_image(facts, request->image);
    facts_of_host(facts);
    if (request->command != NULL)
        facts_of_command(facts, request->command);
    facts_set(facts, "arguments", request->arguments[0] != '\0' ? request->arguments : "none");
    for (size_t i = 0; i < request->facts.count; i++)
        facts_set(facts, request->facts.fact[i].key, request->facts.fact[i].value);
}

static bool write_begin(struct bench *bench)
{
    const struct request *request = bench->request;
    struct buffer text = {0};
    struct facts facts = {0};
    const time_t now = time(NULL);
    struct tm utc;
    gmtime_r(&now, &utc);
    strftime(bench->utc, sizeof(bench->utc), "%Y-%m-%dT%H:%M:%SZ", &utc);
    gather_facts(bench, &facts);
    buffer_print(&text,
                 "capture=%d\nrun=%s\ntarget=%s\nmachine=%s\nclock=%s\nutc=%s\ncommit=%s\n"
                 "dirty=%d\nsize=%s\nboots=%u\n",
                 CAPTURE_VERSION, request->run, request->target, request->machine, request->clock,
                 bench->utc, request->commit, request->dirty, request->size, request->boots);
    for (size_t i = 0; i < facts.count; i++) {
        // What does not fit in the chunk would not be read back: the caps of facts keep it away
        // unless somebody gives hundreds of the longest.
        if (text.length + strlen(facts.fact[i].value) < CAPTURE_PAYLOAD_MOST - 256)
            buffer_print(&text, "fact:%s=%s\n", facts.fact[i].key, facts.fact[i].value);
    }
    const bool written = capture_add(&bench->capture, CAPTURE_BEGIN, text.bytes, text.length);
    facts_free(&facts);
    buffer_free(&text);
    return written;
}

// ---- boots -------------------------------------------------------------------------------------

static bool run_boots(struct bench *bench, struct boot_result *result)
{
    const struct request *request = bench->request;
    const char *obstacle = bench->obstacle[0] != '\0' ? bench->obstacle : NULL;
    for (uint32_t boot = 0; boot < request->boots; boot++) {
        bench->expect.boot = boot;
        bench->expect.session = request->session + boot;
        if (!boot_run(request, &bench->expect, obstacle, bench->signals, &bench->capture,
                      &bench->progress, result))
            return false;
        // What fails once is not repeated: nothing can make the run complete any more.
        if (result->signal != 0 || result->outcome != OUTCOME_COMPLETE)
            break;
    }
    return true;
}

// ---- the end -----------------------------------------------------------------------------------

// The link is replaced in one step, so that a reader always finds a run.
static void point_latest(const struct bench *bench)
{
    char link[PATH_MOST], new_link[PATH_MOST], to[RECORD_NAME_MOST + 8];
    text_format(to, sizeof(to), "runs/%s", bench->request->run);
    text_format(link, sizeof(link), "%s/latest", bench->request->results);
    text_format(new_link, sizeof(new_link), "%s/.latest.%d", bench->request->results,
                (int)getpid());
    unlink(new_link);
    if (symlink(to, new_link) != 0 || rename(new_link, link) != 0) {
        complain_write(link);
        unlink(new_link);
    }
}

static void name_rows(struct bench *bench, const struct run *run)
{
    struct buffer text = {0};
    size_t named = 0, others = 0;
    for (size_t i = 0; i < run->row_count; i++) {
        const struct row *row = &run->rows[i];
        if (row->status == ROW_OK)
            continue;
        if (named == MISSING_MOST) {
            others++;
            continue;
        }
        named++;
        // Measured it may have been, and then lost on the way.
        const char *detail = row->status == ROW_MISSING ? "no whole result came" : row->detail;
        buffer_print(&text, "%s%s: %s%s%s\n", row->id, row->aa != 0 ? "#aa" : "",
                     row_status_names[row->status], detail[0] != '\0' ? ": " : "", detail);
    }
    if (others > 0)
        buffer_print(&text, "and %zu more rows\n", others);
    if (text.length > 0)
        progress_report(&bench->progress, (char *)text.bytes, text.length);
    buffer_free(&text);
}

// ", 3 log frames lost", or nothing.
static void name_loss(const struct run *run, const char *key, const char *what, char *out,
                      size_t capacity)
{
    const char *lost = facts_get(&run->facts, key);
    const bool some = lost != NULL && strcmp(lost, "0") != 0;
    out[0] = '\0';
    if (some)
        text_format(out, capacity, ", %s %s frames lost", lost, what);
}

static int tell(struct bench *bench, const struct run *run)
{
    size_t whole = 0;
    char log[64], trace[64];
    name_loss(run, "line.lost_log_frames", "log", log, sizeof(log));
    name_loss(run, "line.lost_trace_frames", "trace", trace, sizeof(trace));
    for (size_t i = 0; i < run->row_count; i++)
        whole += run->rows[i].status == ROW_OK;
    name_rows(bench, run);
    if (run->trace_lost > 0 && run->trace.length == 0)
        printf("all %" PRIu64 " bytes of the trace were lost on the line: there is no file of it\n",
               run->trace_lost);
    else if (run->trace_lost > 0)
        printf("of the trace %" PRIu64 " bytes were lost on the line; it says where\n",
               run->trace_lost);
    printf("%s%s%s: %zu of %zu rows, %u of %u boots%s%s%s, results in %s\n",
           outcome_names[run->outcome], run->detail[0] != '\0' ? ": " : "", run->detail, whole,
           run->row_count, run->boots, run->boots_planned, log, trace,
           run->trace_end_unknown ? ", end of the trace unknown" : "", bench->folder);
    fflush(stdout);
    // A whole run with a rejected row is no success: a number that was promised is not there.
    return run->outcome == OUTCOME_NO_START                              ? EXIT_NO_TARGET
           : run->outcome == OUTCOME_COMPLETE && whole == run->row_count ? EXIT_COMPLETE
                                                                         : EXIT_HARNESS;
}

static bool store_run(const struct bench *bench, const struct run *run)
{
    struct store store;
    bool stored = store_open(&store, bench->database) && store_begin(&store);
    if (stored) {
        stored = store_put(&store, run, false) && store_commit(&store);
        if (!stored)
            store_rollback(&store);
    }
    store_close(&store);
    return stored;
}

// The counters, which the target's own tables do not have, below them. False after a complaint.
static bool add_counters(const struct bench *bench, const struct run *run)
{
    FILE *file = fopen(bench->tables, "ae");
    if (file == NULL) {
        complain_write(bench->tables);
        return false;
    }
    for (size_t i = 0; i < run->row_count; i++) {
        const struct row *row = &run->rows[i];
        for (size_t k = 0; row->aa == 0 && k < row->counter_count; k++) {
            const struct counter *counter = &row->counters[k];
            fprintf(file, "counter %s %s %" PRIu64 "/%" PRIu64 " %s\n", row->id, counter->name,
                    counter->numerator, counter->denominator, counter->unit);
        }
    }
    const bool written = ferror(file) == 0;
    if (fclose(file) == 0 && written)
        return true;
    complain_write(bench->tables);
    return false;
}

// From the capture's end to the store: what is stored is what the capture says.
static int conclude(struct bench *bench)
{
    struct run run = {0};
    char why[PATH_MOST + 64];
    int code = EXIT_HARNESS;
    if (!capture_finish(&bench->capture))
        return code;
    bool tables = progress_write_tables(&bench->progress, bench->tables);
    if (replay_capture(bench->stream, &run, why, sizeof(why)) != CAPTURE_WHOLE) {
        complain("%s: what was just written cannot be read back", why);
    } else if (store_run(bench, &run)) {
        tables = tables && add_counters(bench, &run);
        code = tell(bench, &run);
        if (!trace_write(bench->request->results, &run))
            code = EXIT_HARNESS;
    } else {
        // The capture is whole: nothing needs to be measured again.
        complain("the run is not in the store; `recorder rebuild results=%s` adds it from %s",
                 bench->request->results, bench->stream);
    }
    point_latest(bench);
    run_free(&run);
    return tables && !bench->progress.failed ? code : EXIT_HARNESS;
}

static int open_signals(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGCHLD);
    sigprocmask(SIG_BLOCK, &set, NULL);
    return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static int measure(struct bench *bench)
{
    struct boot_result result = {0};
    bench->signals = open_signals();
    if (bench->signals < 0) {
        complain("no signalfd: %s", strerror(errno));
        return EXIT_HARNESS;
    }
    if (!write_begin(bench) || !run_boots(bench, &result))
        return EXIT_HARNESS;
    if (result.signal == 0)
        return conclude(bench);
    complain("stopped by %s: the target is killed, nothing was stored; what came is in %s",
             strsignal(result.signal), bench->stream);
    return EXIT_SIGNALLED + result.signal;
}

int bench_command(const struct request *request)
{
    struct bench *bench = memory_get(sizeof(*bench));
    bench->request = request;
    bench->signals = -1;
    int code = make_paths(bench) ? refuse_known_run(bench) : EXIT_HARNESS;
    if (code == EXIT_COMPLETE) {
        bench->expect.clock = request->clock;
        bench->expect.build_id_length =
            facts_build_id(request->image, bench->expect.build_id, sizeof(bench->expect.build_id),
                           bench->obstacle, sizeof(bench->obstacle));
        code = EXIT_HARNESS;
        if (capture_create(&bench->capture, bench->stream)) {
            if (progress_init(&bench->progress, bench->log, request->boots))
                code = measure(bench);
            progress_free(&bench->progress);
            capture_close(&bench->capture);
        }
    }
    if (bench->signals >= 0)
        close(bench->signals);
    free(bench);
    return code;
}
