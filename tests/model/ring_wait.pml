// SPDX-License-Identifier: MIT
// The protocol of ring_wait.c: who sends and who sleeps, over a machine whose stores wait in a
// buffer of their CPU (TSO), which the C11 checker (model_waits.c) knows nothing of; the barrier
// that a sleeper makes all others do, which C11 has no word for; several receivers; batches. The
// lines of the source that a step stands for are quoted behind "code:"; a test looks for them.
//
// A sender's publication is a store that becomes visible later; everything done behind the lock,
// and every locked instruction, waits until the buffer is empty.
//
// MUTATION breaks one step: 1 no second look, 2 the second look before the sleeper has said so, 3 a
// sleeper that has no barrier made, 4 a sender that looks before it publishes, 5 who takes one of
// several does not wake the next.
#ifndef MUTATION
#define MUTATION 0
#endif
#ifndef PAYS
#define PAYS 0 /* 1: senders have a locked instruction in place of the sleepers' barrier */
#endif
#define SENDERS   2
#define RECEIVERS 2
#define EACH(s)   (2 - (s)) /* messages of a sender: one, or both at once */
#define ALL       3

byte there;             // published, visible to all, not received
byte buffered[SENDERS]; // published, still in the sender's store buffer
byte received;
byte watch;             // those in the list
bool listed[RECEIVERS], woken[RECEIVERS], permit[RECEIVERS];

// The buffer empties by itself at any time.
proctype buffer(byte s)
{
end:
    do
    :: atomic { buffered[s] > 0 -> there = there + buffered[s]; buffered[s] = 0 }
    od
}

#define DRAIN(s)                                                                                   \
    there = there + buffered[s];                                                                   \
    buffered[s] = 0

// Behind the lock: one step. Who is woken is any of those that sleep.
inline wake_one()
{
    // code: if (list_empty(&sleepers->list))
    if
    :: listed[0] -> listed[0] = false; woken[0] = true; permit[0] = true; watch--
    :: listed[1] -> listed[1] = false; woken[1] = true; permit[1] = true; watch--
    :: !listed[0] && !listed[1]
    fi
}

proctype sender(byte s)
{
    byte sent = 0, count;
    bool somebody;
    do
    :: sent == EACH(s) -> break
    :: sent < EACH(s) ->
        somebody = false;
        if
        :: MUTATION == 4 -> somebody = watch > 0
        :: else
        fi;
        atomic {
            if
            :: count = 1
            :: sent + 2 <= EACH(s) -> count = 2
            fi;
            // code: const enum status status = ops->send(wait->ring, payload, length);
            // code: const enum status status = ops->send_batch(wait->ring, messages, count, sent);
            buffered[s] = buffered[s] + count;
            sent = sent + count
        }
        if
        :: MUTATION == 4
        :: MUTATION != 4 && !PAYS ->
            // code: if (UNLIKELY(__atomic_load_n(&wait->sides[side].watch, __ATOMIC_RELAXED) != 0))
            somebody = watch > 0
        :: MUTATION != 4 && PAYS ->
            // code: return __atomic_fetch_add(&sleepers->watch, 0, __ATOMIC_ACQ_REL) >= RING_WATCH_ONE;
            atomic { DRAIN(s); somebody = watch > 0 }
        fi;
        if
        :: somebody -> atomic { DRAIN(s); wake_one() }
        :: else
        fi
    od
}

inline look()
{
    atomic {
        if
        :: there > 0 -> there--; got = true
        :: else
        fi
    }
}

inline say_so(r)
{
    // code: list_insert_after(sleepers->list.previous, &self->link);
    // code: __atomic_fetch_add(&sleepers->watch, RING_WATCH_ONE, __ATOMIC_ACQ_REL);
    atomic { woken[r] = false; listed[r] = true; watch++ }
    // code: return waiter->barrier == NULL || waiter->barrier(waiter->place);
    if
    :: !PAYS && MUTATION != 3 -> // one CPU after the other answers
        atomic { DRAIN(0) }
        atomic { DRAIN(1) }
    :: else
    fi
}

proctype receiver(byte r)
{
    bool got;
end:
    do
    :: got = false;
       look();
       if
       :: got
       :: else ->
            do
            :: if
               :: MUTATION == 2 -> look()
               :: else
               fi;
               if
               :: !got -> say_so(r)
               :: else
               fi;
               // code: enum status status = attempt_or_end(wait, wanted); // the second look
               if
               :: MUTATION == 1 || MUTATION == 2
               :: else -> look()
               fi;
               if
               :: !got ->
                    // code: while (!(woken = is_woken(self)) &&
endsleep:           do
                    :: atomic { woken[r] -> permit[r] = false; break }
                    :: atomic { !woken[r] && permit[r] -> permit[r] = false }
                    od
               :: else
               fi;
               // code: if (!is_woken(self)) {
               atomic {
                   if
                   :: listed[r] -> listed[r] = false; watch--
                   :: else
                   fi
               }
               if
               :: !got -> look()
               :: else
               fi;
               if
               :: got -> break
               :: else
               fi
            od;
            // code: pass_on(wait, side);
            if
            :: MUTATION == 5
            :: MUTATION != 5 && watch > 0 && there > 0 -> atomic { wake_one() }
            :: else
            fi
       fi;
       d_step { received++; assert(received <= ALL) };
       // It works for as long as it likes: forever, once. Then the others have what comes.
       if
       :: true
       :: r == 0 && received < ALL -> break
       fi
    od
}

// When all is at rest nobody sleeps beside a message. Receiver 0 may have left for good.
proctype watcher()
{
    timeout -> assert(there == 0)
}

init {
    atomic {
        run buffer(0);
        run buffer(1);
        run sender(0);
        run sender(1);
        run receiver(0);
        run receiver(1);
        run watcher()
    }
}
