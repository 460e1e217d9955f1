-- SPDX-License-Identifier: MIT
-- The canonical text of one (run ?1, machine ?2): one line a record, sorted. The digest is the SHA-256 of all
-- lines, each followed by a newline. Used by the recorder that writes and by the reports that read.
SELECT line FROM (
    SELECT 'run ' || json_array(run, machine, target, clock, hz, utc, commit_id, dirty, size, outcome, detail, boots)
        AS line FROM run WHERE run = ?1 AND machine = ?2
    UNION ALL
    SELECT 'fact ' || json_array(key, value) FROM fact WHERE run = ?1 AND machine = ?2
    UNION ALL
    SELECT 'row ' || json_array(id, aa, role, what, unit, definition, operations, status)
        FROM bench_row WHERE run = ?1 AND machine = ?2
    UNION ALL
    SELECT 'round ' || json_array(id, aa, boot, round, operations, overhead, cold, hex(samples), hex(tags))
        FROM round WHERE run = ?1 AND machine = ?2
    UNION ALL
    SELECT 'counter ' || json_array(id, name, numerator, denominator, unit)
        FROM counter WHERE run = ?1 AND machine = ?2
    UNION ALL
    SELECT 'outlier ' || json_array(id, name, window, windows, operations, sample, least, tags, begin_ns, end_ns)
        FROM outlier WHERE run = ?1 AND machine = ?2
) ORDER BY line COLLATE BINARY
