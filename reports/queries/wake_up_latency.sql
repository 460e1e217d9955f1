-- SPDX-License-Identifier: MIT
-- How long threads waited for a CPU since they were woken, by role, in nanoseconds.
WITH waited AS (
    SELECT process.name AS role, thread_state.dur AS dur,
           row_number() OVER (PARTITION BY process.name ORDER BY thread_state.dur) AS place,
           count() OVER (PARTITION BY process.name) AS times
    FROM thread_state JOIN thread USING (utid) JOIN process USING (upid)
    WHERE thread_state.state = 'R' AND thread_state.waker_utid IS NOT NULL AND thread_state.dur >= 0
)
SELECT role, times, sum(dur) AS ns,
       min(CASE WHEN place * 100 >= times * 50 THEN dur END) AS p50,
       min(CASE WHEN place * 100 >= times * 99 THEN dur END) AS p99,
       max(dur) AS most
FROM waited GROUP BY role, times ORDER BY ns DESC, role;
