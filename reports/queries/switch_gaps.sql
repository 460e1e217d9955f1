-- SPDX-License-Identifier: MIT
-- How long threads were off a CPU between two turns, by how they left it, and whether they came back on the
-- same one, in nanoseconds.
WITH turns AS (
    SELECT utid, cpu, end_state, ts + dur AS since,
           lead(ts) OVER (PARTITION BY utid ORDER BY ts) AS until,
           lead(cpu) OVER (PARTITION BY utid ORDER BY ts) AS next_cpu
    FROM sched WHERE dur >= 0
)
SELECT end_state AS left_as, cpu = next_cpu AS same_cpu, count() AS times,
       min(until - since) AS least, sum(until - since) / count() AS mean, max(until - since) AS most
FROM turns WHERE until IS NOT NULL
GROUP BY left_as, same_cpu ORDER BY left_as, same_cpu;
