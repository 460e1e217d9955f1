// SPDX-License-Identifier: MIT
// The sanitised host program has one flavour: its numbers' pass, and no other.
struct bench_run;
int bench_main(struct bench_run *run);
int bench_main_plain(struct bench_run *run);
int bench_main_traced(struct bench_run *run);

int bench_main_plain(struct bench_run *run)
{
    return bench_main(run);
}

int bench_main_traced(struct bench_run *run)
{
    (void)run;
    return 0;
}
