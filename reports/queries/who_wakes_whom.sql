-- SPDX-License-Identifier: MIT
-- Who wakes whom, and how often.
SELECT waker.name AS waker, woken.name AS woken, count() AS times
FROM thread_state AS state
JOIN thread AS waker ON waker.utid = state.waker_utid
JOIN thread AS woken ON woken.utid = state.utid
GROUP BY 1, 2 ORDER BY times DESC, 1, 2;
