// SPDX-License-Identifier: MIT
#include "store.h"

#include <openssl/evp.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

#include "digest_sql.h"
#include "schema_sql.h"

#define BUSY_MS        30000
#define APPLICATION_ID 0x5449434b
#define SCHEMA_VERSION 2 // 1 becomes 2 with the next run: its tables are as they were

static bool refuse(struct store *store, const char *doing)
{
    const int code = sqlite3_errcode(store->db);
    const char *advice = "";
    if (code == SQLITE_FULL || code == SQLITE_IOERR)
        advice = ": make room there, then run again; what was stored before is whole";
    else if (code == SQLITE_BUSY)
        advice = ": another recorder or report held it for 30 s";
    else if (code == SQLITE_NOTADB || code == SQLITE_CORRUPT || code == SQLITE_ERROR)
        advice = ": move it away, then `recorder rebuild results=DIR` makes it again";
    complain("%s: cannot %s: %s%s", store->path, doing, sqlite3_errmsg(store->db), advice);
    return false;
}

static bool execute(struct store *store, const char *sql, const char *doing)
{
    return sqlite3_exec(store->db, sql, NULL, NULL, NULL) == SQLITE_OK || refuse(store, doing);
}

bool store_open(struct store *store, const char *path)
{
    *store = (struct store){.path = path};
    if (sqlite3_open_v2(path, &store->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, NULL) !=
        SQLITE_OK)
        return refuse(store, "open");
    sqlite3_busy_timeout(store->db, BUSY_MS);
    sqlite3_extended_result_codes(store->db, 0);
    return execute(store, "PRAGMA journal_mode=DELETE; PRAGMA synchronous=FULL", "open");
}

void store_close(struct store *store)
{
    sqlite3_close(store->db);
    store->db = NULL;
}

// ---- statements --------------------------------------------------------------------------------

struct statement {
    struct store *store;
    sqlite3_stmt *step;
    int bound;
};

static bool prepare(struct statement *statement, struct store *store, const char *sql)
{
    *statement = (struct statement){.store = store};
    return sqlite3_prepare_v2(store->db, sql, -1, &statement->step, NULL) == SQLITE_OK ||
           refuse(store, "prepare");
}

// Binding fails for lack of memory only; the NULL it leaves is then refused by the schema.
static void bind_text(struct statement *statement, const char *text)
{
    sqlite3_bind_text(statement->step, ++statement->bound, text, -1, SQLITE_TRANSIENT);
}

static void bind_number(struct statement *statement, int64_t number)
{
    sqlite3_bind_int64(statement->step, ++statement->bound, number);
}

static bool insert(struct statement *statement)
{
    const bool done = sqlite3_step(statement->step) == SQLITE_DONE;
    if (!done)
        refuse(statement->store, "write the run");
    sqlite3_reset(statement->step);
    statement->bound = 0;
    return done;
}

static bool pragma_number(struct store *store, const char *sql, int64_t *value)
{
    struct statement statement;
    if (!prepare(&statement, store, sql))
        return false;
    const bool done = sqlite3_step(statement.step) == SQLITE_ROW || refuse(store, "read");
    *value = done ? sqlite3_column_int64(statement.step, 0) : 0;
    sqlite3_finalize(statement.step);
    return done;
}

// An empty file is a new store; anything else must be one of ours.
static bool check_format(struct store *store, bool *empty)
{
    int64_t id, version, tables;
    if (!pragma_number(store, "PRAGMA application_id", &id) ||
        !pragma_number(store, "PRAGMA user_version", &version) ||
        !pragma_number(store, "SELECT count(*) FROM sqlite_schema", &tables))
        return false;
    *empty = id == 0 && version == 0 && tables == 0;
    if (*empty || (id == APPLICATION_ID && version == SCHEMA_VERSION))
        return true;
    if (id == APPLICATION_ID && version == 1) // the first of them had another table of rounds
        return execute(store, "SELECT operations, tags FROM round LIMIT 0",
                       "add to what an older Tickmark made");
    if (id != APPLICATION_ID)
        complain("%s is a database of another program: nothing was written", store->path);
    else
        complain("%s has schema %lld, this recorder writes %d: take the Tickmark that wrote it, or "
                 "a newer one; nothing was written",
                 store->path, (long long)version, SCHEMA_VERSION);
    return false;
}

bool store_find(struct store *store, const char *run, const char *machine, bool *exists,
                char *digest)
{
    struct statement statement;
    bool empty;
    *exists = false;
    if (!check_format(store, &empty))
        return false;
    if (empty)
        return true;
    if (!prepare(&statement, store, "SELECT digest FROM run WHERE run = ? AND machine = ?"))
        return false;
    bind_text(&statement, run);
    bind_text(&statement, machine);
    const int result = sqlite3_step(statement.step);
    *exists = result == SQLITE_ROW;
    if (*exists && digest != NULL)
        text_format(digest, STORE_DIGEST_CHARACTERS + 1, "%s",
                    (const char *)sqlite3_column_text(statement.step, 0));
    const bool done = result == SQLITE_ROW || result == SQLITE_DONE || refuse(store, "read");
    sqlite3_finalize(statement.step);
    return done;
}

bool store_begin(struct store *store)
{
    bool empty;
    if (!execute(store, "BEGIN IMMEDIATE", "lock"))
        return false;
    if (check_format(store, &empty) && execute(store, schema_sql, "make the tables"))
        return true;
    store_rollback(store);
    return false;
}

bool store_commit(struct store *store)
{
    if (execute(store, "COMMIT", "commit"))
        return true;
    store_rollback(store);
    return false;
}

void store_rollback(struct store *store)
{
    sqlite3_exec(store->db, "ROLLBACK", NULL, NULL, NULL);
}

// ---- a run -------------------------------------------------------------------------------------

static bool put_run(struct store *store, const struct run *run, const char *machine)
{
    struct statement statement;
    if (!prepare(&statement, store,
                 "INSERT INTO run (run, machine, target, clock, hz, utc, commit_id, dirty, size, "
                 "outcome, detail, boots, digest) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,'')"))
        return false;
    bind_text(&statement, run->run);
    bind_text(&statement, machine);
    bind_text(&statement, run->target);
    bind_text(&statement, run->clock);
    bind_number(&statement, (int64_t)run->hz);
    bind_text(&statement, run->utc);
    bind_text(&statement, run->commit);
    bind_number(&statement, run->dirty);
    bind_text(&statement, run->size);
    bind_text(&statement, outcome_names[run->outcome]);
    bind_text(&statement, run->detail);
    bind_number(&statement, run->boots);
    const bool done = insert(&statement);
    sqlite3_finalize(statement.step);
    return done;
}

static bool put_facts(struct store *store, const struct run *run, const char *machine)
{
    struct statement statement;
    if (!prepare(&statement, store, "INSERT INTO fact (run, machine, key, value) VALUES (?,?,?,?)"))
        return false;
    bool done = true;
    for (size_t i = 0; i < run->facts.count && done; i++) {
        bind_text(&statement, run->run);
        bind_text(&statement, machine);
        bind_text(&statement, run->facts.fact[i].key);
        bind_text(&statement, run->facts.fact[i].value);
        done = insert(&statement);
    }
    sqlite3_finalize(statement.step);
    return done;
}

static bool put_rows(struct store *store, const struct run *run, const char *machine)
{
    struct statement statement;
    if (!prepare(&statement, store,
                 "INSERT INTO bench_row (run, machine, id, aa, role, what, unit, definition, "
                 "operations, status) VALUES (?,?,?,?,?,?,?,?,?,?)"))
        return false;
    bool done = true;
    for (size_t i = 0; i < run->row_count && done; i++) {
        const struct row *row = &run->rows[i];
        char definition[17];
        text_format(definition, sizeof(definition), "%016llx", (unsigned long long)row->definition);
        bind_text(&statement, run->run);
        bind_text(&statement, machine);
        bind_text(&statement, row->id);
        bind_number(&statement, row->aa);
        bind_text(&statement, row_role_names[row->role]);
        bind_text(&statement, row->what);
        bind_text(&statement, row->unit);
        bind_text(&statement, definition);
        bind_number(&statement, (int64_t)row->operations);
        bind_text(&statement, row_status_names[row->status]);
        done = insert(&statement);
    }
    sqlite3_finalize(statement.step);
    return done;
}

// Samples are stored little-endian whatever the host is; tags as a byte each.
struct blobs {
    uint8_t *samples, *tags;
};

static struct blobs to_blobs(const struct series *series)
{
    const size_t count = series->count;
    int64_t *values = memory_get(2 * count * sizeof(*values));
    struct blobs blobs = {memory_get(8 * count), memory_get(count)};
    series_decode(series, values, values + count);
    for (size_t i = 0; i < count; i++) {
        for (unsigned k = 0; k < 8; k++)
            blobs.samples[8 * i + k] = (uint8_t)((uint64_t)values[i] >> (8 * k));
        blobs.tags[i] = (uint8_t)values[count + i];
    }
    free(values);
    return blobs;
}

static void bind_blob(struct statement *statement, const uint8_t *bytes, size_t length)
{
    sqlite3_bind_blob(statement->step, ++statement->bound, bytes, (int)length, SQLITE_TRANSIENT);
}

static bool put_row_rounds(struct statement *statement, const struct run *run, const char *machine,
                           const struct row *row)
{
    bool done = true;
    for (size_t i = 0; i < row->series_count && done; i++) {
        const struct series *series = &row->series[i];
        struct blobs blobs = to_blobs(series);
        bind_text(statement, run->run);
        bind_text(statement, machine);
        bind_text(statement, row->id);
        bind_number(statement, row->aa);
        bind_number(statement, series->boot);
        bind_number(statement, series->round);
        bind_number(statement, (int64_t)series->operations);
        bind_number(statement, series->overhead);
        bind_number(statement, series->cold);
        bind_blob(statement, blobs.samples, 8 * (size_t)series->count);
        bind_blob(statement, blobs.tags, series->count);
        done = insert(statement);
        free(blobs.samples);
        free(blobs.tags);
    }
    return done;
}

static bool put_rounds(struct store *store, const struct run *run, const char *machine)
{
    struct statement statement;
    if (!prepare(&statement, store,
                 "INSERT INTO round (run, machine, id, aa, boot, round, operations, overhead, "
                 "cold, samples, tags) VALUES (?,?,?,?,?,?,?,?,?,?,?)"))
        return false;
    bool done = true;
    for (size_t i = 0; i < run->row_count && done; i++)
        done = put_row_rounds(&statement, run, machine, &run->rows[i]);
    sqlite3_finalize(statement.step);
    return done;
}

static bool put_counters(struct store *store, const struct run *run, const char *machine)
{
    struct statement statement;
    // The twin of a baseline counts the same (or its row is marked): one of them is stored.
    if (!prepare(&statement, store,
                 "INSERT INTO counter (run, machine, id, name, numerator, denominator, unit) "
                 "VALUES (?,?,?,?,?,?,?) ON CONFLICT DO NOTHING"))
        return false;
    bool done = true;
    for (size_t i = 0; i < run->row_count; i++) {
        for (size_t k = 0; k < run->rows[i].counter_count && done; k++) {
            const struct counter *counter = &run->rows[i].counters[k];
            bind_text(&statement, run->run);
            bind_text(&statement, machine);
            bind_text(&statement, run->rows[i].id);
            bind_text(&statement, counter->name);
            bind_number(&statement, (int64_t)counter->numerator);
            bind_number(&statement, (int64_t)counter->denominator);
            bind_text(&statement, counter->unit);
            done = insert(&statement);
        }
    }
    sqlite3_finalize(statement.step);
    return done;
}

static bool put_outliers(struct store *store, const struct run *run, const char *machine)
{
    struct statement statement;
    if (!prepare(&statement, store,
                 "INSERT INTO outlier (run, machine, id, name, window, windows, operations, "
                 "sample, least, tags, begin_ns, end_ns) VALUES (?,?,?,?,?,?,?,?,?,?,?,?)"))
        return false;
    bool done = true;
    for (size_t i = 0; i < run->row_count; i++) {
        for (size_t k = 0; k < run->rows[i].outlier_count && done; k++) {
            const struct outlier *outlier = &run->rows[i].outliers[k];
            bind_text(&statement, run->run);
            bind_text(&statement, machine);
            bind_text(&statement, run->rows[i].id);
            bind_text(&statement, outlier->name);
            bind_number(&statement, outlier->window);
            bind_number(&statement, outlier->windows);
            bind_number(&statement, (int64_t)outlier->operations);
            bind_number(&statement, outlier->sample);
            bind_number(&statement, outlier->least);
            bind_number(&statement, outlier->tags);
            bind_number(&statement, (int64_t)outlier->begin_ns);
            bind_number(&statement, (int64_t)outlier->end_ns);
            done = insert(&statement);
        }
    }
    sqlite3_finalize(statement.step);
    return done;
}

// ---- the digest --------------------------------------------------------------------------------

static bool hash_lines(struct statement *lines, EVP_MD_CTX *hash)
{
    int result;
    while ((result = sqlite3_step(lines->step)) == SQLITE_ROW) {
        const void *line = sqlite3_column_text(lines->step, 0);
        const int length = sqlite3_column_bytes(lines->step, 0);
        if (EVP_DigestUpdate(hash, line, (size_t)length) != 1 ||
            EVP_DigestUpdate(hash, "\n", 1) != 1) {
            complain("SHA-256 failed");
            return false;
        }
    }
    return result == SQLITE_DONE || refuse(lines->store, "read back the run");
}

static bool digest_of(struct store *store, const struct run *run, const char *machine, char *text)
{
    struct statement lines;
    uint8_t digest[EVP_MAX_MD_SIZE];
    unsigned length = 0;
    if (!prepare(&lines, store, digest_sql))
        return false;
    bind_text(&lines, run->run);
    bind_text(&lines, machine);
    EVP_MD_CTX *hash = EVP_MD_CTX_new();
    const bool done = hash != NULL && EVP_DigestInit_ex(hash, EVP_sha256(), NULL) == 1 &&
                      hash_lines(&lines, hash) && EVP_DigestFinal_ex(hash, digest, &length) == 1;
    EVP_MD_CTX_free(hash);
    sqlite3_finalize(lines.step);
    for (unsigned i = 0; i < length && i < STORE_DIGEST_CHARACTERS / 2; i++)
        text_format(text + 2 * i, 3, "%02x", digest[i]);
    return done;
}

static bool put_digest(struct store *store, const struct run *run, const char *machine)
{
    struct statement statement;
    char digest[STORE_DIGEST_CHARACTERS + 1] = "";
    if (!digest_of(store, run, machine, digest) ||
        !prepare(&statement, store, "UPDATE run SET digest = ? WHERE run = ? AND machine = ?"))
        return false;
    bind_text(&statement, digest);
    bind_text(&statement, run->run);
    bind_text(&statement, machine);
    const bool done = insert(&statement);
    sqlite3_finalize(statement.step);
    return done;
}

static bool remove_run(struct store *store, const struct run *run, const char *machine)
{
    static const char *const tables[] = {"run", "fact", "bench_row", "round", "counter", "outlier"};
    bool done = true;
    for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]) && done; i++) {
        struct statement statement;
        char sql[96];
        text_format(sql, sizeof(sql), "DELETE FROM %s WHERE run = ? AND machine = ?", tables[i]);
        if (!prepare(&statement, store, sql))
            return false;
        bind_text(&statement, run->run);
        bind_text(&statement, machine);
        done = insert(&statement);
        sqlite3_finalize(statement.step);
    }
    return done;
}

bool store_put(struct store *store, const struct run *run, bool replace)
{
    char machine[2 * (RECORD_NAME_MOST + 1)];
    bool exists;
    run_machine(run, machine);
    if (!store_find(store, run->run, machine, &exists, NULL))
        return false;
    if (exists && !replace) {
        complain("run %s on %s is in %s already: nothing was written", run->run, machine,
                 store->path);
        return false;
    }
    return (!exists || remove_run(store, run, machine)) && put_run(store, run, machine) &&
           put_facts(store, run, machine) && put_rows(store, run, machine) &&
           put_rounds(store, run, machine) && put_counters(store, run, machine) &&
           put_outliers(store, run, machine) && put_digest(store, run, machine);
}
