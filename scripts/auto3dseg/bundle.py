"""The bundle's configs, written out for a package that is imported as `semcl`."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from monai.bundle import ConfigParser

from ..bundle_folder import bundle_folder
from ..errors import SemclError, raise_all
from ..job.config_check import check

PACKAGE = __name__.partition(".")[0]


def write_bundle(folder: Path) -> None:
    """Copy the bundle's configs into ``folder``/configs, naming this package as it is imported here.

    ``python -m monai.bundle run`` takes them from any working directory, with ``--bundle_root`` as ``folder``.
    """
    configs = bundle_folder() / "configs"
    shutil.rmtree(folder / "configs", ignore_errors=True)
    shutil.copytree(configs, folder / "configs")
    for path in (folder / "configs").glob("*.yaml"):
        path.write_text(re.sub(r"\bscripts(?=[.\"])", PACKAGE, path.read_text(encoding="utf-8")), encoding="utf-8")


def check_numbers(numbers: Mapping[str, Mapping[str, Any]], stages: tuple[str, ...]) -> None:
    """Check numbers of the stages as a run would, before there is one.

    Args:
        numbers: by stage, and under "common" for all; keys as of the configs, "train#views#rotation" too.
        stages: the stages there are.

    Raises:
        SemclError: for groups, keys and kinds of values that no config has.
    """
    strange = set(numbers) - {"common", *stages}
    if strange:
        raise SemclError(
            "numbers of a stage that is not there",
            found=", ".join(sorted(strange)),
            expected=f"common, {', '.join(stages)}",
            remedy="name the stage, as in {train: {max_epochs: 100}}",
        )
    written = _configs(bundle_folder())
    others = {key: value for one in written.values() if "run" in one for key, value in one.items()} | written["common"]
    errors: dict[str, SemclError] = {}
    for stage in stages:
        parser = ConfigParser(deepcopy(written[stage]))
        parser.update({**numbers.get("common", {}), **numbers.get(stage, {})})
        merged: Any = parser.config
        asked = {key: value for key, value in merged.items() if not key.startswith("_")}
        errors |= {str(error): error for error in check(asked, written[stage], others)}
    raise_all(list(errors.values()), of="the numbers given to Auto3DSeg")


@cache
def _configs(folder: Path) -> dict[str, dict[str, Any]]:
    """The content of a bundle's YAML configs, by name."""
    paths = (folder / "configs").glob("*.yaml")
    return {path.stem: yaml.safe_load(path.read_text(encoding="utf-8")) for path in paths}
