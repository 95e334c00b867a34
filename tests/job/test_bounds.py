"""Bounds that repeat what other rooms define: the checker of configs, below them, cannot import them."""

from scripts.contrast.positives import MEANINGS
from scripts.job.bounds import BOUNDS, OneOf
from scripts.networks.pooling import POOLINGS


def test_options_are_those_of_the_modules_that_have_them():
    assert BOUNDS["meaning"] == OneOf(MEANINGS)
    assert BOUNDS["pooling"] == OneOf(POOLINGS)
