-- SPDX-License-Identifier: MIT
-- Operations in which a thread was preempted.
SELECT slice.name AS operation, thread.name AS thread, count() AS times
FROM slice
JOIN thread_track ON slice.track_id = thread_track.id
JOIN thread USING (utid)
JOIN sched ON sched.utid = thread.utid AND sched.end_state = 'R+'
          AND sched.ts + sched.dur > slice.ts AND sched.ts + sched.dur < slice.ts + slice.dur
GROUP BY 1, 2 ORDER BY times DESC, 1, 2;
