/* A QEMU plugin that counts executed instructions, between marks that the emulated program sets itself.
 *
 * A mark is getpgid(0x7e570000 | n): system call 155 on AArch64 with an argument no process has (the call fails and
 * harms nothing). Each mark writes "MARK n total T delta D" to the file named by COUNT_OUT, the end "TOTAL T". The counts are
 * exactly repeatable, which no timing under emulation is. Built and loaded by count-instructions.
 *
 * The few declarations needed of qemu-plugin.h (QEMU 7.2, docs/devel/tcg-plugins.rst) stand here because Debian does
 * not ship that header.
 */
#include <inttypes.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

typedef uint64_t qemu_plugin_id_t;
struct qemu_plugin_tb;
typedef struct qemu_info_t qemu_info_t;
enum { QEMU_PLUGIN_INLINE_ADD_U64 = 0 };

size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *block);
void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t id, void (*)(qemu_plugin_id_t, struct qemu_plugin_tb *));
void qemu_plugin_register_vcpu_tb_exec_inline(struct qemu_plugin_tb *block, int op, void *counter, uint64_t amount);
void qemu_plugin_register_vcpu_syscall_cb(qemu_plugin_id_t id, void (*)(qemu_plugin_id_t, unsigned, int64_t, uint64_t,
    uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t));
void qemu_plugin_register_atexit_cb(qemu_plugin_id_t id, void (*)(qemu_plugin_id_t, void *), void *data);

#define EXPORTED __attribute__((visibility("default")))
EXPORTED int qemu_plugin_version = 1;

#define GETPGID 155
#define MARK 0x7e570000u
#define MARK_MASK 0xffff0000u

static uint64_t executed, at_last_mark;
static FILE *report;

static void count_block(qemu_plugin_id_t id, struct qemu_plugin_tb *block) {
    (void)id;
    qemu_plugin_register_vcpu_tb_exec_inline(block, QEMU_PLUGIN_INLINE_ADD_U64, &executed, qemu_plugin_tb_n_insns(block));
}

static void on_syscall(qemu_plugin_id_t id, unsigned cpu, int64_t number, uint64_t first, uint64_t a2, uint64_t a3,
    uint64_t a4, uint64_t a5, uint64_t a6, uint64_t a7, uint64_t a8) {
    (void)id; (void)cpu; (void)a2; (void)a3; (void)a4; (void)a5; (void)a6; (void)a7; (void)a8;
    if (number != GETPGID || (first & MARK_MASK) != MARK) return;
    fprintf(report, "MARK %u total %" PRIu64 " delta %" PRIu64 "\n", (unsigned)(first & 0xffffu), executed,
        executed - at_last_mark);
    fflush(report);
    at_last_mark = executed;
}

static void on_exit_of_program(qemu_plugin_id_t id, void *data) {
    (void)id; (void)data;
    fprintf(report, "TOTAL %" PRIu64 "\n", executed);
    fflush(report);
}

EXPORTED int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int argc, char **argv) {
    (void)info; (void)argc; (void)argv;
    const char *file = getenv("COUNT_OUT");
    report = file ? fopen(file, "a") : stderr;
    if (!report) return 1;
    qemu_plugin_register_vcpu_tb_trans_cb(id, count_block);
    qemu_plugin_register_vcpu_syscall_cb(id, on_syscall);
    qemu_plugin_register_atexit_cb(id, on_exit_of_program, NULL);
    return 0;
}
