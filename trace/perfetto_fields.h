// SPDX-License-Identifier: MIT
// Numbers of the fields of Perfetto's messages that are written here: facts of the format, from
// protos/perfetto/trace of https://github.com/google/perfetto. And what the kernel and the recorder
// write alike.
#ifndef PERFETTO_FIELDS_H
#define PERFETTO_FIELDS_H

#include "proto.h"

#define TRACE_PACKET 1
#define PACKET_WIDTH 2u // bytes for the length of a packet and of what nests in it: below 16 KiB

enum packet_field {
    PACKET_FTRACE = 1,
    PACKET_CLOCK_SNAPSHOT = 6,
    PACKET_TIMESTAMP = 8,
    PACKET_SEQUENCE_ID = 10,
    PACKET_TRACK_EVENT = 11,
    PACKET_INTERNED_DATA = 12,
    PACKET_SEQUENCE_FLAGS = 13,
    PACKET_TRACE_STATS = 35,
    PACKET_PREVIOUS_DROPPED = 42,
    PACKET_SYSTEM_INFO = 45,
    PACKET_COMPRESSED = 50,
    PACKET_TIMESTAMP_CLOCK = 58,
    PACKET_DEFAULTS = 59,
    PACKET_TRACK_DESCRIPTOR = 60,
    PACKET_FIRST_ON_SEQUENCE = 87,
    PACKET_PROCESS_TREE = 122,
    PACKET_ATTRIBUTES = 126,
};

enum sequence_flag { SEQUENCE_CLEARED = 1, SEQUENCE_NEEDS = 2 };
enum dropped_cause { DROPPED_PRESENT = 1, DROPPED_BUFFER_FULL = 256 };

enum snapshot_field { SNAPSHOT_CLOCKS = 1, SNAPSHOT_PRIMARY = 2 };
enum clock_field { CLOCK_ID = 1, CLOCK_TIMESTAMP = 2, CLOCK_INCREMENTAL = 3 };
enum clock_id { CLOCK_BOOTTIME = 6, CLOCK_TSC = 9, CLOCK_OF_SEQUENCE = 64 };

enum defaults_field { DEFAULTS_TRACK_EVENT = 11, DEFAULTS_CLOCK = 58 };

enum interned_field {
    INTERNED_CATEGORIES = 1,
    INTERNED_NAMES = 2,
    INTERNED_ANNOTATIONS = 3,
};
enum interned_string_field { INTERNED_IID = 1, INTERNED_STRING = 2 };

enum track_field {
    TRACK_UUID = 1,
    TRACK_NAME = 2,
    TRACK_PROCESS = 3,
    TRACK_THREAD = 4,
    TRACK_PARENT = 5,
    TRACK_COUNTER = 8,
    TRACK_CHILD_ORDERING = 11,
    TRACK_RANK = 12,
    TRACK_DESCRIPTION = 14,
    TRACK_STATE = 18,
};
enum track_ordering { ORDERING_EXPLICIT = 3 };
enum process_field { PROCESS_PID = 1, PROCESS_NAME = 6 };
enum thread_field { THREAD_PID = 1, THREAD_TID = 2, THREAD_NAME = 5 };
enum counter_field { COUNTER_UNIT = 3 };
enum counter_unit { UNIT_COUNT = 2, UNIT_BYTES = 3 };

enum event_field {
    EVENT_CATEGORY_IID = 3,
    EVENT_ANNOTATION = 4,
    EVENT_TYPE = 9,
    EVENT_NAME_IID = 10,
    EVENT_TRACK = 11,
    EVENT_COUNTER_VALUE = 30,
    EVENT_FLOW = 47,
    EVENT_FLOW_ENDS = 48,
};
enum event_type {
    TYPE_BEGIN = 1,
    TYPE_END = 2,
    TYPE_INSTANT = 3,
    TYPE_COUNTER = 4,
    TYPE_STATE = 5,
};
enum annotation_field {
    ANNOTATION_NAME_IID = 1,
    ANNOTATION_UINT = 3,
    ANNOTATION_INT = 4,
    ANNOTATION_STRING = 6,
    ANNOTATION_NAME = 10,
};

enum tree_field { TREE_PROCESS = 1, TREE_THREAD = 2 };
enum tree_process_field { TREE_PROCESS_PID = 1, TREE_PROCESS_COMMAND = 3 };
enum tree_thread_field {
    TREE_THREAD_TID = 1,
    TREE_THREAD_PID = 2,
    TREE_THREAD_NAME = 3,
    TREE_THREAD_IDLE = 5,
};

// What one CPU's scheduler did: columns of the same length, times as differences.
enum bundle_field { BUNDLE_CPU = 1, BUNDLE_EVENT = 2, BUNDLE_LOST = 3, BUNDLE_COMPACT = 4 };
enum compact_field {
    COMPACT_SWITCH_TIME = 1,
    COMPACT_SWITCH_LEFT = 2,
    COMPACT_SWITCH_NEXT = 3,
    COMPACT_SWITCH_PRIORITY = 4,
    COMPACT_NAMES = 5,
    COMPACT_SWITCH_NAME = 6,
    COMPACT_WAKING_TIME = 7,
    COMPACT_WAKING_THREAD = 8,
    COMPACT_WAKING_CPU = 9,
    COMPACT_WAKING_PRIORITY = 10,
    COMPACT_WAKING_NAME = 11,
    COMPACT_WAKING_FLAGS = 12,
};
enum ftrace_field {
    FTRACE_TIME = 1,
    FTRACE_PID = 2,
    FTRACE_CPU_IDLE = 13,
    FTRACE_IRQ_ENTRY = 36,
    FTRACE_IRQ_EXIT = 37,
};
enum irq_field { IRQ_NUMBER = 1, IRQ_NAME = 2, IRQ_HANDLED = 2 }; // the name at entry only
enum cpu_idle_field { CPU_IDLE_STATE = 1, CPU_IDLE_CPU = 2 };
#define CPU_IDLE_NOT 0xffffffffu
// How a thread was left. The names Perfetto gives them go with systems that are not Linux.
enum left_state {
    LEFT_RUNNABLE = 0,
    LEFT_INTERRUPTIBLE = 1,
    LEFT_UNINTERRUPTIBLE = 2,
    LEFT_DEAD = 0x10,
    LEFT_PREEMPTED = 0x800,
};
#define WAKING_IN_INTERRUPT 0x08u

enum stats_field { STATS_BUFFER = 1, STATS_WRITER = 18 };
enum buffer_stats_field { BUFFER_WRITER_LOSS = 19 };
enum writer_stats_field { WRITER_SEQUENCE = 1, WRITER_BUFFER = 4 };

enum system_field {
    SYSTEM_UTSNAME = 1,
    SYSTEM_CPUS = 8,
    SYSTEM_MACHINE_NAME = 17,
};
enum utsname_field { UTSNAME_SYSTEM = 1, UTSNAME_RELEASE = 3, UTSNAME_MACHINE = 4 };
enum attributes_field { ATTRIBUTES_ATTRIBUTE = 1 };
enum attribute_field { ATTRIBUTE_KEY = 1, ATTRIBUTE_NUMBER = 2, ATTRIBUTE_TEXT = 3 };

// One attribute into an open PACKET_ATTRIBUTES: a text, or a number if `text` is NULL.
static inline void perfetto_put_attribute(struct proto *out, const char *key, const char *text,
                                          uint64_t number)
{
    const size_t attribute = proto_open(out, ATTRIBUTES_ATTRIBUTE, PACKET_WIDTH);
    proto_text(out, ATTRIBUTE_KEY, key);
    if (text != NULL)
        proto_text(out, ATTRIBUTE_TEXT, text);
    else
        proto_number(out, ATTRIBUTE_NUMBER, number);
    proto_close(out, attribute, PACKET_WIDTH);
}

#endif
