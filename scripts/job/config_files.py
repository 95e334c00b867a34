"""The config files that MONAI's ``run`` was given: a stage's own first, then what changes it."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

from monai.bundle import ConfigParser, run
from monai.utils import ensure_tuple

from ..errors import SemclError


def given_files() -> list[str]:
    """Return the config files of the run that is going on, in their order; none where it was begun in another way.

    MONAI gives its expressions no way to them, so they are looked up among the callers.
    """
    frame = inspect.currentframe()
    while frame is not None and frame.f_code is not run.__code__:
        frame = frame.f_back
    if frame is None:
        return []
    given, args = frame.f_locals["config_file"], frame.f_locals["args_file"]
    if given is None and args is not None:
        given = ConfigParser.load_config_file(args).get("config_file") if isinstance(args, str) else args["config_file"]
    return [str(file) for file in ensure_tuple(given)]


def out_of_order(files: Sequence[str]) -> Iterator[SemclError]:
    """Yield the error of a stage's config after another file, whose numbers it would undo, and of one's ``stage``."""
    for before, file in pairwise(files):
        content: Any = ConfigParser.load_config_file(file)
        if "stage" in content and "run" not in content:
            yield SemclError(
                "an overlay may not name the stage",
                found=f"stage: {content['stage']} in {file}",
                expected=f"stages: [{content['stage']}], the list of those that it is for, or nothing",
                remedy=f"change {file}",
            )
        elif {"stage", "imports"} <= set(content):  # validate.yaml, an overlay, has a `run` but no `imports`
            yield SemclError(
                "a stage's config comes after another config file, and would undo it",
                found=f"{file} after {before}",
                expected="one stage's config, then the files that change it",
                remedy=f"write --config_file \"['{file}', ...]\", and run other stages by themselves",
            )
