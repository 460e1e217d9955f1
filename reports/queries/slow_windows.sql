-- SPDX-License-Identifier: MIT
-- The slowest windows of the traced rounds, and the interrupts that overlapped each, in nanoseconds.
SELECT track.name AS row, window.ts AS at, window.dur AS takes,
       count(handler.id) AS interrupts, coalesce(sum(handler.dur), 0) AS interrupted,
       group_concat(DISTINCT handler.name) AS by_what
FROM slice AS window
JOIN track ON window.track_id = track.id
LEFT JOIN slice AS handler ON handler.category = 'irq' AND handler.ts < window.ts + window.dur
                          AND handler.ts + handler.dur > window.ts
WHERE window.name = 'slow window'
GROUP BY window.id ORDER BY interrupted DESC, takes DESC;
