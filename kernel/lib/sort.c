// SPDX-License-Identifier: MIT
// Heapsort (Williams, Algorithm 232, CACM 1964; building the heap in place: Floyd, Algorithm 245).
#include "sort.h"

// Lets `value` sink from `hole` until no child of it is larger. The subtrees of `hole` are heaps.
static void sift_down(int64_t *values, size_t count, size_t hole, int64_t value)
{
    // Node i has the children 2i + 1 and 2i + 2; hole < count / 2 means that it has one at least.
    while (hole < count / 2) {
        size_t child = 2 * hole + 1;
        if (child + 1 < count && values[child + 1] > values[child])
            child++;
        if (values[child] <= value)
            break;
        values[hole] = values[child];
        hole = child;
    }
    values[hole] = value;
}

void sort_i64(int64_t *values, size_t count)
{
    for (size_t parent = count / 2; parent-- > 0;)
        sift_down(values, count, parent, values[parent]);
    for (size_t left = count; left-- > 1;) {
        const int64_t displaced = values[left];
        values[left] = values[0];
        sift_down(values, left, 0, displaced);
    }
}
