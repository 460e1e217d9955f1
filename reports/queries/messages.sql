-- SPDX-License-Identifier: MIT
-- How long messages were on their way, from the begin of the send to that of what received them, in nanoseconds.
SELECT source_thread.name || ' to ' || target_thread.name AS way, count() AS messages,
       sum(target.ts - source.ts) / count() AS mean, max(target.ts - source.ts) AS most
FROM flow
JOIN slice AS source ON flow.slice_out = source.id
JOIN slice AS target ON flow.slice_in = target.id
JOIN thread_track AS source_track ON source.track_id = source_track.id
JOIN thread AS source_thread ON source_thread.utid = source_track.utid
JOIN thread_track AS target_track ON target.track_id = target_track.id
JOIN thread AS target_thread ON target_thread.utid = target_track.utid
WHERE source.category = 'ipc'
GROUP BY way ORDER BY way;
