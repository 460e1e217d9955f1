// SPDX-License-Identifier: MIT
#include "verdict.h"

#include <inttypes.h>
#include <stdarg.h>
#include <string.h>
#include <sys/wait.h>

void verdict_set(struct boot_result *result, enum outcome outcome, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    result->outcome = outcome;
    vsnprintf(result->detail, sizeof(result->detail), format, arguments);
    va_end(arguments);
}

// " during CASE", or nothing.
const char *verdict_during(const struct session *session, char *out, size_t capacity)
{
    out[0] = '\0';
    if (session->results.case_rows > 0)
        text_format(out, capacity, " during %s", session->results.case_id);
    return out;
}

// ---- the process is gone -----------------------------------------------------------------------

// END came and says that not all is well: if every row was closed, the run is whole and some of its
// rows are rejected; the rows say so themselves.
static void judge_failures(const struct session *session, struct boot_result *result)
{
    const struct results *results = &session->results;
    const struct row *first = NULL;
    unsigned failed = 0;
    for (uint32_t i = 0; i < results->described; i++) {
        const struct row *row = &results->rows[i];
        if (row->status == ROW_OK)
            continue;
        failed++;
        first = first == NULL ? row : first;
    }
    const bool whole = results_all_finished(results);
    if (first == NULL)
        verdict_set(result, OUTCOME_DIED, "the target ended and says that it did not succeed");
    else
        verdict_set(result, whole ? OUTCOME_COMPLETE : OUTCOME_DIED, "%u of %u rows %s: %s: %s%s%s",
                    failed, results->plan_rows, whole ? "rejected" : "without a result", first->id,
                    row_status_names[first->status], first->detail[0] != '\0' ? ": " : "",
                    first->detail);
}

static void judge_end(const struct verdict_evidence *evidence, const char *how,
                      struct boot_result *result)
{
    const struct process *process = evidence->process;
    const bool success =
        process == NULL || (WIFEXITED(process->status) &&
                            (uint32_t)WEXITSTATUS(process->status) == evidence->success_exit);
    if (!evidence->session->end.success)
        judge_failures(evidence->session, result);
    else if (!success)
        verdict_set(result, OUTCOME_DIED, "END says success, but the target: %s (success is %u)",
                    how, evidence->success_exit);
    else if (evidence->session->results.plan_rows == 0)
        verdict_set(result, OUTCOME_DIED, "the target planned nothing to measure");
    else
        verdict_set(result, OUTCOME_COMPLETE, "%s", "");
}

static void judge_without_end(const struct verdict_evidence *evidence, const char *how,
                              struct boot_result *result)
{
    const struct process *process = evidence->process;
    const char *said = evidence->last_output;
    const bool waiting = session_state(evidence->session) == SESSION_WAITING;
    const bool like_success = WIFEXITED(process->status) &&
                              (uint32_t)WEXITSTATUS(process->status) == evidence->success_exit;
    char place[RECORD_NAME_MOST + 16];
    verdict_during(evidence->session, place, sizeof(place));
    if (waiting && WIFEXITED(process->status))
        verdict_set(result, OUTCOME_NO_START, "the target ended before it said anything: %s%s%s",
                    how, said[0] != '\0' ? ": " : "", said);
    else
        verdict_set(result, OUTCOME_DIED, "%s%s%s%s%s", like_success ? "ended without END, " : "",
                    how, place, said[0] != '\0' ? ": " : "", said);
}

void verdict_at_exit(const struct verdict_evidence *evidence, struct boot_result *result)
{
    const struct session *session = evidence->session;
    char how[64];
    char missing[DETAIL_MOST];
    how[0] = '\0';
    if (evidence->process != NULL)
        process_describe(evidence->process, how, sizeof(how));
    switch (session_state(session)) {
    case SESSION_STRANGER:
    case SESSION_REFUSED:
        verdict_set(result, OUTCOME_NO_START, "%s%s", session->refused ? "refused: " : "",
                    session->error);
        break;
    case SESSION_DAMAGED:
        verdict_set(result, OUTCOME_DAMAGED, "%s", session->error);
        break;
    case SESSION_GAP:
        session_describe_gap(session, missing, sizeof(missing));
        verdict_set(result, OUTCOME_DAMAGED, "%s", missing);
        break;
    case SESSION_ENDED:
        judge_end(evidence, how, result);
        break;
    default:
        judge_without_end(evidence, how, result);
    }
}

// ---- stopped somewhere -------------------------------------------------------------------------

void verdict_hang(const struct verdict_evidence *evidence, const char *image, const char *why,
                  const struct machine_state *state, struct buffer *text,
                  struct boot_result *result)
{
    char place[256] = "", at[RECORD_NAME_MOST + 16];
    buffer_print(text, "hang: %s%s\n", why, verdict_during(evidence->session, at, sizeof(at)));
    if (state != NULL)
        unwind(image, state, text, place, sizeof(place));
    else
        buffer_print(text, "the target's registers could not be read\n");
    verdict_set(result, OUTCOME_HANG, "%s%s%s%s", why, at, place[0] != '\0' ? " at " : "", place);
}

void verdict_triple_fault(const struct verdict_evidence *evidence, const char *image,
                          const struct machine_state *state, struct buffer *text,
                          struct boot_result *result)
{
    char place[256] = "", at[RECORD_NAME_MOST + 16];
    buffer_print(text, "triple fault%s\n", verdict_during(evidence->session, at, sizeof(at)));
    if (state != NULL)
        unwind(image, state, text, place, sizeof(place));
    verdict_set(result, OUTCOME_TRIPLE_FAULT, "the machine reset%s%s%s", at,
                place[0] != '\0' ? " at " : "", place);
}

static const char *vector_name(uint64_t vector)
{
    static const char *const names[] = {
        "divide error",
        "debug exception",
        "NMI",
        "breakpoint",
        "overflow trap",
        "bound range exceeded",
        "invalid opcode",
        "device not available",
        "double fault",
        "coprocessor",
        "invalid TSS",
        "segment not present",
        "stack fault",
        "general protection fault",
        "page fault",
        "reserved",
        "x87 error",
        "alignment check",
        "machine check",
        "SIMD error",
        "virtualization exception",
        "control protection",
    };
    return vector < sizeof(names) / sizeof(names[0]) ? names[vector] : "interrupt";
}

void verdict_panic(const struct session *session, const char *image, struct buffer *text,
                   struct boot_result *result)
{
    const struct session_panic *panic = &session->panic;
    struct machine_state state = {.rip = panic->rip,
                                  .rflags = panic->rflags,
                                  .cr2 = panic->cr2,
                                  .cr3 = panic->cr3,
                                  .named = true};
    char place[256], fault[128] = "";
    memcpy(state.registers, panic->registers, sizeof(state.registers));
    // The stack's copy begins at the RSP that PANIC names.
    state.registers[STATE_RSP] = panic->rsp;
    state.stack_length = session_stack_length(session);
    memcpy(state.stack, session->stack, state.stack_length);
    if (panic->vector != RECORD_NO_VECTOR)
        text_format(fault, sizeof(fault),
                    "%s (vector %" PRIu64 ", error %" PRIx64 ", cr2 %" PRIx64 ")",
                    vector_name(panic->vector), panic->vector, panic->error, panic->cr2);
    buffer_print(text, "guest panic: %s%s%s%s%s on CPU %" PRIu64 "\n", fault,
                 fault[0] != '\0' ? ": " : "", panic->reason,
                 panic->running[0] != '\0' ? " during " : "", panic->running, panic->cpu);
    unwind(image, &state, text, place, sizeof(place));
    // A failed assertion names its place itself; the innermost frame is only where it is reported.
    const bool assertion = panic->vector == RECORD_NO_VECTOR;
    verdict_set(result, OUTCOME_PANIC, "%s%s%s%s%s%s%s", fault, fault[0] != '\0' ? ": " : "",
                panic->reason, panic->running[0] != '\0' ? " during " : "", panic->running,
                assertion ? "" : " at ", assertion ? "" : place);
}
