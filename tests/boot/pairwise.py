# SPDX-License-Identifier: MIT
"""Few choices that hold every pair of values together: most faults need two conditions at most."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import combinations, product

Choice = tuple[object, ...]  # a value of each factor, in their order
Pair = tuple[int, object, int, object]  # (factor, value, another factor, value)


def pairs_of(choice: Choice) -> set[Pair]:
    return {(i, a, j, b) for (i, a), (j, b) in combinations(enumerate(choice), 2)}


def all_choices(factors: Mapping[str, Sequence[object]]) -> list[Choice]:
    return list(product(*factors.values()))


def all_pairs(choices: Iterable[Choice]) -> set[Pair]:
    return {pair for choice in choices for pair in pairs_of(choice)}


def covering(
    factors: Mapping[str, Sequence[object]], cost: Callable[[Choice], float] = lambda _: 1
) -> list[Choice]:
    """Choices in which every pair of values occurs. Always the same for the same factors.

    Greedy: next comes the choice with the most new pairs for its cost; among equals the first of
    the whole product. The factors must be so few that the whole product can be looked at.
    """
    candidates = [(choice, pairs_of(choice), cost(choice)) for choice in all_choices(factors)]
    missing = all_pairs(choice for choice, _, _ in candidates)
    chosen: list[Choice] = []
    while missing:
        choice, pairs, _ = max(candidates, key=lambda entry: len(entry[1] & missing) / entry[2])
        chosen.append(choice)
        missing -= pairs
    # A later choice may have made an earlier one needless.
    for choice in list(chosen):
        others = [other for other in chosen if other is not choice]
        if all_pairs(others) >= pairs_of(choice):
            chosen = others
    return chosen
