// SPDX-License-Identifier: MIT
// Status codes of calls whose caller can act on a failure. Programmer's errors assert instead.
#ifndef STATUS_H
#define STATUS_H

enum status {
    STATUS_OK = 0,
    STATUS_FULL = -1,      // no room now; try again after a consumer ran
    STATUS_EMPTY = -2,     // nothing there now
    STATUS_NO_MEMORY = -3, // the memory handed over at init is used up
    STATUS_TOO_LARGE = -4, // the request exceeds the largest size served
    STATUS_INVALID = -5,   // an argument is outside its stated range
    STATUS_FOREIGN = -6,   // a pointer that does not belong to the object
    STATUS_DOUBLE = -7,    // freed twice
    STATUS_CORRUPT = -8,   // data fails its check
    STATUS_CLOSED = -9,    // the peer is gone
};

#endif
