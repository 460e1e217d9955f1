-- SPDX-License-Identifier: MIT
-- What operations took, by thread and name, in nanoseconds of traced code. Percentiles by the nearest rank.
WITH taken AS (
    SELECT thread.name AS thread, slice.name AS operation, slice.dur AS dur,
           row_number() OVER (PARTITION BY thread.name, slice.name ORDER BY slice.dur) AS place,
           count() OVER (PARTITION BY thread.name, slice.name) AS times
    FROM slice JOIN thread_track ON slice.track_id = thread_track.id JOIN thread USING (utid)
    WHERE slice.dur > 0
)
SELECT thread, operation, times, sum(dur) AS ns,
       min(CASE WHEN place * 100 >= times * 50 THEN dur END) AS p50,
       min(CASE WHEN place * 100 >= times * 99 THEN dur END) AS p99,
       max(dur) AS most
FROM taken GROUP BY thread, operation, times ORDER BY ns DESC, thread, operation;
