// SPDX-License-Identifier: MIT
#include "list_rows.h"

#include "bench.h"
#include "format.h"
#include "platform.h"
#include "record.h"
#include "suites.h"

static void line(const char *text, size_t length)
{
    platform_line_write(text, length);
}

// Lists the rows of one case; `headed`: its heading is out. Returns whether it is now.
static bool list_case(const struct options *options, const struct bench_suite *suite,
                      const struct bench_case *one, bool headed)
{
    char text[512], id[RECORD_NAME_MOST + 1];
    const size_t c = (size_t)(one - suite->cases);
    for (size_t v = 0; v < suite->variant_count; v++) {
        static const char *const roles[] = {[VARIANT_BASELINE] = "baseline",
                                            [VARIANT_PRODUCT] = "product",
                                            [VARIANT_FLOOR] = "floor",
                                            [VARIANT_PEER] = "peer"};
        const struct bench_variant *variant = &suite->variants[v];
        if ((suite->applies != NULL && !suite->applies(c, variant->ops)) ||
            !options_select(options, suite, one, variant))
            continue;
        if (!headed)
            line(text,
                 format(text, sizeof(text),
                        "\n%s/%s: %s\n    %lu operation%s a window, %lu windows a round on an "
                        "exact clock%s; at most %u s\n",
                        suite->name, one->name, one->what, one->operations,
                        one->operations == 1 ? "" : "s", one->samples_exact,
                        one->fixed ? ", fixed" : "", one->seconds));
        headed = true;
        bench_row_id(suite, one, variant, id);
        line(text, format(text, sizeof(text), "  %-36s %-9s %s\n", id, roles[variant->about->role],
                          variant->about->what));
    }
    return headed;
}

int list_rows(const struct options *options)
{
    const struct bench_suite *suite;
    for (size_t s = 0; (suite = suites_at(s)) != NULL; s++) {
        const struct bench_suite *const more = suites_more(suite);
        for (size_t c = 0; c < suite->case_count; c++) {
            const struct bench_case *const one = &suite->cases[c];
            const struct bench_case *const twin =
                more != NULL ? suites_case(more, one->name) : NULL;
            const bool headed = list_case(options, suite, one, false);
            if (twin != NULL)
                list_case(options, more, twin, headed);
        }
    }
    return 0;
}
