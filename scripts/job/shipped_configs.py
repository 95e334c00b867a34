"""The configs of a bundle as they ship, against which that of a run is checked."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from monai.bundle import ConfigParser

from ..bundle_folder import configs
from ..errors import SemclError


class Shipped(NamedTuple):
    """A stage's config as it ships, the keys of all configs, and the content of common.yaml."""

    own: dict[str, Any]
    others: dict[str, Any]
    common: dict[str, Any]


def shipped(bundle_root: Path, stage: str) -> Shipped:
    """Return the configs of a bundle against which a stage's is checked; SemclError where there is no such stage."""
    written = {name: _content(path, path.stat().st_mtime_ns) for name, path in configs(bundle_root).items()}
    stages = {name: content for name, content in written.items() if "run" in content}  # not overlays
    if stage not in stages:
        raise SemclError(
            "there is no such stage",
            found=f"stage: {stage}",
            expected=f"one of {', '.join(stages)}, as its own config has it",
            remedy="leave `stage` out of overlays; the stages that one is for are listed as `stages: [...]`",
        )
    others = {key: value for one in stages.values() for key, value in one.items()} | written["common"]
    return Shipped(stages[stage], others, written["common"])


@lru_cache(maxsize=100)
def _content(path: Path, changed: int) -> dict[str, Any]:
    """Content of a config file, read once as long as it does not change."""
    content: dict[str, Any] = ConfigParser.load_config_file(path)
    return content
