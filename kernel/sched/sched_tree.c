// SPDX-License-Identifier: MIT
#include "sched_tree.h"

#include "assert.h"

static bool before(uint64_t a, uint64_t b)
{
    return (int64_t)(a - b) < 0;
}

static bool node_before(const struct sched_tree_node *a, const struct sched_tree_node *b)
{
    return a->key != b->key ? before(a->key, b->key) : before(a->tie, b->tie);
}

static unsigned height(const struct sched_tree_node *node)
{
    return node == NULL ? 0 : node->height;
}

static void update(struct sched_tree_node *node)
{
    const unsigned left = height(node->left), right = height(node->right);
    node->height = 1 + (left > right ? left : right);
    node->low_below = node->low;
    if (node->left != NULL && before(node->left->low_below, node->low_below))
        node->low_below = node->left->low_below;
    if (node->right != NULL && before(node->right->low_below, node->low_below))
        node->low_below = node->right->low_below;
}

static struct sched_tree_node *rotate_right(struct sched_tree_node *node)
{
    struct sched_tree_node *up = node->left;
    node->left = up->right;
    up->right = node;
    update(node);
    update(up);
    return up;
}

static struct sched_tree_node *rotate_left(struct sched_tree_node *node)
{
    struct sched_tree_node *up = node->right;
    node->right = up->left;
    up->left = node;
    update(node);
    update(up);
    return up;
}

// Heights of the children differ by two at most.
static struct sched_tree_node *balance(struct sched_tree_node *node)
{
    const unsigned left = height(node->left), right = height(node->right);
    if (left > right + 1) {
        if (height(node->left->left) < height(node->left->right))
            node->left = rotate_left(node->left);
        return rotate_right(node);
    }
    if (right > left + 1) {
        if (height(node->right->right) < height(node->right->left))
            node->right = rotate_right(node->right);
        return rotate_left(node);
    }
    update(node);
    return node;
}

// The links from the root down to a place, so that the way back needs no recursion.
struct path {
    struct sched_tree_node **links[SCHED_TREE_HEIGHT_MOST];
    unsigned count;
};

static struct sched_tree_node **follow(struct path *path, struct sched_tree_node **link)
{
    assert(path->count < SCHED_TREE_HEIGHT_MOST);
    path->links[path->count++] = link;
    return link;
}

static void mend(struct path *path)
{
    while (path->count > 0) {
        struct sched_tree_node **link = path->links[--path->count];
        if (*link != NULL)
            *link = balance(*link);
    }
}

void sched_tree_insert(struct sched_tree *tree, struct sched_tree_node *node)
{
    struct path path = {.count = 0};
    struct sched_tree_node **link = follow(&path, &tree->root);
    while (*link != NULL)
        link = follow(&path, node_before(node, *link) ? &(*link)->left : &(*link)->right);
    node->left = node->right = NULL;
    *link = node;
    mend(&path);
}

void sched_tree_remove(struct sched_tree *tree, struct sched_tree_node *node)
{
    struct path path = {.count = 0};
    struct sched_tree_node **link = follow(&path, &tree->root);
    while (*link != node) {
        assert(*link != NULL);
        link = follow(&path, node_before(node, *link) ? &(*link)->left : &(*link)->right);
    }
    if (node->left == NULL || node->right == NULL) {
        *link = node->left != NULL ? node->left : node->right;
        mend(&path);
        return;
    }
    // The next in order takes its place. The links below it start in the node that goes: the first
    // of them is put right when the successor is in its place.
    const unsigned place = path.count;
    struct sched_tree_node **next = follow(&path, &node->right);
    while ((*next)->left != NULL)
        next = follow(&path, &(*next)->left);
    struct sched_tree_node *successor = *next;
    *next = successor->right;
    successor->left = node->left;
    successor->right = node->right;
    *link = successor;
    path.links[place] = &successor->right;
    mend(&path);
}

struct sched_tree_node *sched_tree_first(const struct sched_tree *tree)
{
    struct sched_tree_node *node = tree->root;
    while (node != NULL && node->left != NULL)
        node = node->left;
    return node;
}

struct sched_tree_node *sched_tree_first_low(const struct sched_tree *tree, uint64_t most)
{
    struct sched_tree_node *node = tree->root;
    if (node == NULL || before(most, node->low_below))
        return NULL;
    for (;;) {
        if (node->left != NULL && !before(most, node->left->low_below))
            node = node->left;
        else if (!before(most, node->low))
            return node;
        else
            node = node->right; // the sum says that it is there
    }
}

static bool sound(const struct sched_tree_node *node, unsigned depth, size_t *count)
{
    if (node == NULL)
        return true;
    if (depth >= SCHED_TREE_HEIGHT_MOST)
        return false;
    const unsigned left = height(node->left), right = height(node->right);
    const unsigned most = left > right ? left : right;
    uint64_t low = node->low;
    if (node->left != NULL && before(node->left->low_below, low))
        low = node->left->low_below;
    if (node->right != NULL && before(node->right->low_below, low))
        low = node->right->low_below;
    ++*count;
    return node->height == most + 1 && most <= (left < right ? left : right) + 1 &&
           node->low_below == low && (node->left == NULL || node_before(node->left, node)) &&
           (node->right == NULL || node_before(node, node->right)) &&
           sound(node->left, depth + 1, count) && sound(node->right, depth + 1, count);
}

bool sched_tree_check(const struct sched_tree *tree, size_t *count)
{
    *count = 0;
    return sound(tree->root, 0, count);
}
