// SPDX-License-Identifier: MIT
// The trace of a run: pieces of Perfetto packets as they came over the line, put together into a
// file that is valid whatever got lost.
//
// The target sends a trace in pieces, each of whole packets and a few frames long, that need
// nothing of each other (trace/perfetto.h). A piece of which a frame is missing is left out whole.
// For each such gap a packet of the recorder's own says that data was lost, and how much stands at
// the end. A target that dies never says where its trace ends: that, too, is told as a loss there.
#ifndef TRACE_FILE_H
#define TRACE_FILE_H

#include "common.h"
#include "model.h"
#include "wire.h"

#define TRACE_FILE_MOST   (64u << 20) // bytes of one boot's trace; more counts as lost
#define TRACE_FRAMES_MOST (1u << 17)
#define TRACE_FILE_NAME   "trace.perfetto-trace"

// Of the recorder's packets: no target has so many CPUs.
#define TRACE_FILE_SEQUENCE 1000u
#define TRACE_FILE_BUFFER   999u

#define TRACE_SENT_UNKNOWN UINT64_MAX // the target did not live to say

struct trace_frame {
    uint32_t offset, length;
    size_t at; // in `bytes`
    bool first;
};

struct trace_frames {
    struct trace_frame *frames;
    size_t count, capacity;
    struct buffer bytes;
};

// Keeps the frame's payload; duplicates and reordering are harmless. Beyond the limits it is not
// kept, and missing later.
void trace_frames_add(struct trace_frames *frames, const struct wire_header *header,
                      const uint8_t *payload);
void trace_frames_free(struct trace_frames *frames);

// Makes the file's bytes in run->trace and counts what is missing in run->trace_lost (bytes); run
// has its names already. `sent`: how many bytes the target says it sent. TRACE_SENT_UNKNOWN: bytes
// behind the last that came may be missing uncounted, and run->trace_end_unknown is set if any
// came. If nothing came there is no file, and all bytes known to be sent are missing.
void trace_assemble(struct trace_frames *frames, uint64_t sent, struct run *run);

// Writes run->trace to runs/ID/TARGET-MACHINE below `results`, and makes
// runs/ID/trace.perfetto-trace point to it unless that is there. Does nothing without a trace.
// False after one line of complaint.
bool trace_write(const char *results, const struct run *run);

#endif
