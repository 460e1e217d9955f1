// SPDX-License-Identifier: MIT
#include "block_machine.h"

#include "assert.h"
#include "device_memory.h"
#include "interrupts.h"
#include "kernel_map.h"
#include "machine_cpu.h"
#include "pci_boot.h"
#include "platform.h"
#include "trace_device.h"

#define QUEUES_MOST   16u        // of a disk, so that the pool suffices for others too
#define HANDLER_TURNS (1u << 30) // far longer than a handler takes, even on an emulated CPU

// ---- memory -------------------------------------------------------------------------------------

static uint8_t pool[BLOCK_MACHINE_POOL_PAGES][PAGE_SIZE] __attribute__((aligned(PAGE_SIZE)));
static size_t pool_used; // pages

static void *allocate(void *context, size_t pages, uint64_t *address)
{
    (void)context;
    if (pages == 0 || pages > BLOCK_MACHINE_POOL_PAGES - pool_used)
        return NULL;
    void *memory = pool[pool_used];
    pool_used += pages;
    *address = (uintptr_t)memory; // one to one, and zero since the start: nobody has had it
    return memory;
}

static uint64_t address_of(void *context, const void *memory)
{
    (void)context;
    return kernel_map_present((uintptr_t)memory) ? (uintptr_t)memory : UINT64_MAX;
}

struct device_dma block_machine_dma(void)
{
    return (struct device_dma){.allocate = allocate, .address = address_of};
}

// ---- interrupts ---------------------------------------------------------------------------------

struct block_machine_line {
    unsigned vector; // of the interrupt table; 0: none so far
    bool taken;
    // Atomic: written where it is connected, read where it interrupts.
    void (*handler)(void *argument);
    void *argument;
    uint32_t running; // CPUs in the handler
};

static struct block_machine_line lines[BLOCK_MACHINE_LINES];

static void arrived(void *context, const struct trap_frame *frame)
{
    struct block_machine_line *line = context;
    (void)frame;
    // Sequentially consistent, as in take_away: either that one waits for this, or this finds none.
    __atomic_fetch_add(&line->running, 1, __ATOMIC_SEQ_CST);
    void (*handler)(void *) = __atomic_load_n(&line->handler, __ATOMIC_SEQ_CST);
    if (handler != NULL)
        handler(line->argument);
    // Release: what the handler did, for whoever takes it away.
    __atomic_fetch_sub(&line->running, 1, __ATOMIC_RELEASE);
}

static void take_away(struct block_machine_line *line)
{
    __atomic_store_n(&line->handler, NULL, __ATOMIC_SEQ_CST);
    for (uint32_t turns = 0; __atomic_load_n(&line->running, __ATOMIC_SEQ_CST) != 0; turns++) {
        if (turns == HANDLER_TURNS)
            platform_panic("an interrupt handler of a disk does not end", __FILE__, __LINE__);
        cpu_pause();
    }
    line->taken = false;
}

static struct block_machine_line *free_line(void)
{
    for (unsigned i = 0; i < BLOCK_MACHINE_LINES; i++) {
        struct block_machine_line *line = &lines[i];
        if (line->taken)
            continue;
        if (line->vector == 0)
            line->vector = interrupt_claim(arrived, line);
        return line->vector != 0 ? line : NULL;
    }
    return NULL;
}

static void disconnect(void *context, unsigned vector)
{
    struct block_machine *machine = context;
    assert(vector < BLOCK_MACHINE_VECTORS);
    if (machine->lines[vector] == NULL)
        return;
    pci_msix_mask(&machine->msix, vector, true);
    take_away(machine->lines[vector]);
    machine->lines[vector] = NULL;
}

static enum status connect(void *context, unsigned vector, unsigned cpu, void (*handler)(void *),
                           void *argument)
{
    struct block_machine *machine = context;
    assert(machine->messages && vector < machine->msix.entries && vector < BLOCK_MACHINE_VECTORS);
    if (cpu >= machine_cpu_count())
        return STATUS_INVALID;
    disconnect(machine, vector);
    struct block_machine_line *line = free_line();
    if (line == NULL)
        return STATUS_NO_MEMORY;
    const enum status status =
        pci_msix_route(&machine->msix, vector, line->vector, machine_cpus[cpu].apic_id);
    if (status != STATUS_OK)
        return status == STATUS_TOO_LARGE ? STATUS_INVALID : status;
    line->taken = true;
    line->argument = argument;
    // Sequentially consistent: its argument, for `arrived`.
    __atomic_store_n(&line->handler, handler, __ATOMIC_SEQ_CST);
    machine->lines[vector] = line;
    return STATUS_OK;
}

static void mask(void *context, unsigned vector)
{
    pci_msix_mask(&((struct block_machine *)context)->msix, vector, true);
}

static void unmask(void *context, unsigned vector)
{
    pci_msix_mask(&((struct block_machine *)context)->msix, vector, false);
}

struct device_interrupt block_machine_interrupt(struct block_machine *machine)
{
    const unsigned entries = machine->messages ? machine->msix.entries : 0;
    return (struct device_interrupt){
        .context = machine,
        .vectors = entries < BLOCK_MACHINE_VECTORS ? entries : BLOCK_MACHINE_VECTORS,
        .connect = connect,
        .disconnect = disconnect,
        .mask = mask,
        .unmask = unmask,
    };
}

// ---- the function -------------------------------------------------------------------------------

static enum status map(uint64_t address, uint64_t bytes, struct memory_access *registers)
{
    const uint64_t start = address / PAGE_SIZE * PAGE_SIZE;
    const enum status status =
        kernel_map_device(start, align_up(address + bytes, PAGE_SIZE) - start);
    if (status == STATUS_OK)
        *registers = device_memory(address, bytes);
    return status;
}

static bool take_messages(struct block_machine *machine)
{
    struct pci_msix *msix = &machine->msix;
    struct memory_access table, pending;
    if (pci_msix_open(msix, pci_boot_access(), machine->function) != STATUS_OK ||
        map(msix->table_address, msix->table_bytes, &table) != STATUS_OK ||
        map(msix->pending_address, msix->pending_bytes, &pending) != STATUS_OK ||
        pci_msix_attach(msix, table, pending) != STATUS_OK)
        return false;
    pci_msix_enable(msix, true);
    return true;
}

enum status block_machine_open(struct block_machine *machine, const struct pci_function *function)
{
    const struct pci_access *access = pci_boot_access();
    *machine = (struct block_machine){.function = function};
    if (pci_read16(access, function->address, PCI_IDS) != function->vendor)
        return STATUS_FAILED;
    pci_command(access, function->address,
                PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER | PCI_COMMAND_INTX_OFF, 0);
    machine->messages = take_messages(machine);
    return STATUS_OK;
}

void block_machine_close(struct block_machine *machine)
{
    for (unsigned i = 0; i < BLOCK_MACHINE_VECTORS; i++)
        disconnect(machine, i);
    pci_command(pci_boot_access(), machine->function->address, 0, PCI_COMMAND_MASTER);
    if (machine->messages)
        pci_msix_enable(&machine->msix, false);
    machine->messages = false;
}

enum status block_machine_registers(const struct block_machine *machine, unsigned bar,
                                    uint64_t offset, uint64_t bytes,
                                    struct memory_access *registers)
{
    if (bar >= PCI_BARS || bytes == 0)
        return STATUS_INVALID;
    const struct pci_bar *found = &machine->function->bars[bar];
    if (found->state != PCI_BAR_ASSIGNED || found->io || offset > found->size ||
        bytes > found->size - offset)
        return STATUS_INVALID;
    return map(found->address + offset, bytes, registers);
}

struct device_clock block_machine_clock(void)
{
    return (struct device_clock){.hz = platform_clock_hz()};
}

// ---- disks --------------------------------------------------------------------------------------

static const struct pci_function *find(const struct block_machine_kind *kind, unsigned index)
{
    const struct pci *pci = pci_boot_found();
    for (unsigned i = 0; i < pci->count; i++) {
        if (kind->is_disk(&pci->functions[i]) && index-- == 0)
            return &pci->functions[i];
    }
    return NULL;
}

static uint32_t made; // disks so far, of all kinds

static enum status make_device(struct block_machine_disk *disk,
                               const struct block_machine_kind *kind, void *driver, unsigned queues)
{
    const struct device_dma dma = block_machine_dma();
    const struct block_config config = {
        .ops = kind->ops,
        .driver = driver,
        .clock = block_machine_clock(),
        .guard = &disk->guard,
        .queues = queues,
        .number = made++ % TRACE_DEVICES_MOST,
    };
    uint64_t address;
    const size_t bytes = block_bytes(queues);
    void *memory = dma.allocate(dma.context, align_up(bytes, PAGE_SIZE) / PAGE_SIZE, &address);
    return memory == NULL ? STATUS_NO_MEMORY : block_init(&disk->device, &config, memory, bytes);
}

static enum status make(const struct block_machine_kind *kind, unsigned index,
                        const struct pci_function *function)
{
    struct block_machine_disk *disk = &kind->disks[index];
    const unsigned queues = (unsigned)min_u64(machine_cpu_count(), QUEUES_MOST);
    if (block_machine_clock().hz == 0)
        return STATUS_FAILED;
    enum status status = block_machine_open(&disk->machine, function);
    if (status != STATUS_OK)
        return status;
    void *driver = kind->prepare(index, queues);
    status = driver != NULL ? make_device(disk, kind, driver, queues) : STATUS_INVALID;
    if (status != STATUS_OK)
        block_machine_close(&disk->machine);
    return status == STATUS_EMPTY ? STATUS_FAILED : status;
}

enum status block_machine_disk(const struct block_machine_kind *kind, unsigned index,
                               struct block_device **device)
{
    const struct pci_function *function = index < kind->count ? find(kind, index) : NULL;
    if (function == NULL)
        return STATUS_EMPTY;
    struct block_machine_disk *disk = &kind->disks[index];
    if (!disk->tried)
        disk->status = make(kind, index, function);
    disk->tried = true;
    *device = &disk->device;
    return disk->status;
}

void block_machine_shut_down(const struct block_machine_kind *kind)
{
    for (unsigned i = 0; i < kind->count; i++) {
        struct block_machine_disk *disk = &kind->disks[i];
        if (!disk->tried || disk->status != STATUS_OK)
            continue;
        if (kind->shut_down != NULL)
            kind->shut_down(i);
        block_machine_close(&disk->machine);
        disk->status = STATUS_CLOSED;
    }
}
