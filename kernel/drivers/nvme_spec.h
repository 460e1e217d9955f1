// SPDX-License-Identifier: MIT
// NVM Express as far as this kernel speaks it: registers, entries of queues, codes. Sections are
// those of the NVM Express Base Specification 1.4 unless another one is named.
#ifndef NVME_SPEC_H
#define NVME_SPEC_H

#include <stddef.h>
#include <stdint.h>

// ---- registers (3.1) ----------------------------------------------------------------------------

#define NVME_CAP       0x00u // 64 bits: capabilities
#define NVME_VS        0x08u // version: major 31:16, minor 15:8
#define NVME_CC        0x14u // configuration
#define NVME_CSTS      0x1cu // status
#define NVME_AQA       0x24u // sizes of the admin queues, one less each
#define NVME_ASQ       0x28u // 64 bits: where the admin queues are
#define NVME_ACQ       0x30u
#define NVME_DOORBELLS 0x1000u

// Capabilities (3.1.1).
#define NVME_CAP_ENTRIES(cap)    ((uint32_t)((cap)&0xffff) + 1)   // MQES: of an I/O queue at most
#define NVME_CAP_TIMEOUT(cap)    ((uint32_t)((cap) >> 24 & 0xff)) // TO: of readiness, in 500 ms
#define NVME_CAP_STRIDE(cap)     (4u << ((cap) >> 32 & 0xf))      // DSTRD: bytes from bell to bell
#define NVME_CAP_NVM(cap)        ((cap) >> 37 & 1)                // CSS: speaks the NVM command set
#define NVME_CAP_PAGE_LEAST(cap) (12u + (unsigned)((cap) >> 48 & 0xf)) // MPSMIN: logarithm
#define NVME_TIMEOUT_UNIT_NS     500000000u

#define NVME_VERSION_1_1 0x00010100u // the first with lists of namespaces

// Configuration (3.1.5): memory pages in 10:7, and queue entries of 64 and 16 bytes.
#define NVME_CC_ENABLE     1u
#define NVME_CC_PAGES(log) (((log)-12u) << 7)
#define NVME_CC_ENTRIES    (6u << 16 | 4u << 20)
#define NVME_CC_SHUTDOWN   (3u << 14)
#define NVME_CC_NORMAL     (1u << 14) // SHN: normal shutdown notification

// Status (3.1.6). All ones: nobody answers.
#define NVME_CSTS_READY        1u
#define NVME_CSTS_FATAL        2u
#define NVME_CSTS_DOWN(status) (((status) >> 2 & 3) == 2) // SHST: shutdown processing complete
#define NVME_GONE              UINT32_MAX

// ---- entries (4.2, 4.6) -------------------------------------------------------------------------

struct nvme_command {
    uint8_t opcode;
    uint8_t flags; // 0: PRPs, not fused
    uint16_t cid;
    uint32_t nsid;
    uint32_t unused[2];
    uint64_t metadata;
    uint64_t prp1, prp2;
    uint32_t words[6]; // 10 to 15
};

_Static_assert(sizeof(struct nvme_command) == 64, "4.2: a submission queue's entry");
_Static_assert(offsetof(struct nvme_command, prp1) == 24, "4.2, figure 105");
_Static_assert(offsetof(struct nvme_command, words) == 40, "4.2, figure 105");

struct nvme_completion {
    uint32_t result;
    uint32_t unused;
    uint32_t queue;  // submission queue 31:16, its head 15:0
    uint32_t status; // status 31:17, phase 16, CID 15:0
};

_Static_assert(sizeof(struct nvme_completion) == 16, "4.6: a completion queue's entry");

#define NVME_COMPLETION_PHASE(status) ((status) >> 16 & 1)

// Status field (4.6.1): code 7:0, its type 10:8.
#define NVME_STATUS(type, code) ((uint32_t)(type) << 8 | (code))
#define NVME_STATUS_CODE        0x7ffu
#define NVME_STATUS_FINAL       (1u << 14) // do not retry

// ---- commands -----------------------------------------------------------------------------------

#define NVME_FLUSH 0x00u // NVM command set (section 6)
#define NVME_WRITE 0x01u
#define NVME_READ  0x02u

#define NVME_CREATE_SQ    0x01u // admin (section 5)
#define NVME_CREATE_CQ    0x05u
#define NVME_IDENTIFY     0x06u
#define NVME_ABORT        0x08u
#define NVME_SET_FEATURES 0x09u

#define NVME_FEATURE_QUEUES  0x07u     // 5.21.1.7; nothing else is set, and nothing is saved
#define NVME_CONTIGUOUS      (1u << 0) // of a queue's memory (5.3, 5.4)
#define NVME_INTERRUPTS      (1u << 1)
#define NVME_ABORT_NOT_DONE  1u // in its result (5.1.1)
#define NVME_IDENTIFY_BYTES  4096u
#define NVME_LIST_NAMESPACES 1024u

enum nvme_identify { // CNS (5.15.1)
    NVME_IDENTIFY_NAMESPACE = 0,
    NVME_IDENTIFY_CONTROLLER = 1,
    NVME_IDENTIFY_LIST = 2,
};

// Identify Controller (5.15.2.2): offsets.
#define NVME_CONTROLLER_SERIAL     4u  // 20 characters
#define NVME_CONTROLLER_MODEL      24u // 40
#define NVME_CONTROLLER_FIRMWARE   64u // 8
#define NVME_CONTROLLER_TRANSFER   77u // MDTS: logarithm, in least memory pages; 0: no limit
#define NVME_CONTROLLER_DOWN_US    88u // RTD3E: microseconds of a shutdown; 0: not told
#define NVME_CONTROLLER_TYPE       111u
#define NVME_CONTROLLER_ABORTS     258u // ACL: at a time, one less
#define NVME_CONTROLLER_SQ_ENTRY   512u // logarithms: least 3:0, most 7:4
#define NVME_CONTROLLER_CQ_ENTRY   513u
#define NVME_CONTROLLER_NAMESPACES 516u

// Identify Namespace (5.15.2.1): offsets.
#define NVME_NAMESPACE_BLOCKS     0u
#define NVME_NAMESPACE_FORMATS    25u  // NLBAF: one less
#define NVME_NAMESPACE_FORMAT     26u  // FLBAS: 3:0, 6:5 above them
#define NVME_NAMESPACE_ATTRIBUTES 99u  // bit 0: write-protected
#define NVME_NAMESPACE_FORMAT_0   128u // metadata bytes 15:0, logarithm of a block's size 23:16

#endif
