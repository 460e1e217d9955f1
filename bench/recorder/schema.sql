-- SPDX-License-Identifier: MIT
-- The store. One transaction writes one (run, machine) whole, with its digest; nothing is updated
-- afterwards. All of it can be made again from the captures (stream.bin).
PRAGMA application_id = 0x5449434b;  -- "TICK"
-- Goes up with every table and column: who reads an older version says so. 2: table outlier, which
-- also the last stores of version 1 have.
PRAGMA user_version = 2;

-- One target machine of one run, all its boots.
CREATE TABLE IF NOT EXISTS run (
    run      TEXT NOT NULL,   -- id of the `bench`, e.g. 20261121T101500Z-1a2b3c4
    machine  TEXT NOT NULL,   -- "<target>-<machine>", e.g. qemu-exact, host-native
    target   TEXT NOT NULL,   -- qemu, host, baremetal
    clock    TEXT NOT NULL,   -- insn, tsc, core, emulated, unknown (no boot got so far)
    hz       INTEGER NOT NULL,-- ticks a second, 0 unknown
    utc      TEXT NOT NULL,   -- start, ISO 8601
    commit_id TEXT NOT NULL,  -- hexadecimal, or unknown
    dirty    INTEGER NOT NULL,
    size     TEXT NOT NULL,   -- quick, full
    outcome  TEXT NOT NULL,   -- of the worst boot: complete, guest panic, triple fault, hang, target died,
                              -- target could not start, stream damaged, rows rejected
    detail   TEXT NOT NULL,   -- one line that says more
    boots    INTEGER NOT NULL,-- boots started
    digest   TEXT NOT NULL,   -- SHA-256 over the lines of digest.sql, hexadecimal
    PRIMARY KEY (run, machine)
) STRICT;

-- What the run carries: facts about binary, machine, emulator, clock proof. Unknown reads "unknown".
CREATE TABLE IF NOT EXISTS fact (
    run TEXT NOT NULL, machine TEXT NOT NULL,
    key TEXT NOT NULL, value TEXT NOT NULL,
    PRIMARY KEY (run, machine, key)
) STRICT;

-- One row of the plan: a variant of a case. `aa` 1: the baseline's second, identical participant.
CREATE TABLE IF NOT EXISTS bench_row (
    run TEXT NOT NULL, machine TEXT NOT NULL,
    id   TEXT NOT NULL,           -- suite/case/variant
    aa   INTEGER NOT NULL,        -- 0 or 1
    role TEXT NOT NULL,           -- baseline, product, floor, peer
    what TEXT NOT NULL,           -- what the case measures, one line
    unit TEXT NOT NULL,           -- instructions, ticks, core cycles, emulated ticks
    definition TEXT NOT NULL,     -- 16 hexadecimal digits: 8 of what was asked, 8 of what answered
    operations INTEGER NOT NULL,  -- declared for one window; what a round really used stands there
    status TEXT NOT NULL,         -- ok, missing, checksum wrong, work deleted, not deterministic, failed
    PRIMARY KEY (run, machine, id, aa)
) STRICT;

-- One round of one boot: the samples in order, each a whole window less the overhead.
CREATE TABLE IF NOT EXISTS round (
    run TEXT NOT NULL, machine TEXT NOT NULL,
    id TEXT NOT NULL, aa INTEGER NOT NULL,
    boot INTEGER NOT NULL,        -- from 0
    round INTEGER NOT NULL,       -- from 0 within the boot
    operations INTEGER NOT NULL,  -- in each window of this round; a sample divided by it is the cost of one
    overhead INTEGER NOT NULL,    -- ticks already subtracted from each sample
    cold INTEGER NOT NULL,        -- first window of the round after set-up, less the overhead
    samples BLOB NOT NULL,        -- signed 64-bit little-endian
    tags BLOB NOT NULL,           -- a byte a sample: 0 clean, else what overlapped it: 1 interrupt,
                                  -- 2 page fault, 4 migration, 8 preemption, 16 NMI, 32 SMI,
                                  -- 64 steal (added up)
    PRIMARY KEY (run, machine, id, aa, boot, round)
) STRICT;

-- Counters of a row, e.g. hit_rate = numerator / denominator. Exact, the same on every boot; but what
-- the processor counted (cycles, instructions) is measured, and so is a share that is not the same each
-- time (observed): the sums over the boots.
CREATE TABLE IF NOT EXISTS counter (
    run TEXT NOT NULL, machine TEXT NOT NULL,
    id TEXT NOT NULL,
    name TEXT NOT NULL,
    numerator INTEGER NOT NULL, denominator INTEGER NOT NULL,  -- denominator > 0
    unit TEXT NOT NULL,           -- percent, count, bytes, ratio, cycles, instructions, observed;
                                  -- percent: value = 100 * n / d
    PRIMARY KEY (run, machine, id, name)
) STRICT;

-- Samples of the round of a row that was traced: when they were taken.
CREATE TABLE IF NOT EXISTS outlier (
    run TEXT NOT NULL, machine TEXT NOT NULL,
    id TEXT NOT NULL,
    name TEXT NOT NULL,           -- max, p99.9
    window INTEGER NOT NULL,      -- which of the round's, from 0
    windows INTEGER NOT NULL,     -- of the round
    operations INTEGER NOT NULL,  -- in each window
    sample INTEGER NOT NULL,      -- of traced code, in the row's unit, the overhead taken off
    least INTEGER NOT NULL,       -- sample of the round
    tags INTEGER NOT NULL,        -- as in round
    begin_ns INTEGER NOT NULL, end_ns INTEGER NOT NULL,  -- of the trace
    PRIMARY KEY (run, machine, id, name)
) STRICT;
