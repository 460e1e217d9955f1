// SPDX-License-Identifier: MIT
#include "unwind.h"

#include <dwarf.h>
#include <elfutils/libdwfl.h>
#include <inttypes.h>
#include <string.h>

// Registers by their DWARF numbers (System V ABI, AMD64 supplement, figure 3.36), and which of
// PANIC's each is; number 16 is the return address.
static const unsigned char dwarf_order[RECORD_REGISTERS] = {0, 3, 2,  1,  4,  5,  6,  7,
                                                            8, 9, 10, 11, 12, 13, 14, 15};
#define DWARF_REGISTERS 17u
#define DWARF_RIP       16u

struct walk {
    const struct machine_state *state;
    uint64_t rip, rsp; // where the walk starts: those of the state, or of its caller
    Dwfl *dwfl;
    struct buffer *text;
    unsigned frames;
    uint64_t last_pc;
    unsigned again; // frames with that address that were not printed
    char *place;
    size_t capacity;
};

// ---- names -------------------------------------------------------------------------------------

// `pc` of a caller is the return address: the call is the instruction before.
static void name_place(Dwfl *dwfl, uint64_t pc, bool caller, char *out, size_t capacity)
{
    const uint64_t at = caller && pc > 0 ? pc - 1 : pc;
    Dwfl_Module *module = dwfl != NULL ? dwfl_addrmodule(dwfl, at) : NULL;
    const char *function = module != NULL ? dwfl_module_addrname(module, at) : NULL;
    Dwfl_Line *line = module != NULL ? dwfl_module_getsrc(module, at) : NULL;
    int number = 0;
    const char *file = line != NULL ? dwfl_lineinfo(line, NULL, &number, NULL, NULL, NULL) : NULL;
    if (function == NULL)
        text_format(out, capacity, "0x%" PRIx64, pc);
    else if (file == NULL)
        text_format(out, capacity, "%s", function);
    else
        text_format(out, capacity, "%s %s:%d", function, file, number);
}

static void print_again(struct walk *walk)
{
    if (walk->again > 0)
        buffer_print(walk->text, "    the same %u times more\n", walk->again);
    walk->again = 0;
}

static void print_frame(struct walk *walk, uint64_t pc, bool caller)
{
    char name[400];
    // A recursion that ran out of stack would fill the screen.
    if (walk->frames > 1 && pc == walk->last_pc) {
        walk->again++;
        walk->frames++;
        return;
    }
    print_again(walk);
    walk->last_pc = pc;
    name_place(walk->dwfl, pc, caller, name, sizeof(name));
    const bool named = strncmp(name, "0x", 2) != 0;
    if (walk->frames == 0) {
        text_format(walk->place, walk->capacity, "%s%s", name,
                    named ? "" : " (not code of the image)");
    }
    buffer_print(walk->text, "#%-2u 0x%016" PRIx64 " %s\n", walk->frames++, pc,
                 named ? name : "?? (not code of the image)");
}

// ---- libdwfl's view of the stopped program -----------------------------------------------------

static pid_t next_thread(Dwfl *dwfl, void *context, void **thread)
{
    (void)dwfl;
    if (*thread != NULL)
        return 0;
    *thread = context;
    return 1;
}

static bool read_memory(Dwfl *dwfl, Dwarf_Addr address, Dwarf_Word *word, void *context)
{
    const struct walk *walk = context;
    const struct machine_state *state = walk->state;
    const uint64_t offset = address - state->registers[STATE_RSP];
    (void)dwfl;
    if (state->stack_length < 8 || offset > state->stack_length - 8)
        return false;
    *word = 0;
    for (unsigned i = 0; i < 8; i++)
        *word |= (Dwarf_Word)state->stack[offset + i] << (8 * i);
    return true;
}

static bool set_registers(Dwfl_Thread *thread, void *context)
{
    const struct walk *walk = context;
    Dwarf_Word words[DWARF_REGISTERS];
    for (unsigned i = 0; i < RECORD_REGISTERS; i++)
        words[dwarf_order[i]] = walk->state->registers[i];
    words[7] = walk->rsp;
    words[DWARF_RIP] = walk->rip;
    return dwfl_thread_state_registers(thread, 0, DWARF_REGISTERS, words);
}

static int take_frame(Dwfl_Frame *frame, void *context)
{
    struct walk *walk = context;
    Dwarf_Addr pc;
    bool activation;
    if (walk->frames == UNWIND_FRAMES_MOST || !dwfl_frame_pc(frame, &pc, &activation) || pc == 0)
        return DWARF_CB_ABORT;
    // The first frame the library gives is printed already where the walk starts at a caller.
    const bool first = pc == walk->rip && walk->frames == 0;
    print_frame(walk, pc, !first && !activation);
    return DWARF_CB_OK;
}

static int no_debuginfo(Dwfl_Module *module, void **data, const char *name, Dwarf_Addr base,
                        const char *file, const char *link, GElf_Word crc, char **found)
{
    (void)module, (void)data, (void)name, (void)base, (void)file, (void)link, (void)crc;
    *found = NULL;
    return -1;
}

static Dwfl *open_image(const char *image)
{
    static const Dwfl_Callbacks callbacks = {.find_elf = dwfl_build_id_find_elf,
                                             .find_debuginfo = no_debuginfo,
                                             .section_address = dwfl_offline_section_address};
    Dwfl *dwfl = dwfl_begin(&callbacks);
    if (dwfl == NULL)
        return NULL;
    dwfl_report_begin(dwfl);
    const bool reported = dwfl_report_elf(dwfl, "image", image, -1, 0, true) != NULL;
    if (dwfl_report_end(dwfl, NULL, NULL) == 0 && reported)
        return dwfl;
    dwfl_end(dwfl);
    return NULL;
}

// ---- the walk ----------------------------------------------------------------------------------

static void print_registers(struct buffer *text, const struct machine_state *state)
{
    static const char *const names[RECORD_REGISTERS] = {"rax", "rbx", "rcx", "rdx", "rsi", "rdi",
                                                        "rbp", "rsp", "r8",  "r9",  "r10", "r11",
                                                        "r12", "r13", "r14", "r15"};
    buffer_print(text,
                 "rip %016" PRIx64 "  rflags %" PRIx64 "  cr2 %016" PRIx64 "  cr3 %" PRIx64 "\n",
                 state->rip, state->rflags, state->cr2, state->cr3);
    for (unsigned i = 0; i < RECORD_REGISTERS; i++)
        buffer_print(text, "%-3s %016" PRIx64 "%s", names[i], state->registers[i],
                     i % 4 == 3 ? "\n" : "  ");
}

static bool is_code(Dwfl *dwfl, uint64_t address)
{
    Dwfl_Module *module = dwfl_addrmodule(dwfl, address);
    return module != NULL && dwfl_module_addrname(module, address) != NULL;
}

// After a jump to nowhere the return address still lies on top of the stack.
static void step_over_wild(struct walk *walk)
{
    Dwarf_Word above;
    if (is_code(walk->dwfl, walk->rip) || !read_memory(walk->dwfl, walk->rsp, &above, walk) ||
        !is_code(walk->dwfl, above))
        return;
    print_frame(walk, walk->rip, false);
    walk->rip = above;
    walk->rsp += 8;
}

void unwind(const char *image, const struct machine_state *state, struct buffer *text, char *place,
            size_t capacity)
{
    static const Dwfl_Thread_Callbacks callbacks = {.next_thread = next_thread,
                                                    .memory_read = read_memory,
                                                    .set_initial_registers = set_registers};
    struct walk walk = {.state = state,
                        .rip = state->rip,
                        .rsp = state->registers[STATE_RSP],
                        .text = text,
                        .place = place,
                        .capacity = capacity};
    print_registers(text, state);
    walk.dwfl = state->named ? open_image(image) : NULL;
    if (walk.dwfl != NULL) {
        step_over_wild(&walk);
        if (dwfl_attach_state(walk.dwfl, NULL, 1, &callbacks, &walk))
            dwfl_getthread_frames(walk.dwfl, 1, take_frame, &walk);
    }
    if (walk.frames == 0)
        print_frame(&walk, state->rip, false);
    print_again(&walk);
    if (walk.dwfl != NULL)
        dwfl_end(walk.dwfl);
}
