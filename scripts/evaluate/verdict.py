"""What an interval of a difference says, with a region in which two methods are practically equivalent."""

from __future__ import annotations

EQUIVALENCE = 0.01  # half the region's width, in Dice


def verdict(
    low: float, high: float, *, significant: bool = True, equivalence: float = EQUIVALENCE, sign: int = 1
) -> str:
    """Say whether a difference is better, worse, equivalent or undecided, by its 95 % interval.

    Args:
        low: lower end of the interval.
        high: upper end.
        significant: whether the difference from 0 also stands after correction for the number of tests.
        equivalence: the largest difference that means nothing in practice; 0 for none.
        sign: 1 if larger values are better, -1 if smaller ones are.
    """
    if low == high == 0:
        return "no difference"
    if equivalence and -equivalence <= low and high <= equivalence:
        return f"equivalent (within {equivalence:g})"
    between = f"(between {low:+.3f} and {high:+.3f})"
    if low <= 0 <= high:
        return f"undecided {between}"
    if not significant:
        return f"undecided after correction {between}"
    word = "better" if (low > 0) == (sign > 0) else "worse"
    return word if min(abs(low), abs(high)) > equivalence else f"{word}, perhaps by less than {equivalence:g}"
