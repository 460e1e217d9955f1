// SPDX-License-Identifier: MIT
// The store: SQLite, results/history.db. One transaction writes a (run, machine) whole, with its
// digest. A rollback journal is used: after kill -9 at any moment the next reader finds either all
// of it or nothing, in one file. Two writers wait for each other, 30 s at most.
//
// Every function that fails has printed one line of complaint.
#ifndef STORE_H
#define STORE_H

#include "model.h"

struct sqlite3;

struct store {
    struct sqlite3 *db;
    const char *path; // the caller's
};

#define STORE_DIGEST_CHARACTERS 64u

// Opens, or makes, the file; it is changed by the first transaction only.
bool store_open(struct store *store, const char *path);
void store_close(struct store *store);

// True in `exists` if the run is there; its digest in `digest` (STORE_DIGEST_CHARACTERS + 1 bytes,
// may be NULL).
bool store_find(struct store *store, const char *run, const char *machine, bool *exists,
                char *digest);

// A transaction; nothing is seen by others before the commit.
bool store_begin(struct store *store);
bool store_commit(struct store *store);
void store_rollback(struct store *store);

// Within a transaction. A run that is there already is replaced if `replace`, else refused.
bool store_put(struct store *store, const struct run *run, bool replace);

#endif
