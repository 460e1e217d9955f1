// SPDX-License-Identifier: MIT
// The sanitised host program has the plain flavour only.
struct bench_run;
int bench_main_traced(struct bench_run *run);

int bench_main_traced(struct bench_run *run)
{
    (void)run;
    return 0;
}
