// SPDX-License-Identifier: MIT
// What a controller's status field means (NVM Express Base Specification 1.4, 4.6.1; 2.0, 3.3.3.2).
//
//   raw   the field's 15 bits: code 7:0, type 10:8, 14: do not retry
//
// Rules for callers
//   threads   any; the texts live as long as the program
#ifndef NVME_STATUS_H
#define NVME_STATUS_H

#include <stdint.h>

#include "status.h"

// STATUS_OK; STATUS_ABORTED for what was given up through no fault of its own, and may be tried
// again; STATUS_FAILED for all else, what is not in the table too.
enum status nvme_status(uint32_t raw);

// A few words: the specification's name, or what kind of code it is if that is not known.
const char *nvme_status_text(uint32_t raw);

#endif
