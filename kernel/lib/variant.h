// SPDX-License-Identifier: MIT
// What part a variant plays in a comparison.
#ifndef VARIANT_H
#define VARIANT_H

enum variant_role {
    VARIANT_BASELINE, // what the gain of the others is measured against
    VARIANT_PRODUCT,  // an implementation somebody would use
    VARIANT_FLOOR,    // the least code that does the job: a bound, not a product
    VARIANT_PEER,     // somebody else's implementation, as packaged
};

// The first member of every mechanism's table of functions.
struct variant {
    const char *name; // as in row ids: lower case, digits, underscores
    const char *what; // one line for `scons list`
    enum variant_role role;
};

#endif
