-- SPDX-License-Identifier: MIT
-- What is drawn of each row's run: operations at the top by name, how many and how long, in nanoseconds.
SELECT track.name AS row, operation.name AS operation, count() AS times, sum(operation.dur) AS ns
FROM slice AS phase
JOIN track ON phase.track_id = track.id
JOIN slice AS operation ON operation.ts >= phase.ts AND operation.ts < phase.ts + phase.dur
JOIN thread_track ON operation.track_id = thread_track.id
WHERE phase.name = 'run' AND phase.depth = 0 AND operation.depth = 0 AND operation.dur > 0
      AND track.name GLOB '*/*/*'
GROUP BY row, operation.name ORDER BY row, ns DESC;
