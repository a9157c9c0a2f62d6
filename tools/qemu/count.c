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
void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t id, void (*call)(qemu_plugin_id_t, struct qemu_plugin_tb*));
void qemu_plugin_register_vcpu_insn_exec_cb(struct qemu_plugin_insn* instruction, void (*call)(unsigned, void*),
                                            int flags, void* context);
void qemu_plugin_register_atexit_cb(qemu_plugin_id_t id, void (*call)(qemu_plugin_id_t, void*), void* context);

EXPORT int qemu_plugin_version = RTU_PLUGIN_API;

static uint64_t begin, end, executed, began;
static int counting;
static FILE* out;

static void on_any(unsigned cpu, void* context) {
  (void)cpu;
  (void)context;
  ++executed;
}

static void on_begin(unsigned cpu, void* context) {
  (void)cpu;
  (void)context;
  began = executed;
  counting = 1;
}

static void on_end(unsigned cpu, void* context) {
  (void)cpu;
  (void)context;
  if (counting) fprintf(out, "%" PRIu64 "\n", executed - began);
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
    qemu_plugin_register_vcpu_insn_exec_cb(instruction, on_any, 0, NULL);
  }
}

static void on_exit_of_qemu(qemu_plugin_id_t id, void* context) {
  (void)id;
  (void)context;
  if (begin == 0) fprintf(out, "%" PRIu64 "\n", executed);
  fclose(out);
}

EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const void* information, int n, char** arguments) {
  (void)information;
  for (int i = 0; i < n; ++i) {
    if (strncmp(arguments[i], "begin=", 6) == 0) begin = strtoull(arguments[i] + 6, NULL, 0) & ~1ull;
    if (strncmp(arguments[i], "end=", 4) == 0) end = strtoull(arguments[i] + 4, NULL, 0) & ~1ull;
    if (strncmp(arguments[i], "out=", 4) == 0) out = fopen(arguments[i] + 4, "w");
  }
  if (out == NULL || (begin == 0) != (end == 0)) {
    fprintf(stderr, "count: a writable out= is needed, and begin= and end= or neither\n");
    return 1;
  }
  qemu_plugin_register_vcpu_tb_trans_cb(id, on_translation);
  qemu_plugin_register_atexit_cb(id, on_exit_of_qemu, NULL);
  return 0;
}
