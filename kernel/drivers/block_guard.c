// SPDX-License-Identifier: MIT
#include "block_guard.h"

#include "assert.h"
#include "compiler.h"
#include "string.h"

// ---- what may be asked for ----------------------------------------------------------------------

struct codes {
    uint64_t harmless; // bit n: code n changes nothing that outlasts a reset
    uint64_t writing;
};

#define CODE(n) (UINT64_C(1) << (n))

// A code that stands nowhere here is never used.
static const struct codes allowed[BLOCK_PROTOCOLS] = {
    [BLOCK_PROTOCOL_REQUEST] = {CODE(BLOCK_READ), CODE(BLOCK_WRITE) | CODE(BLOCK_FLUSH)},
    // Read | Flush, Write
    [BLOCK_PROTOCOL_NVME_IO] = {CODE(0x02), CODE(0x00) | CODE(0x01)},
    // Delete and Create Submission Queue, Get Log Page, Delete and Create Completion Queue,
    // Identify, Abort, Set and Get Features, Asynchronous Event Request
    [BLOCK_PROTOCOL_NVME_ADMIN] = {CODE(0x00) | CODE(0x01) | CODE(0x02) | CODE(0x04) | CODE(0x05) |
                                       CODE(0x06) | CODE(0x08) | CODE(0x09) | CODE(0x0a) |
                                       CODE(0x0c),
                                   0},
    // VIRTIO_BLK_T_IN, _GET_ID | _OUT, _FLUSH
    [BLOCK_PROTOCOL_VIRTIO] = {CODE(0) | CODE(8), CODE(1) | CODE(4)},
    // IORING_OP_NOP, _READV, _READ_FIXED, _ASYNC_CANCEL, _READ | _WRITEV, _FSYNC, _WRITE_FIXED,
    // _WRITE
    [BLOCK_PROTOCOL_URING] = {CODE(0) | CODE(1) | CODE(4) | CODE(14) | CODE(22),
                              CODE(2) | CODE(3) | CODE(5) | CODE(23)},
};

bool block_guard_allows(const struct block_guard *guard, enum block_protocol protocol,
                        unsigned code)
{
    assert(protocol < BLOCK_PROTOCOLS);
    if (code >= 64)
        return false;
    const struct codes *codes = &allowed[protocol];
    return ((codes->harmless | (guard->writable ? codes->writing : 0)) & CODE(code)) != 0;
}

// ---- what may stand on a disk -------------------------------------------------------------------

struct trace {
    const char *name;
    uint32_t offset; // bytes from where it begins
    uint32_t step;   // further places
    uint32_t places; // in all
    uint32_t length;
    const char *bytes;
};

#define AT(name, offset, bytes)                                                                    \
    {                                                                                              \
        name, offset, 0, 1, sizeof(bytes) - 1, bytes                                               \
    }
#define EACH(name, offset, step, places, bytes)                                                    \
    {                                                                                              \
        name, offset, step, places, sizeof(bytes) - 1, bytes                                       \
    }

// The marks that each format is known by; tests/test_block_images.c has volumes made by the
// systems' own tools for some thirty of them. What is told apart by a boot sector's text comes
// before the boot sector's mark, which means a partition table or a FAT without a name.
static const struct trace traces[] = {
    EACH("GPT", 0, 512, 9, "EFI PART"), // header in the second block, whatever a block's size
    AT("LUKS", 0, "LUKS\xba\xbe"),
    EACH("LUKS", 16384, 16384, 4, "SKUL\xba\xbe"), // the second header of LUKS2
    EACH("LVM", 0, 512, 4, "LABELONE"),
    AT("XFS", 0, "XFSB"),
    AT("btrfs", 65536 + 64, "_BHRfS_M"),
    AT("ext4", 1024 + 56, "\x53\xef"), // ext2 and ext3 too
    AT("NTFS", 3, "NTFS    "),
    AT("exFAT", 3, "EXFAT   "),
    AT("BitLocker", 3, "-FVE-FS-"),
    AT("FAT", 54, "FAT12   "),
    AT("FAT", 54, "FAT16   "),
    AT("FAT", 82, "FAT32   "),
    AT("swap", 4096 - 10, "SWAPSPACE2"),
    AT("swap", 4096 - 10, "SWAP-SPACE"),
    AT("swap", 8192 - 10, "SWAPSPACE2"), // of systems with larger pages
    AT("swap", 16384 - 10, "SWAPSPACE2"),
    AT("swap", 32768 - 10, "SWAPSPACE2"),
    AT("swap", 65536 - 10, "SWAPSPACE2"),
    EACH("RAID", 0, 4096, 2, "\xfc\x4e\x2b\xa9"), // Linux md, 1.1 and 1.2; others at the end
    EACH("ZFS", 131072, 1024, 4, "\x0c\xb1\xba\x00\x00\x00\x00\x00"),
    EACH("ZFS", 131072, 1024, 4, "\x00\x00\x00\x00\x00\xba\xb1\x0c"),
    AT("F2FS", 1024, "\x10\x20\xf5\xf2"),
    AT("EROFS", 1024, "\xe2\xe1\xf5\xe0"),
    AT("bcache", 4096 + 24,
       "\xc6\x85\x73\xf6\x4e\x1a\x45\xca\x82\x65\xf5\x7f\x48\xba\x6d\x81"), // bcachefs: its own
    AT("bcachefs", 4096 + 24, "\xc6\x85\x73\xf6\x66\xce\x90\xa9\xd9\x6a\x60\xcf\x80\x3d\xf7\xef"),
    AT("APFS", 32, "NXSB"),
    AT("HFS+", 1024, "H+\x00\x04"),
    AT("HFS+", 1024, "HX\x00\x05"),
    AT("JFS", 32768, "JFS1"),
    AT("ReiserFS", 65536 + 52, "ReIsEr"),
    AT("ISO 9660", 32768 + 1, "CD001"),
    AT("UDF", 32768 + 1, "BEA01"),
    AT("squashfs", 0, "hsqs"),
    AT("VMFS", 0, "\x5e\xf1\xab\x2f"),
    AT("NILFS2", 1024 + 6, "\x34\x34"),
    AT("cramfs", 0, "\x45\x3d\xcd\x28"),
    AT("bfs", 0, "\xce\xfa\xad\x1b"),
    AT("minix", 1024 + 16, "\x7f\x13"), // the first, with names of 14 characters, of 30
    AT("minix", 1024 + 16, "\x8f\x13"),
    AT("minix", 1024 + 16, "\x68\x24"), // the second
    AT("minix", 1024 + 16, "\x78\x24"),
    AT("minix", 1024 + 24, "\x5a\x4d"), // the third
    AT("MBR", 510, "\x55\xaa"),
};

const char *block_guard_trace(const void *bytes, size_t length)
{
    for (size_t i = 0; i < ARRAY_COUNT(traces); i++) {
        const struct trace *trace = &traces[i];
        for (uint32_t place = 0; place < trace->places; place++) {
            const size_t at = trace->offset + (size_t)place * trace->step;
            if (at + trace->length <= length &&
                memcmp((const uint8_t *)bytes + at, trace->bytes, trace->length) == 0)
                return trace->name;
        }
    }
    return NULL;
}

// ---- opening a range ----------------------------------------------------------------------------

#define SCRATCH_TEXT "TICKMARK SCRATCH: MAY BE ERASED\n"
#define PLACES_STEP  (UINT64_C(1) << 20) // where partitions begin

struct signature {
    char text[sizeof(SCRATCH_TEXT) - 1];
    uint64_t first, count;
    char serial[BLOCK_SERIAL_MOST];
    uint64_t check; // of all before
    uint8_t zero[32];
};

_Static_assert(sizeof(struct signature) == BLOCK_SCRATCH_BYTES, "what a signature takes");

bool block_guard_sign(void *bytes, const struct block_guard_wish *wish)
{
    struct signature signature = {.first = wish->first, .count = wish->count};
    const size_t length = string_length(wish->serial, BLOCK_SERIAL_MOST + 1);
    if (length > BLOCK_SERIAL_MOST)
        return false;
    memcpy(signature.text, SCRATCH_TEXT, sizeof(signature.text));
    memcpy(signature.serial, wish->serial, length);
    // FNV-1a of 64 bits: http://www.isthe.com/chongo/tech/comp/fnv/
    uint64_t hash = 0xcbf29ce484222325u;
    for (size_t i = 0; i < offsetof(struct signature, check); i++)
        hash = (hash ^ ((const uint8_t *)&signature)[i]) * 0x100000001b3u;
    signature.check = hash;
    memcpy(bytes, &signature, sizeof(signature));
    return true;
}

// Looks at what may begin at block `first`; less of it at the end of the disk.
static enum status probe(const struct block_guard_disk *disk, uint64_t first, void *buffer,
                         const char **reason)
{
    const uint64_t blocks = min_u64(BLOCK_PROBE_BYTES / disk->block_bytes, disk->blocks - first);
    const enum status status = disk->read(disk->context, first, (uint32_t)blocks, buffer);
    if (status != STATUS_OK) {
        *reason = "the disk cannot be read";
        return status;
    }
    const char *name = block_guard_trace(buffer, (size_t)blocks * disk->block_bytes);
    if (name == NULL)
        return STATUS_OK;
    *reason = name;
    return STATUS_REFUSED;
}

// The end of the disk: the second GPT header in the last block, RAID metadata before it. Whatever
// begins at one of the last blocks counts.
static enum status probe_end(const struct block_guard_disk *disk, void *buffer, const char **reason)
{
    const uint64_t blocks = min_u64(BLOCK_PROBE_BYTES / disk->block_bytes, disk->blocks);
    const uint64_t first = disk->blocks - blocks;
    const enum status status = disk->read(disk->context, first, (uint32_t)blocks, buffer);
    if (status != STATUS_OK) {
        *reason = "the disk cannot be read";
        return status;
    }
    const size_t length = (size_t)blocks * disk->block_bytes;
    for (size_t at = 0; at < length; at += disk->block_bytes) {
        const size_t left = length - at;
        // One block of it: what lies behind is looked at in its turn.
        const char *name = block_guard_trace((const uint8_t *)buffer + at,
                                             left < disk->block_bytes ? left : disk->block_bytes);
        if (name != NULL) {
            *reason = name;
            return STATUS_REFUSED;
        }
    }
    return STATUS_OK;
}

static enum status find_signature(const struct block_guard_disk *disk,
                                  const struct block_guard_wish *wish, void *buffer,
                                  const char **reason)
{
    struct signature expected;
    *reason = "no scratch signature at the range's beginning";
    if (!block_guard_sign(&expected, wish))
        return STATUS_INVALID;
    const enum status status = disk->read(disk->context, wish->first, 1, buffer);
    if (status != STATUS_OK) {
        *reason = "the disk cannot be read";
        return status;
    }
    return memcmp(buffer, &expected, sizeof(expected)) == 0 ? STATUS_OK : STATUS_REFUSED;
}

static bool sensible(const struct block_guard_disk *disk, const struct block_guard_wish *wish)
{
    return wish->count > 0 && wish->count <= BLOCK_SCRATCH_MOST / disk->block_bytes &&
           wish->first < disk->blocks && wish->count <= disk->blocks - wish->first;
}

enum status block_guard_open_built(struct block_guard *guard, const struct block_guard_disk *disk,
                                   const struct block_guard_wish *wish, void *buffer,
                                   const char **reason, bool built)
{
    assert(disk->block_bytes >= 512 && disk->block_bytes <= 4096);
    assert((disk->block_bytes & (disk->block_bytes - 1)) == 0);
    *guard = (struct block_guard){0};
    *reason = "this program was built without writing to disks";
    if (!built)
        return STATUS_REFUSED;
    *reason = "the range is empty, too large or not on the disk";
    if (!sensible(disk, wish))
        return STATUS_INVALID;
    *reason = "another serial number, or none";
    if (wish->serial[0] == '\0' || !string_equal(wish->serial, disk->serial))
        return STATUS_REFUSED;
    enum status status = find_signature(disk, wish, buffer, reason);
    if (status == STATUS_OK)
        status = probe(disk, 0, buffer, reason);
    if (status == STATUS_OK)
        status = probe_end(disk, buffer, reason);
    if (status == STATUS_OK)
        status = probe(disk, wish->first, buffer, reason);
    const uint64_t step = PLACES_STEP / disk->block_bytes;
    for (uint64_t at = align_up(wish->first, step);
         status == STATUS_OK && at < wish->first + wish->count; at += step)
        status = probe(disk, at, buffer, reason);
    if (status != STATUS_OK)
        return status;
    *reason = "";
    *guard = (struct block_guard){.writable = true, .first = wish->first, .count = wish->count};
    return STATUS_OK;
}
