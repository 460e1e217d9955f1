// SPDX-License-Identifier: MIT
// A local APIC as Intel SDM vol. 3, chapter 11 describes it, behind struct apic_access: what the
// manual calls a fault, undefined or reserved ends the test.
#ifndef APIC_MODEL_H
#define APIC_MODEL_H

#include <check.h>
#include <stdint.h>
#include <string.h>

#include "apic.h"

#define MODEL_ADDRESS   0xfee00000u
#define MODEL_BSP       ((uint64_t)1 << 8)
#define MODEL_X2        ((uint64_t)1 << 10)
#define MODEL_ON        ((uint64_t)1 << 11)
#define MODEL_MASKED    0x10000u
#define MODEL_SENT_MOST 16u
#define MODEL_STUCK     UINT32_MAX

struct apic_model {
    uint64_t base; // IA32_APIC_BASE
    bool has_x2, has_deadline;
    bool locked;            // changes of the base are dropped, as an emulator may
    uint32_t registers[64]; // by number / 16
    uint32_t id;
    uint32_t errors; // since the last write of the error status
    uint64_t deadline;
    bool waits_for_deadline; // armed
    uint32_t slow;           // looks for which a command stays on its way; MODEL_STUCK: for ever
    uint32_t looks_left;
    uint64_t sent[MODEL_SENT_MOST]; // destination << 32 | command
    unsigned sent_count;
    uint32_t ticks_per_look; // of the timer, at each look at its count
    bool endless;            // no interrupt ever leaves service
    unsigned ends, looks;    // ends of interrupt, reads of the command register
    unsigned writes;         // of registers, in either mode
};

#define MODEL_FAULT(...) ck_abort_msg(__VA_ARGS__)

static inline bool model_is_x2(const struct apic_model *model)
{
    return (model->base & MODEL_X2) != 0;
}

static inline unsigned model_entries(const struct apic_model *model)
{
    return (model->registers[3] >> 16 & 0xff) + 1;
}

// The bits of an entry of the local vector table that may be written; 0: there is no such register.
static inline uint32_t model_entry_bits(const struct apic_model *model, unsigned number)
{
    switch (number) {
    case 0x320:
        return 0x100ff | (model->has_deadline ? 0x60000 : 0x20000);
    case 0x350:
    case 0x360:
        return 0x1a7ff;
    case 0x370:
        return 0x100ff;
    case 0x340:
        return model_entries(model) >= 5 ? 0x107ff : 0;
    case 0x330:
        return model_entries(model) >= 6 ? 0x107ff : 0;
    case 0x2f0:
        return model_entries(model) >= 7 ? 0x107ff : 0;
    default:
        return 0;
    }
}

static inline uint32_t model_read_register(struct apic_model *model, unsigned number)
{
    uint32_t *const value = &model->registers[number / 16];
    if (model_entry_bits(model, number) != 0 || (number >= 0x100 && number < 0x280))
        return *value;
    switch (number) {
    case 0x020:
        return model_is_x2(model) ? model->id : model->id << 24;
    case 0x030:
    case 0x080:
    case 0x0f0:
    case 0x280:
    case 0x380:
    case 0x3e0:
        return *value;
    case 0x300:
        model->looks++;
        if (model->looks_left > 0 && model->looks_left != MODEL_STUCK)
            model->looks_left--;
        return *value | (!model_is_x2(model) && model->looks_left > 0 ? 0x1000 : 0);
    case 0x310:
        if (model_is_x2(model))
            MODEL_FAULT("the upper half of the command is no register in x2APIC mode");
        return *value;
    case 0x390:
        *value -= *value > model->ticks_per_look ? model->ticks_per_look : *value;
        return *value;
    default:
        MODEL_FAULT("read of the reserved or write-only register %03x", number);
    }
}

static inline void model_write_entry(struct apic_model *model, unsigned number, uint32_t value)
{
    if ((value & ~model_entry_bits(model, number)) != 0)
        MODEL_FAULT("reserved bits of entry %03x: %08x", number, value);
    if ((value & 0x700) == 0 && (value & 0xff) < 16)
        model->errors |= 1u << 6; // received illegal vector, masked or not
    if ((model->registers[0xf] & 0x100) == 0)
        value |= MODEL_MASKED; // 11.4.7.2: cannot be unmasked while disabled
    if (number == 0x320 && ((value ^ model->registers[0x32]) & 0x40000) != 0) {
        model->registers[0x38] = model->registers[0x39] = 0; // 11.5.4.1: a change disarms
        model->deadline = 0;
    }
    model->registers[number / 16] = value;
}

static inline void model_send(struct apic_model *model, uint32_t destination, uint32_t command)
{
    const uint32_t mode = command & 0x700, vector = command & 0xff;
    if ((command & 0xfff33000) != 0)
        MODEL_FAULT("reserved bits of a command: %08x", command);
    if (mode == 0 && vector < 16) {
        model->errors |= 1u << 5; // send illegal vector
        return;
    }
    if (mode == 0x100 || mode == 0x200 || mode == 0x300 || mode == 0x700)
        MODEL_FAULT("mode of delivery %x", mode);
    if ((mode == 0x400 || mode == 0x500) && vector != 0)
        MODEL_FAULT("NMI and INIT have no vector");
    if ((command & 0xc000) == 0x8000 && mode != 0x500)
        MODEL_FAULT("only INIT has an end");
    if (model_is_x2(model) && (command & 0xc000) == 0x8000)
        MODEL_FAULT("the end of INIT does not exist in x2APIC mode");
    if (model->sent_count == MODEL_SENT_MOST)
        MODEL_FAULT("more commands than the model has room for");
    model->sent[model->sent_count++] = (uint64_t)destination << 32 | command;
    model->looks_left = model->slow;
}

static inline void model_end(struct apic_model *model)
{
    model->ends++;
    for (unsigned i = 8; i-- > 0 && !model->endless;) {
        uint32_t *const bits = &model->registers[0x10 + i];
        if (*bits != 0) {
            *bits &= ~(1u << (31 - __builtin_clz(*bits)));
            return;
        }
    }
}

static inline void model_write_register(struct apic_model *model, unsigned number, uint32_t value)
{
    uint32_t *const to = &model->registers[number / 16];
    model->writes++;
    if (model_entry_bits(model, number) != 0) {
        model_write_entry(model, number, value);
        return;
    }
    switch (number) {
    case 0x080:
        if (value > 0xff)
            MODEL_FAULT("reserved bits of the priority: %08x", value);
        *to = value;
        return;
    case 0x0b0:
        if (value != 0)
            MODEL_FAULT("an end of interrupt is a zero");
        model_end(model);
        return;
    case 0x0f0:
        if ((value & ~0x3ffu) != 0)
            MODEL_FAULT("reserved bits of the spurious vector: %08x", value);
        *to = value;
        return;
    case 0x280:
        if (value != 0)
            MODEL_FAULT("only a zero may be written to the error status");
        *to = model->errors;
        model->errors = 0;
        return;
    case 0x300:
        if (!model_is_x2(model) && model->looks_left > 0)
            MODEL_FAULT("a command while another is on its way");
        *to = value;
        model_send(model, model->registers[0x31] >> 24, value);
        return;
    case 0x310:
        if (model_is_x2(model) || (value & 0xffffff) != 0)
            MODEL_FAULT("upper half of the command: %08x", value);
        if (model->looks_left > 0)
            MODEL_FAULT("a destination while another command is on its way");
        *to = value;
        return;
    case 0x380:
        if ((model->registers[0x32] & 0x60000) != 0x40000)
            *to = model->registers[0x39] = value;
        return;
    case 0x3e0:
        if ((value & ~0xbu) != 0)
            MODEL_FAULT("reserved bits of the divisor: %08x", value);
        *to = value;
        return;
    default:
        MODEL_FAULT("write of the reserved or read-only register %03x", number);
    }
}

// ---- the four functions -------------------------------------------------------------------------

static inline void model_check_page(const struct apic_model *model, unsigned offset)
{
    if ((model->base & MODEL_ON) == 0 || model_is_x2(model))
        MODEL_FAULT("the page is not there in this mode");
    if ((model->base & 0xffffff000) != MODEL_ADDRESS)
        MODEL_FAULT("the registers are not in the page that is mapped");
    if (offset % 16 != 0 || offset >= 0x400)
        MODEL_FAULT("no register begins at %x", offset);
}

static inline uint32_t model_read(void *context, unsigned offset)
{
    model_check_page(context, offset);
    return model_read_register(context, offset);
}

static inline void model_write(void *context, unsigned offset, uint32_t value)
{
    model_check_page(context, offset);
    model_write_register(context, offset, value);
}

static inline unsigned model_number(const struct apic_model *model, uint32_t msr)
{
    if (msr < 0x800 || msr > 0x83f)
        MODEL_FAULT("#GP: MSR %x", msr);
    if (!model_is_x2(model))
        MODEL_FAULT("#GP: MSR %x outside x2APIC mode", msr);
    return (msr - 0x800) * 16;
}

static inline uint64_t model_read_msr(void *context, uint32_t msr)
{
    struct apic_model *const model = context;
    if (msr == 0x1b)
        return model->base;
    if (msr == 0x6e0 && model->has_deadline)
        return model->deadline;
    if (msr == 0x830 && model_is_x2(model))
        return (uint64_t)model->registers[0x31] << 32 | model->registers[0x30];
    return model_read_register(model, model_number(model, msr));
}

// 11.12.5, figure 11-27
static inline void model_write_base(struct apic_model *model, uint64_t value)
{
    const bool on = (model->base & MODEL_ON) != 0, then_on = (value & MODEL_ON) != 0;
    const bool x2 = model_is_x2(model), then_x2 = (value & MODEL_X2) != 0;
    if ((value & ~(uint64_t)0xffffffd00) != 0 || (then_x2 && !model->has_x2))
        MODEL_FAULT("#GP: reserved bits of the base: %lx", (unsigned long)value);
    if ((value & MODEL_BSP) != (model->base & MODEL_BSP))
        MODEL_FAULT("who is the boot CPU does not change");
    if ((then_x2 && (!then_on || !on)) || (x2 && then_on && !then_x2))
        MODEL_FAULT("#GP: %d%d to %d%d", on, x2, then_on, then_x2);
    if (!model->locked)
        model->base = value;
}

static inline void model_write_msr(void *context, uint32_t msr, uint64_t value)
{
    struct apic_model *const model = context;
    if (msr == 0x1b) {
        model_write_base(model, value);
    } else if (msr == 0x6e0 && model->has_deadline) {
        // Ignored in the timer's other modes (11.5.4.1).
        if ((model->registers[0x32] & 0x60000) == 0x40000)
            model->deadline = value;
    } else if (msr == 0x830 && model_is_x2(model)) {
        model->registers[0x30] = (uint32_t)value;
        model->registers[0x31] = (uint32_t)(value >> 32);
        model_send(model, (uint32_t)(value >> 32), (uint32_t)value);
    } else {
        const unsigned number = model_number(model, msr);
        if (value > UINT32_MAX)
            MODEL_FAULT("#GP: reserved bits of MSR %x", msr);
        model_write_register(model, number, (uint32_t)value);
    }
}

static inline struct apic_access model_access(struct apic_model *model)
{
    return (struct apic_access){
        .context = model,
        .read = model_read,
        .write = model_write,
        .read_msr = model_read_msr,
        .write_msr = model_write_msr,
    };
}

// As after a reset (11.4.7.1), with six entries in the local vector table; on, xAPIC mode.
static inline struct apic_model model_after_reset(void)
{
    struct apic_model model = {
        .base = MODEL_ADDRESS | MODEL_BSP | MODEL_ON,
        .has_x2 = true,
        .has_deadline = true,
        .id = 5,
    };
    model.registers[0x3] = 0x50014;
    model.registers[0xf] = 0xff;
    for (unsigned i = 0x32; i <= 0x37; i++)
        model.registers[i] = MODEL_MASKED;
    return model;
}

// ---- what a test of it stands on ----------------------------------------------------------------

#define SPURIOUS_VECTOR 0xff
#define ERROR_VECTOR    0xfe
#define TIMER_VECTOR    0xe0

enum { XAPIC, X2APIC, MODES };

static const struct apic_features everything = {.present = true, .x2 = true, .deadline = true};

static struct apic_model model;
static struct apic apic;

static inline enum status init(struct apic_features features, bool x2_allowed)
{
    const struct apic_access access = model_access(&model);
    const struct apic_setup setup = {
        .address = MODEL_ADDRESS,
        .x2_allowed = x2_allowed,
        .spurious = SPURIOUS_VECTOR,
        .error = ERROR_VECTOR,
        .timer = TIMER_VECTOR,
    };
    return apic_init(&apic, &access, features, &setup);
}

static inline void start(int mode)
{
    model = model_after_reset();
    ck_assert_int_eq(init(everything, mode == X2APIC), STATUS_OK);
    ck_assert_int_eq(apic.x2, mode == X2APIC);
}

static inline uint32_t entry(unsigned number)
{
    return model.registers[number / 16];
}

#endif
