// SPDX-License-Identifier: MIT
// Anonymous memory of an address space: zeroed pages, as mmap, munmap, mprotect, brk and the page
// fault behind them give and take it.
//
//   area    addresses behind each other of one protection and one kind: eager ones have all their
//           frames, lazy ones get each at the first touch. Areas that touch and are alike are one
//   range   the addresses areas lie in
//   break   a part of the range that grows and shrinks at its end, for a heap that wants one piece
//
// Rules for callers
//   threads   any CPU, from threads; anonymous_fault also from the handler of a page fault. Nobody
//             touches lazy memory of this object while inside one of its functions, or one of the
//             functions of `frames`
//   locks     one an object; then the address space's; then whatever `frames` takes
//   ownership pages of the range are changed by this object only, which owns their frames
//   memory    areas lie in an array of the caller's. A call that would need one more than there are
//             is STATUS_FULL
//   failure   nothing has changed then, whatever the status
//   limits    pages of 4 KiB. No page is writable and executable. Gaps are searched from below, one
//             look an area
#ifndef ANONYMOUS_H
#define ANONYMOUS_H

#include "address_space.h"

// Protection, as a caller of mmap says it. Writable or executable pages can be read: the CPU knows
// no others. 0 reserves addresses: each touch is refused until they are protected otherwise.
#define ANONYMOUS_READ    1u
#define ANONYMOUS_WRITE   2u
#define ANONYMOUS_EXECUTE 4u

#define ANONYMOUS_FIXED 1u // at *address, or not at all
#define ANONYMOUS_LAZY  2u // frames come at the first touch

struct anonymous_area {
    uint64_t start, end;
    unsigned protection;
    bool lazy;
};

struct anonymous_range {
    uint64_t start, end;             // multiples of 4 KiB, in one canonical half
    uint64_t break_start, break_end; // inside it: the most the break may take; equal for none
    unsigned break_flags;            // 0 or ANONYMOUS_LAZY
};

struct anonymous_counts {
    uint64_t mapped_bytes;   // of all areas, now
    uint64_t resident_bytes; // of them that have frames, now
    uint64_t areas;          // now
    uint64_t faults;         // that were given a frame, since init
    uint64_t faults_late;    // that found what they wanted: another CPU was faster
    uint64_t faults_refused; // no area, not permitted, no memory
    uint64_t undone;         // calls that ran out of memory
};

struct anonymous {
    struct address_space *space;
    struct page_memory frames;
    struct anonymous_range range;
    struct spinlock lock;
    // By the lock.
    struct anonymous_area *areas; // ascending, disjoint
    size_t area_most;
    uint64_t break_now;
    struct anonymous_counts counts;
};

// The flags of a page for that protection; STATUS_INVALID for what no page can be: writable and
// executable, or a bit that is none. 0 is STATUS_EMPTY: no page.
enum status anonymous_kind(unsigned protection, struct page_kind *kind);

// An object with nothing mapped. `frames` gives zeroed frames of 4 KiB by their physical address,
// as page_memory has it; its `invalidate` is not used. STATUS_INVALID if the range is none or there
// is no area.
enum status anonymous_init(struct anonymous *anonymous, struct address_space *space,
                           const struct page_memory *frames, struct anonymous_range range,
                           struct anonymous_area *areas, size_t area_most);

// Unmaps everything.
void anonymous_destroy(struct anonymous *anonymous);

// Maps `length` bytes, rounded up to pages, at the lowest gap that holds them, or, fixed, at
// *address, a multiple of 4 KiB; *address says where. STATUS_FULL: no gap, something is mapped
// there, or no area is left; STATUS_NO_MEMORY; STATUS_INVALID: length 0, beyond the range, in the
// break's part, protection or flags that are none.
enum status anonymous_map(struct anonymous *anonymous, uint64_t *address, uint64_t length,
                          unsigned protection, unsigned flags);

// Unmaps what of [address, address + length) is mapped, which may be parts of areas. STATUS_EMPTY
// if nothing is; STATUS_FULL if an area would have to become two and there is none left;
// STATUS_INVALID as above.
enum status anonymous_unmap(struct anonymous *anonymous, uint64_t address, uint64_t length);

// Gives a range another protection, not 0. STATUS_EMPTY if a page of it is in no area; STATUS_FULL,
// STATUS_INVALID as above. What was reserved with 0 becomes lazy.
enum status anonymous_protect(struct anonymous *anonymous, uint64_t address, uint64_t length,
                              unsigned protection);

// Moves the end of the break to `end`, rounded up to pages: memory is readable and writable up to
// there. STATUS_INVALID outside the break's part; STATUS_NO_MEMORY; STATUS_FULL.
enum status anonymous_break(struct anonymous *anonymous, uint64_t end);

// A fault at `address` with the CPU's error code (PAGE_FAULT_*). STATUS_OK: try again;
// STATUS_EMPTY: in no area; STATUS_INVALID: not permitted; STATUS_NO_MEMORY.
enum status anonymous_fault(struct anonymous *anonymous, uint64_t address, uint64_t error);

void anonymous_count(struct anonymous *anonymous, struct anonymous_counts *counts);

// Walks areas and pages; false if they contradict each other. Slow.
bool anonymous_check(struct anonymous *anonymous);

#endif
