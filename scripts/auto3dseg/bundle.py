"""The bundle's configs, written for a package imported as `semcl`."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..bundle_folder import bundle_folder
from ..errors import SemclError, one_of, raise_all
from ..job import config_check
from ..job.overlays import merged
from ..job.shipped_configs import shipped
from .flat_names import config_of

PACKAGE = __name__.partition(".")[0]


def write_bundle(folder: Path) -> None:
    """Copy the bundle's configs into ``folder``/configs, with this package's import name.

    ``python -m monai.bundle run`` runs them from any working directory, with ``folder`` as ``--bundle_root``.
    """
    configs = bundle_folder() / "configs"
    shutil.rmtree(folder / "configs", ignore_errors=True)
    shutil.copytree(configs, folder / "configs")
    for path in (folder / "configs").glob("*.yaml"):
        path.write_text(re.sub(r"\bscripts(?=[.\"])", PACKAGE, path.read_text(encoding="utf-8")), encoding="utf-8")


def check_numbers(numbers: Mapping[str, Mapping[str, Any]], stages: tuple[str, ...]) -> None:
    """Check numbers of the stages as a run would, before any is started.

    Args:
        numbers: by stage, and under "common" for all stages; keys of the configs, such as "train#views#rotation".
        stages: names of the stages.

    Raises:
        SemclError: for stages, keys and kinds of values that no config has, and for maps of other tools.
    """
    for stage, given in numbers.items():
        one_of("stage", stage, ("common", *stages))
        tools = [key for key in given if key.startswith("tool_") or key == "coarse_command"]
        if tools:
            raise SemclError(
                "Auto3DSeg gives an algorithm no maps of another tool",
                found=f"{stage}: {', '.join(tools)}",
                expected="a coarse network for all organs",
                remedy="leave it out, or run `semcl run` with these maps without Auto3DSeg",
            )
    errors: dict[str, SemclError] = {}
    for stage in stages:
        config, needed = config_of(stage, numbers)
        ships = shipped(bundle_folder(), config)
        path = bundle_folder() / "configs" / f"{config}.yaml"
        found = merged([str(path)], {**numbers.get("common", {}), **numbers.get(stage, {}), **needed})
        given = {key: value for key, value in found.items() if not key.startswith("_")}
        errors |= {str(error): error for error in config_check.check_config(given, ships.own, ships.others)}
    raise_all(list(errors.values()), of="the numbers given to Auto3DSeg")
