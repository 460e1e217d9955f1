// SPDX-License-Identifier: MIT
// Intrusive doubly linked list with a sentinel. Not locked: the caller serialises.
#ifndef LIST_H
#define LIST_H

#include <stdbool.h>

struct list {
    struct list *next, *previous;
};

static inline void list_init(struct list *head)
{
    head->next = head->previous = head;
}

static inline bool list_empty(const struct list *head)
{
    return head->next == head;
}

static inline void list_insert_after(struct list *where, struct list *node)
{
    node->next = where->next;
    node->previous = where;
    where->next->previous = node;
    where->next = node;
}

static inline void list_remove(struct list *node)
{
    node->previous->next = node->next;
    node->next->previous = node->previous;
}

#endif
