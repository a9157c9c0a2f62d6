/* QEMU plugin: instructions executed between two addresses, call by call.
 *
 *     cc -shared -fPIC -O2 tools/qemu/count.c -o count.so
 *     qemu-system-arm ... -plugin ./count.so,begin=0x08000101,end=0x08000105,out=counts.txt
 *
 * Writes one line to `out` each time the instruction at `end` is reached after the one at `begin`: the number executed
 * from the first (included) to the second (excluded). Interrupts in between count too. The addresses' lowest
 * bit (Thumb) is ignored.
 * Without addresses: one line with the total.
 *
 * cycles=on (Thumb only): a second number in each line, the cycles by the table of the Cortex-M4 Technical Reference
 * Manual, "Instruction set summary", without wait states: a load or store 2, one of n words 1 + n, VMLA and VFMA 3,
 * VDIV and VSQRT 14, MLA 2, SDIV and UDIV 12 (2 to 12), everything else 1; a branch that is taken 2 more (1 to 3).
 * Neither that neighbouring loads overlap nor that an operand is late is in it.
 * profile=FILE: address and number of executions of each instruction between the two, summed over all calls.
 *
 * The prototypes are those of QEMU's plugin interface, which distributions do not package; no more than is used here,
 * and the same in every version of it. RTU_PLUGIN_API is the version that the plugin claims (1 for QEMU 7 and 8). */
#include <inttypes.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifndef RTU_PLUGIN_API
#define RTU_PLUGIN_API 1
#endif
#define EXPORT __attribute__((visibility("default")))

typedef uint64_t qemu_plugin_id_t;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb* block);
struct qemu_plugin_insn* qemu_plugin_tb_get_insn(const struct qemu_plugin_tb* block, size_t index);
uint64_t qemu_plugin_insn_vaddr(const struct qemu_plugin_insn* instruction);
size_t qemu_plugin_insn_size(const struct qemu_plugin_insn* instruction);
#if RTU_PLUGIN_API < 3
const void* qemu_plugin_insn_data(const struct qemu_plugin_insn* instruction);
#else
size_t qemu_plugin_insn_data(const struct qemu_plugin_insn* instruction, void* to, size_t size);
#endif
void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t id, void (*call)(qemu_plugin_id_t, struct qemu_plugin_tb*));
void qemu_plugin_register_vcpu_insn_exec_cb(struct qemu_plugin_insn* instruction, void (*call)(unsigned, void*),
                                            int flags, void* context);
void qemu_plugin_register_atexit_cb(qemu_plugin_id_t id, void (*call)(qemu_plugin_id_t, void*), void* context);

EXPORT int qemu_plugin_version = RTU_PLUGIN_API;

static uint64_t begin, end, executed, began, cycles, cycles_began;
static int counting, with_cycles;
static FILE *out, *profile;

/* An instruction of the program; made once an address, and kept to the end. */
struct site {
  struct site* next; /* in its bucket */
  uint64_t at, after, count;
  unsigned cycles;
};
enum { BUCKETS = 1 << 14 };
static struct site* sites[BUCKETS];
static uint64_t expected; /* the address after the last instruction */

static unsigned ones(unsigned bits) {
  unsigned n = 0;
  for (; bits != 0; bits &= bits - 1) ++n;
  return n;
}

static unsigned short_cycles(unsigned op) {
  if (op >> 12 == 0xc) return 1 + ones(op & 0xffu);                   /* LDM, STM */
  if ((op & 0xf600u) == 0xb400u) return 1 + ones(op & 0x1ffu);        /* PUSH, POP */
  if (op >> 11 == 0x09 || (op >> 12 >= 5 && op >> 12 <= 9)) return 2; /* one load or store */
  return 1;
}

static unsigned float_cycles(unsigned op, unsigned low) {
  if ((op & 0xfe00u) == 0xec00u) {
    if ((op & 0xffe0u) == 0xec40u) return 2;                           /* VMOV of two registers */
    if ((op & 0x0120u) == 0x0100u) return (low & 0x100u) != 0 ? 3 : 2; /* VLDR, VSTR */
    return 1 + (low & 0xffu);                                          /* VLDM, VSTM, VPUSH, VPOP */
  }
  if ((low & 0x10u) != 0) return 1; /* VMOV, VMRS */
  switch ((op >> 4 & 3u) | (op >> 5 & 4u)) {
    case 0: /* VMLA, VMLS */
    case 1: /* VNMLA, VNMLS */
    case 5: /* VFNMA */
    case 6: /* VFMA */
      return 3;
    case 4:
      return 14; /* VDIV */
    case 7:
      return (op & 0xfu) == 1 && (low & 0xc0u) == 0xc0u ? 14 : 1; /* VSQRT */
    default:
      return 1;
  }
}

static unsigned long_cycles(unsigned op, unsigned low) {
  if ((op & 0xec00u) == 0xec00u) return float_cycles(op, low);
  if ((op & 0xfe40u) == 0xe800u) return 1 + ones(low); /* LDM, STM */
  if ((op & 0xfe40u) == 0xe840u) {
    if ((op & 0xff80u) == 0xe880u || (op & 0xff00u) == 0xe800u) return 2; /* exclusive, TBB */
    return 3;                                                             /* LDRD, STRD */
  }
  if ((op & 0xfe00u) == 0xf800u) return 2;                       /* one load or store */
  if ((op & 0xffd0u) == 0xfb90u) return 12;                      /* SDIV, UDIV */
  if ((op & 0xfff0u) == 0xfb00u) return low >> 12 != 15 ? 2 : 1; /* MLA, MLS; MUL */
  return 1;
}

static unsigned cycles_of(const struct qemu_plugin_insn* instruction) {
  unsigned char bytes[4] = {0};
  const size_t size = qemu_plugin_insn_size(instruction);
  if (size > sizeof bytes) return 1;
#if RTU_PLUGIN_API < 3
  memcpy(bytes, qemu_plugin_insn_data(instruction), size);
#else
  (void)qemu_plugin_insn_data(instruction, bytes, size);
#endif
  const unsigned op = bytes[0] | (unsigned)bytes[1] << 8, low = bytes[2] | (unsigned)bytes[3] << 8;
  return size == 2 ? short_cycles(op) : long_cycles(op, low);
}

static struct site* site_of(const struct qemu_plugin_insn* instruction) {
  const uint64_t at = qemu_plugin_insn_vaddr(instruction);
  struct site** bucket = &sites[at / 2 % BUCKETS];
  for (struct site* site = *bucket; site != NULL; site = site->next)
    if (site->at == at) return site;
  struct site* site = calloc(1, sizeof *site);
  if (site == NULL) abort();
  site->next = *bucket;
  site->at = at;
  site->after = at + qemu_plugin_insn_size(instruction);
  site->cycles = cycles_of(instruction);
  return *bucket = site;
}

static void on_any(unsigned cpu, void* context) {
  (void)cpu;
  (void)context;
  ++executed;
}

static void on_site(unsigned cpu, void* context) {
  struct site* site = context;
  (void)cpu;
  ++executed;
  cycles += site->cycles + (site->at != expected ? 2 : 0);
  expected = site->after;
  site->count += (uint64_t)counting;
}

static void on_begin(unsigned cpu, void* context) {
  (void)cpu;
  (void)context;
  began = executed;
  cycles_began = cycles;
  counting = 1;
}

static void on_end(unsigned cpu, void* context) {
  (void)cpu;
  (void)context;
  if (counting && with_cycles) fprintf(out, "%" PRIu64 " %" PRIu64 "\n", executed - began, cycles - cycles_began);
  if (counting && !with_cycles) fprintf(out, "%" PRIu64 "\n", executed - began);
  counting = 0;
}

static void on_translation(qemu_plugin_id_t id, struct qemu_plugin_tb* block) {
  (void)id;
  for (size_t i = 0, n = qemu_plugin_tb_n_insns(block); i < n; ++i) {
    struct qemu_plugin_insn* instruction = qemu_plugin_tb_get_insn(block, i);
    const uint64_t at = qemu_plugin_insn_vaddr(instruction);
    /* Callbacks of one instruction run in the order of their registration. */
    if (at == begin) qemu_plugin_register_vcpu_insn_exec_cb(instruction, on_begin, 0, NULL);
    if (at == end) qemu_plugin_register_vcpu_insn_exec_cb(instruction, on_end, 0, NULL);
    if (with_cycles || profile != NULL)
      qemu_plugin_register_vcpu_insn_exec_cb(instruction, on_site, 0, site_of(instruction));
    else
      qemu_plugin_register_vcpu_insn_exec_cb(instruction, on_any, 0, NULL);
  }
}

static void on_exit_of_qemu(qemu_plugin_id_t id, void* context) {
  (void)id;
  (void)context;
  if (begin == 0) fprintf(out, "%" PRIu64 "\n", executed);
  fclose(out);
  if (profile == NULL) return;
  for (int i = 0; i < BUCKETS; ++i)
    for (const struct site* site = sites[i]; site != NULL; site = site->next)
      if (site->count > 0) fprintf(profile, "%#" PRIx64 " %" PRIu64 " %u\n", site->at, site->count, site->cycles);
  fclose(profile);
}

EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const void* information, int n, char** arguments) {
  (void)information;
  for (int i = 0; i < n; ++i) {
    if (strncmp(arguments[i], "begin=", 6) == 0) begin = strtoull(arguments[i] + 6, NULL, 0) & ~1ull;
    if (strncmp(arguments[i], "end=", 4) == 0) end = strtoull(arguments[i] + 4, NULL, 0) & ~1ull;
    if (strncmp(arguments[i], "out=", 4) == 0) out = fopen(arguments[i] + 4, "w");
    if (strncmp(arguments[i], "profile=", 8) == 0) profile = fopen(arguments[i] + 8, "w");
    if (strcmp(arguments[i], "cycles=on") == 0) with_cycles = 1;
  }
  if (out == NULL || (begin == 0) != (end == 0)) {
    fprintf(stderr, "count: a writable out= is needed, and begin= and end= or neither\n");
    return 1;
  }
  qemu_plugin_register_vcpu_tb_trans_cb(id, on_translation);
  qemu_plugin_register_atexit_cb(id, on_exit_of_qemu, NULL);
  return 0;
}
