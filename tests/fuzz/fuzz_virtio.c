// SPDX-License-Identifier: MIT
// The virtio driver over a disk that does what the input says (tests/virtio_storm.h).
#include "virtio_storm.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    virtio_storm(data, size);
    return 0;
}
