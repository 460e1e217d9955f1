-- SPDX-License-Identifier: MIT
-- The ledger of nights: what trends are made of, when the samples are long pruned. A line is
-- written in one transaction and never changed.
PRAGMA application_id = 0x5449434e;  -- "TICN"
PRAGMA user_version = 1;

CREATE TABLE IF NOT EXISTS night (
    number  INTEGER PRIMARY KEY,   -- the order of nights: a clock may be set back, this is not
    run     TEXT NOT NULL,
    machine TEXT NOT NULL,
    kind    TEXT NOT NULL,         -- night, or again: the re-run that confirms or does not
    utc     TEXT NOT NULL,
    about   TEXT NOT NULL,         -- JSON: target, clock, hz, commit, dirty, size, outcome, facts
    rows    BLOB NOT NULL,         -- zlib of JSON: a list for each column, all rows sorted by id
    digest  TEXT NOT NULL,         -- SHA-256 of all the above but the number, hexadecimal
    UNIQUE (run, machine)
) STRICT;

-- What was decided about a night, by its run: JSON, written once.
CREATE TABLE IF NOT EXISTS verdict (
    run    TEXT PRIMARY KEY,
    said   TEXT NOT NULL,
    digest TEXT NOT NULL
) STRICT;
