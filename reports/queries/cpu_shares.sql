-- SPDX-License-Identifier: MIT
-- How each CPU's time was shared between roles, in nanoseconds.
SELECT sched.cpu AS cpu, process.name AS role, count() AS turns, sum(sched.dur) AS ns
FROM sched JOIN thread USING (utid) JOIN process USING (upid)
WHERE sched.dur > 0 GROUP BY 1, 2 ORDER BY 1, ns DESC;
