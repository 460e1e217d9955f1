// SPDX-License-Identifier: MIT
// What the host knows about a run: the image, the machine it runs on, the emulator. What cannot be
// found out reads "unknown".
#ifndef FACTS_H
#define FACTS_H

#include "model.h"

// The image's build id (ELF note), at most `capacity` bytes; returns its length. 0, with a line in
// `why`, if the file is no ELF file or has none.
size_t facts_build_id(const char *image, uint8_t *bytes, size_t capacity, char *why,
                      size_t why_capacity);

// build.id, build.compiler, build.flags
void facts_of_image(struct facts *facts, const char *image);

// host.cpu, host.family, host.microcode, host.mitigations, host.smt, host.turbo, host.governor,
// host.kernel, host.hypervisor, host.memory
void facts_of_host(struct facts *facts);

// qemu.version where the command starts a QEMU, and command: all its words.
void facts_of_command(struct facts *facts, char *const *words);

#endif
