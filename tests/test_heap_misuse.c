// SPDX-License-Identifier: MIT
// The matrix of misuse: each kind, in every heap in debug mode, in a process of its own, ends in a
// panic whose line says exactly what and where.
#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "heap_debug_subject.h"
#include "run_checks.h"

// ---- the matrix of misuse -----------------------------------------------------------------------
// `expect` formats the line with what is known beforehand; ALLOCATED and FREED stand for the
// owners, which only the panicking process knows.

#define ALLOCATED ", allocated at OWNER"
#define FREED     ", freed at OWNER"

static uint8_t elsewhere[4096] __attribute__((aligned(4096)));

static void fill_quarantine(struct fixture *f)
{
    for (unsigned i = 0; i < DEPTH; i++) {
        void *object = heap_debug_allocate(f->handle, SIZE);
        heap_debug_release(f->handle, object, SIZE);
    }
}

static void free_object(struct fixture *f)
{
    heap_debug_release(f->handle, f->object, SIZE);
}

static void free_twice(struct fixture *f)
{
    free_object(f);
    free_object(f);
}

static void free_twice_with_others_between(struct fixture *f)
{
    free_object(f);
    heap_debug_release(f->handle, f->other, SIZE);
    free_object(f);
}

static void free_twice_after_the_quarantine(struct fixture *f)
{
    free_object(f);
    heap_debug_flush(f->handle);
    free_object(f);
}

static void free_elsewhere(struct fixture *f)
{
    heap_debug_release(f->handle, elsewhere + 64, SIZE);
}

static void free_null(struct fixture *f)
{
    heap_debug_release(f->handle, NULL, SIZE);
}

static void free_never_handed_out(struct fixture *f)
{
    heap_debug_release(f->handle, f->memory + LENGTH / 2, SIZE);
}

static void free_behind_the_heap(struct fixture *f)
{
    heap_debug_release(f->handle, f->memory + LENGTH - 8, SIZE);
}

static void free_inside(struct fixture *f)
{
    heap_debug_release(f->handle, f->object + 16, SIZE - 16);
}

static void free_last_word(struct fixture *f)
{
    heap_debug_release(f->handle, f->object + 96, SIZE);
}

static void free_misaligned(struct fixture *f)
{
    heap_debug_release(f->handle, f->object + 1, SIZE);
}

static void free_misaligned_nowhere(struct fixture *f)
{
    heap_debug_release(f->handle, f->memory + LENGTH / 2 + 3, SIZE);
}

static void free_the_front(struct fixture *f)
{
    heap_debug_release(f->handle, f->object - HEAP_DEBUG_FRONT, SIZE);
}

static void free_smaller(struct fixture *f)
{
    heap_debug_release(f->handle, f->object, SIZE - 1);
}

static void free_larger(struct fixture *f)
{
    heap_debug_release(f->handle, f->object, SIZE + 1);
}

static void overrun(struct fixture *f)
{
    f->object[SIZE] = 0;
    free_object(f);
}

static void overrun_at_the_end_of_the_zone(struct fixture *f)
{
    f->object[SIZE + HEAP_DEBUG_RED - 1] ^= 0x80;
    free_object(f);
}

static void overrun_found_by_check(struct fixture *f)
{
    f->object[SIZE] = 0;
    heap_debug_check(&f->debug);
}

static void underrun(struct fixture *f)
{
    f->object[-1] ^= 1;
    free_object(f);
}

static void underrun_found_by_check(struct fixture *f)
{
    f->object[-8] ^= 1;
    heap_debug_check(&f->debug);
}

static void size_overwritten(struct fixture *f)
{
    memset(f->object - HEAP_DEBUG_FRONT + 16, 0, 8);
    free_object(f);
}

static void write_after_free(struct fixture *f)
{
    free_object(f);
    f->object[0] = 0;
    fill_quarantine(f);
}

static void write_last_byte_after_free(struct fixture *f)
{
    free_object(f);
    f->object[SIZE - 1] ^= 1;
    heap_debug_flush(f->handle);
}

static void write_after_free_found_by_check(struct fixture *f)
{
    free_object(f);
    f->object[SIZE / 2] = 0;
    heap_debug_check(&f->debug);
}

static void write_after_free_found_when_memory_runs_out(struct fixture *f)
{
    free_object(f);
    f->object[5] = 0;
    while (heap_debug_allocate(f->handle, 1000) != NULL)
        ;
}

static void write_behind_after_free(struct fixture *f)
{
    free_object(f);
    f->object[SIZE] = 0;
    heap_debug_flush(f->handle);
}

static void write_in_front_after_free(struct fixture *f)
{
    free_object(f);
    f->object[-3] = 0;
    heap_debug_flush(f->handle);
}

#define OF_OBJECT " OBJECT (100 bytes)" ALLOCATED

static const struct {
    const char *name;
    void (*misuse)(struct fixture *f);
    const char *line; // OBJECT: the address of f->object, OBJECT+N: N bytes behind it, MEMORY+N:
                      // behind the start of the memory, ELSEWHERE: of elsewhere[64]
} matrix[] = {
    {"free twice", free_twice, "double free of" OF_OBJECT FREED},
    {"free twice, others between", free_twice_with_others_between,
     "double free of" OF_OBJECT FREED},
    {"free twice, after the quarantine", free_twice_after_the_quarantine, "double free of OBJECT"},
    {"free elsewhere", free_elsewhere, "wild free outside of the heap of ELSEWHERE"},
    {"free null", free_null, "wild free outside of the heap of 0x0"},
    {"free never handed out", free_never_handed_out,
     "wild free of what was never handed out, MEMORY+524288"},
    {"free behind the heap", free_behind_the_heap,
     "wild free outside of the heap of MEMORY+1048568"},
    {"free inside", free_inside, "free inside an object of OBJECT+16 (100 bytes)" ALLOCATED},
    {"free the last word", free_last_word,
     "free inside an object of OBJECT+96 (100 bytes)" ALLOCATED},
    {"free misaligned", free_misaligned, "misaligned free of OBJECT+1 (100 bytes)" ALLOCATED},
    {"free misaligned nowhere", free_misaligned_nowhere, "misaligned free of MEMORY+524291"},
    {"free the front", free_the_front, "wild free of what was never handed out, OBJECT+-48"},
    {"free smaller", free_smaller, "free by a wrong size of" OF_OBJECT},
    {"free larger", free_larger, "free by a wrong size of" OF_OBJECT},
    {"overrun", overrun, "overrun behind" OF_OBJECT},
    {"overrun, end of the zone", overrun_at_the_end_of_the_zone, "overrun behind" OF_OBJECT},
    {"overrun, check", overrun_found_by_check, "overrun behind" OF_OBJECT},
    {"underrun", underrun, "underrun below OBJECT"},
    {"underrun, check", underrun_found_by_check, "underrun below OBJECT"},
    {"size overwritten", size_overwritten, "underrun below OBJECT"},
    {"write after free", write_after_free, "use after free of" OF_OBJECT FREED},
    {"write last byte after free", write_last_byte_after_free, "use after free of" OF_OBJECT FREED},
    {"write after free, check", write_after_free_found_by_check,
     "use after free of" OF_OBJECT FREED},
    {"write after free, memory runs out", write_after_free_found_when_memory_runs_out,
     "use after free of" OF_OBJECT FREED},
    {"write behind after free", write_behind_after_free, "overrun behind" OF_OBJECT FREED},
    {"write in front after free", write_in_front_after_free, "underrun below OBJECT"},
};

// Runs the misuse in a process of its own; its panic's line, without file and number, in `line`.
static void die_by(struct fixture *f, void (*misuse)(struct fixture *f), char *line, size_t room)
{
    int ends[2], status = 0;
    ck_assert_int_eq(pipe(ends), 0);
    fflush(NULL);
    const pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        dup2(ends[1], STDERR_FILENO);
        close(ends[0]);
        misuse(f);
        _exit(0);
    }
    close(ends[1]);
    size_t length = 0;
    for (ssize_t got; (got = read(ends[0], line + length, room - 1 - length)) > 0;)
        length += (size_t)got;
    line[length] = '\0';
    close(ends[0]);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGABRT)
        ck_abort_msg("nothing was found, but: %s", line);
    // "kernel/memory/heap_debug.c:123: heap_debug: ..."
    char *start = strstr(line, ": heap_debug: ");
    if (start == NULL)
        ck_abort_msg("another panic: %s", line);
    memmove(line, start + 2, strlen(start + 2) + 1);
    line[strcspn(line, "\n")] = '\0';
}

static void append(char *text, size_t room, const char *more)
{
    ck_assert_uint_lt(strlen(text) + strlen(more), room);
    strcat(text, more);
}

// The line with the addresses of this process in place of the words.
static void expected_line(const struct fixture *f, const char *line, const char *heap, char *text,
                          size_t room)
{
    char number[32];
    snprintf(text, room, "heap_debug: ");
    while (*line != '\0') {
        uintptr_t base = 0;
        size_t word = 0;
        if (strncmp(line, "OBJECT", word = 6) == 0)
            base = (uintptr_t)f->object;
        else if (strncmp(line, "MEMORY", word = 6) == 0)
            base = (uintptr_t)f->memory;
        else if (strncmp(line, "ELSEWHERE", word = 9) == 0)
            base = (uintptr_t)(elsewhere + 64);
        if (base == 0) {
            snprintf(number, sizeof(number), "%c", *line++);
        } else {
            char *end = (char *)line + word;
            const long offset = *end == '+' ? strtol(end + 1, &end, 10) : 0;
            snprintf(number, sizeof(number), "0x%lx", (unsigned long)base + (unsigned long)offset);
            line = end;
        }
        append(text, room, number);
    }
    append(text, room, ": ");
    append(text, room, heap);
}

// Puts OWNER in place of the addresses behind "at", which must be addresses of code.
static void hide_owners(char *line)
{
    for (char *at = line; (at = strstr(at, " at 0x")) != NULL;) {
        char *end;
        const unsigned long owner = strtoul(at + 4, &end, 16);
        ck_assert_uint_gt(owner, 0x1000);
        memmove(at + 4 + 5, end, strlen(end) + 1);
        memcpy(at + 4, "OWNER", 5);
        at += 4;
    }
}

START_TEST(a_misuse_is_one_line_that_says_what_and_where)
{
    const struct heap_ops *ops = variants[(size_t)_i / ARRAY_COUNT(matrix)];
    const size_t which = (size_t)_i % ARRAY_COUNT(matrix);
    struct fixture f;
    char line[1024], expected[512];
    open_over(&f, ops, DEPTH);
    die_by(&f, matrix[which].misuse, line, sizeof(line));
    hide_owners(line);
    expected_line(&f, matrix[which].line, ops->about.name, expected, sizeof(expected));
    if (strcmp(line, expected) != 0)
        ck_abort_msg("%s, %s:\n  %s\nexpected\n  %s", ops->about.name, matrix[which].name, line,
                     expected);
    // The parent's heap has seen nothing of it.
    ck_assert(heap_debug_check(&f.debug));
    discard(&f);
}
END_TEST

START_TEST(an_object_of_another_heap_is_wild)
{
    struct fixture f, g;
    char line[1024], expected[128];
    open_over(&f, variants[_i], DEPTH);
    open_over(&g, variants[_i], DEPTH);
    uint8_t *own = f.object;
    f.object = g.object;
    die_by(&f, free_object, line, sizeof(line));
    snprintf(expected, sizeof(expected), "heap_debug: wild free outside of the heap of 0x%lx: %s",
             (unsigned long)(uintptr_t)g.object, variants[_i]->about.name);
    ck_assert_str_eq(line, expected);
    f.object = own;
    discard(&g);
    discard(&f);
}
END_TEST

static Suite *misuse_suite(void)
{
    Suite *suite = suite_create("heap_misuse");
    TCase *wrong = tcase_create("misuse");
    const int count = (int)ARRAY_COUNT(variants);
    tcase_set_timeout(wrong, 60);
    tcase_add_loop_test(wrong, a_misuse_is_one_line_that_says_what_and_where, 0,
                        count * (int)ARRAY_COUNT(matrix));
    tcase_add_loop_test(wrong, an_object_of_another_heap_is_wild, 0, count);
    suite_add_tcase(suite, wrong);
    return suite;
}

int main(void)
{
    return run_checks(misuse_suite());
}
