// SPDX-License-Identifier: MIT
// The Linux process's block device, which platform_block gives: io_uring over a scratch file. Made
// when it is first asked for, or described. The main thread's.
#ifndef HOST_DISK_H
#define HOST_DISK_H

#include <stdbool.h>

struct platform_block;

struct host_disk {
    const char *folder; // for the scratch file; NULL: where there is one (scratch_file.h)
};

extern struct host_disk host_disk;

// The facts block.io_uring, which is where the scratch file stands, or `absent`, and then
// block.io_uring.problem.
void host_disk_describe(void (*emit)(void *context, const char *key, const char *value),
                        void *context);

// As platform_block.
bool host_block(unsigned index, struct platform_block *found);

#endif
