"""The benchmark of what to label next: its table."""

from bench import label_next


def test_the_table_has_differences_to_random_in_the_same_draws():
    values = {"random": (0.5, 0.6), "doubt": (0.6, 0.8)}
    found = [{"cohort": "toys", "draw": str(draw), "k": "0", "method": "none", "dice": "0.4"} for draw in (1, 2)]
    for method, dices in values.items():
        for draw, dice in enumerate(dices, start=1):
            found += [
                {"cohort": "toys", "draw": str(draw), "k": str(k), "method": method, "dice": str(dice)}
                for k in label_next.BUDGETS
            ]
    text = label_next.as_markdown(found)
    assert text.startswith("toys: 2 draws, Dice before 0.400")
    assert "| random | 0.550 | 0.550 | 0.550 |" in text
    assert "| doubt | 0.700 (+0.150 ± 0.635) |" in text
