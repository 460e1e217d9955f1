// SPDX-License-Identifier: MIT
// From a capture to a run: the only way results reach the store, live or rebuilt.
#ifndef REPLAY_H
#define REPLAY_H

#include "capture.h"
#include "model.h"

// Reads the whole capture. Returns CAPTURE_WHOLE and fills `run` (the caller's, zeroed before), or
// CAPTURE_TRUNCATED or CAPTURE_DAMAGED with a line in `why`; `run` is to be freed either way.
// A capture that is whole gives a run whatever its boots brought: what contradicts itself becomes
// the outcome `stream damaged`.
enum capture_status replay_capture(const char *path, struct run *run, char *why, size_t capacity);

#endif
