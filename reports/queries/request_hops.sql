-- SPDX-License-Identifier: MIT
-- How long requests were with the device, how long from the interrupt to their completion, and how long in all
-- where they were polled for, in nanoseconds. What was submitted and then submitted again was tried twice.
SELECT source.name || ' to ' || target.name AS hop, count() AS requests,
       sum(target.ts - source.ts) / count() AS mean, max(target.ts - source.ts) AS most
FROM flow
JOIN slice AS source ON flow.slice_out = source.id
JOIN slice AS target ON flow.slice_in = target.id
WHERE source.category = 'block'
GROUP BY hop ORDER BY hop;
