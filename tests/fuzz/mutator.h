// SPDX-License-Identifier: MIT
// A line as a list of pieces between zeros, taken apart and put together again, so that a mutation
// reaches what stands behind COBS and CRC. One thread.
#ifndef MUTATOR_H
#define MUTATOR_H

#include <stddef.h>
#include <stdint.h>

#define MUTATOR_SESSION 77u // of the corpus

// libFuzzer's hook: one change to the frames of `data`, repaired, or to the bytes as they are.
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t most, unsigned seed);

#endif
