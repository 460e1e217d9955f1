// SPDX-License-Identifier: MIT
#include "list_rows.h"

#include "bench.h"
#include "format.h"
#include "platform.h"
#include "record.h"

static void line(const char *text, size_t length)
{
    platform_line_write(text, length);
}

static void list_case(const struct options *options, const struct bench_suite *suite, size_t c)
{
    const struct bench_case *one = &suite->cases[c];
    char text[512], id[RECORD_NAME_MOST + 1];
    bool headed = false;
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
}

int list_rows(const struct options *options)
{
    for (unsigned s = 0; bench_suites[s] != NULL; s++)
        for (size_t c = 0; c < bench_suites[s]->case_count; c++)
            list_case(options, bench_suites[s], c);
    return 0;
}
