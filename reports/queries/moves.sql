-- SPDX-License-Identifier: MIT
-- Moves of threads from one CPU's queue to another's.
SELECT thread.name AS thread, count() AS moves
FROM slice JOIN thread_track ON slice.track_id = thread_track.id JOIN thread USING (utid)
WHERE slice.name = 'migrate' GROUP BY 1 ORDER BY moves DESC, 1;
