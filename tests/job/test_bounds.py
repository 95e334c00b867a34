"""Bounds that repeat options of other rooms, which the config check, below them, cannot import."""

from scripts.contrast.positives import MEANINGS
from scripts.evaluate.surfaces import NSD_COUNTS
from scripts.job.bounds import BOUNDS, OneOf
from scripts.networks.pooling import POOLINGS


def test_options_are_those_of_the_modules_that_have_them():
    assert BOUNDS["meaning"] == OneOf((*MEANINGS, "slice"))
    assert BOUNDS["nsd"] == OneOf(NSD_COUNTS)
    assert BOUNDS["pooling"] == OneOf(POOLINGS)
