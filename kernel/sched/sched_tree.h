// SPDX-License-Identifier: MIT
// Ordered set of nodes: an AVL tree (Adelson-Velsky, Landis 1962) inside the caller's structs, each
// node with the least `low` of its subtree beside it. Insert, remove and searches take a number of
// steps bounded by its height, at most 1.45 log2(n + 2). Not locked: the caller serialises.
//
// Order: by key, then by tie, as numbers modulo 2^64 (signed difference), so keys may wrap as long
// as those in one tree lie within 2^63. Two nodes with equal key and tie must not be in one tree.
#ifndef SCHED_TREE_H
#define SCHED_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SCHED_TREE_HEIGHT_MOST 48u // of more nodes than fit into 2^32

struct sched_tree_node {
    struct sched_tree_node *left, *right;
    uint64_t key, tie;
    uint64_t low;       // any number of the owner's; not changed while in a tree
    uint64_t low_below; // least `low` of this subtree, modulo 2^64 as keys
    uint32_t height;    // of this subtree: 1 for a leaf
};

struct sched_tree {
    struct sched_tree_node *root;
};

// The caller has set key, tie and low.
void sched_tree_insert(struct sched_tree *tree, struct sched_tree_node *node);

// `node` is in the tree.
void sched_tree_remove(struct sched_tree *tree, struct sched_tree_node *node);

// The least node, NULL if there is none.
struct sched_tree_node *sched_tree_first(const struct sched_tree *tree);

// The least node whose `low` is at most `most`; NULL if there is none.
struct sched_tree_node *sched_tree_first_low(const struct sched_tree *tree, uint64_t most);

// Walks the tree: false if order, heights or sums are broken. *count: its nodes.
bool sched_tree_check(const struct sched_tree *tree, size_t *count);

#endif
