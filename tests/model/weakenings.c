// SPDX-License-Identifier: MIT
#include "weakenings.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// One step weaker; -1 ends the list.
static const int *weaker_orders(const struct model_site *site)
{
    static const int none[] = {-1};
    static const int relaxed[] = {__ATOMIC_RELAXED, -1};
    static const int halves[] = {__ATOMIC_ACQUIRE, __ATOMIC_RELEASE, -1};
    static const int acquire[] = {__ATOMIC_ACQUIRE, -1};
    static const int release[] = {__ATOMIC_RELEASE, -1};
    static const int both[] = {__ATOMIC_ACQ_REL, -1};
    switch (site->order) {
    case __ATOMIC_RELAXED:
        return none;
    case __ATOMIC_ACQ_REL:
        return halves;
    case __ATOMIC_SEQ_CST:
        return site->kind == MODEL_LOAD ? acquire : site->kind == MODEL_STORE ? release : both;
    default:
        return relaxed;
    }
}

static bool same_place(const struct model_place *a, const struct model_place *b)
{
    return a->line == b->line && a->column == b->column && strcmp(a->file, b->file) == 0 &&
           strcmp(a->function, b->function) == 0;
}

static void base_name(struct named_weakening *weakening, const struct model_site *site)
{
    const bool several = site->order == __ATOMIC_ACQ_REL;
    snprintf(weakening->name, sizeof(weakening->name), "%s: %s %s%s%s", weakening->place.function,
             model_kind_name(site->kind), model_order_name(site->order), several ? " as " : "",
             several ? model_order_name(weakening->weakening.order) : "");
}

static struct named_weakening *find_or_make(struct weakenings *weakenings,
                                            const struct model_site *site, int order)
{
    struct named_weakening made = {.weakening = {.order = order}};
    model_place_of(site->address, &made.place);
    base_name(&made, site);
    for (size_t i = 0; i < weakenings->count; i++) {
        struct named_weakening *one = &weakenings->all[i];
        if (same_place(&one->place, &made.place) && strcmp(one->name, made.name) == 0)
            return one;
    }
    if (weakenings->count == WEAKENINGS_MOST) {
        fprintf(stderr, "weakenings: too many\n");
        abort();
    }
    weakenings->all[weakenings->count] = made;
    return &weakenings->all[weakenings->count++];
}

static void add_address(struct model_weakening *weakening, const void *address)
{
    for (size_t i = 0; i < weakening->count; i++) {
        if (weakening->sites[i] == address)
            return;
    }
    if (weakening->count == MODEL_SITES_MOST)
        abort(); // a result has no more
    weakening->sites[weakening->count++] = address;
}

void weakenings_add(struct weakenings *weakenings, const struct model_result *result)
{
    for (size_t i = 0; i < result->site_count; i++) {
        const struct model_site *site = &result->sites[i];
        for (const int *order = weaker_orders(site); *order >= 0; order++)
            add_address(&find_or_make(weakenings, site, *order)->weakening, site->address);
    }
}

static int by_place(const void *a, const void *b)
{
    const struct named_weakening *one = a, *other = b;
    const int files = strcmp(one->place.file, other->place.file);
    if (files != 0)
        return files;
    if (one->place.line != other->place.line)
        return one->place.line < other->place.line ? -1 : 1;
    if (one->place.column != other->place.column)
        return one->place.column < other->place.column ? -1 : 1;
    return strcmp(one->name, other->name);
}

void weakenings_name(struct weakenings *weakenings)
{
    qsort(weakenings->all, weakenings->count, sizeof(weakenings->all[0]), by_place);
    for (size_t i = weakenings->count; i-- > 0;) {
        struct named_weakening *one = &weakenings->all[i];
        unsigned before = 0;
        for (size_t j = 0; j < i; j++)
            before += strcmp(weakenings->all[j].name, one->name) == 0;
        const size_t length = strlen(one->name);
        if (before > 0)
            snprintf(one->name + length, sizeof(one->name) - length, " #%u", before + 1);
    }
}
