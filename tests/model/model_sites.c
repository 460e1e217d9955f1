// SPDX-License-Identifier: MIT
// Where in the source an access is, by the debugging information of this program itself.
#include <dwarf.h>
#include <elfutils/libdwfl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "model.h"

static Dwfl *session(void)
{
    static const Dwfl_Callbacks callbacks = {
        .find_elf = dwfl_linux_proc_find_elf,
        .find_debuginfo = dwfl_standard_find_debuginfo,
    };
    static Dwfl *opened;
    if (opened != NULL)
        return opened;
    opened = dwfl_begin(&callbacks);
    if (opened == NULL || dwfl_linux_proc_report(opened, getpid()) != 0 ||
        dwfl_report_end(opened, NULL, NULL) != 0) {
        fprintf(stderr, "model: no debugging information: %s\n", dwfl_errmsg(-1));
        abort();
    }
    return opened;
}

// The innermost function there, inlined or not.
static void function_at(Dwfl_Module *module, Dwarf_Addr address, char *function, size_t capacity)
{
    Dwarf_Addr bias;
    Dwarf_Die *scopes = NULL;
    Dwarf_Die *unit = dwfl_module_addrdie(module, address, &bias);
    const int count = unit != NULL ? dwarf_getscopes(unit, address - bias, &scopes) : 0;
    snprintf(function, capacity, "?");
    for (int i = 0; i < count; i++) {
        const int tag = dwarf_tag(&scopes[i]);
        const char *name = dwarf_diename(&scopes[i]);
        if ((tag == DW_TAG_subprogram || tag == DW_TAG_inlined_subroutine) && name != NULL) {
            snprintf(function, capacity, "%s", name);
            break;
        }
    }
    free(scopes);
}

void model_place_of(const void *address, struct model_place *place)
{
    const Dwarf_Addr call = (Dwarf_Addr)(uintptr_t)address - 1; // `address` is behind it
    Dwfl_Module *module = dwfl_addrmodule(session(), call);
    Dwfl_Line *line = module != NULL ? dwfl_module_getsrc(module, call) : NULL;
    *place = (struct model_place){.function = "?", .file = "?"};
    if (line == NULL)
        return;
    function_at(module, call, place->function, sizeof(place->function));
    const char *file = dwfl_lineinfo(line, NULL, &place->line, &place->column, NULL, NULL);
    const char *slash = file != NULL ? strrchr(file, '/') : NULL;
    snprintf(place->file, sizeof(place->file), "%s", slash != NULL ? slash + 1 : "?");
}

const char *model_kind_name(enum model_kind kind)
{
    static const char *const names[] = {"load", "store", "change", "compare", "fence"};
    return names[kind];
}

const char *model_order_name(int order)
{
    static const char *const names[] = {"relaxed", "consume", "acquire",
                                        "release", "acq_rel", "seq_cst"};
    return names[order];
}
