"""What a release for the Model Zoo takes from this repository: part of the package, and the configs as JSON."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping
from itertools import takewhile
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parent.parent
ROOMS = ("cohort", "job", "queries", "networks", "coarse", "contrast", "refine")  # of scripts/: what its stages run
CONFIGS = {  # what it holds, by the names MONAI looks for -> its name here
    **{name: name for name in ("common", "coarse", "maps", "store", "pretrain", "train", "inference")},
    **{name: name for name in ("faithful", "inference_trt", "multi_gpu_train", "natural", "standard", "tensorboard")},
    "evaluate": "validate",
}
NUMBER = re.compile(r"^(\w+): (.*?) +# (.*)$")  # a line of a config with its comment


def copy_scripts(folder: Path) -> None:
    """Copy the part of the package that the release's stages run."""
    folder.mkdir()
    for path in sorted((ROOT / "scripts").iterdir()):
        if path.name in ROOMS:
            shutil.copytree(path, folder / path.name, ignore=shutil.ignore_patterns("__pycache__"))
        elif path.suffix == ".py" and path.name != "__main__.py":
            shutil.copy(path, folder)


def write_configs(folder: Path, numbers: Mapping[str, Any]) -> None:
    """Write the configs as JSON, which all of MONAI's callers read, with numbers of common.yaml replaced."""
    folder.mkdir()
    shutil.copy(ROOT / "bundle" / "configs" / "logging.conf", folder)
    for name, own in CONFIGS.items():
        content = yaml.safe_load((ROOT / "bundle" / "configs" / f"{own}.yaml").read_text())
        if name == "common":
            others = [key for key in numbers if key not in content]
            if others:
                print(f"not in common.yaml, left out: {', '.join(others)}")
            content |= {key: value for key, value in numbers.items() if key in content}
        if "stage" in content:
            content["stage"] = name
        (folder / f"{name}.json").write_text(json.dumps(content, indent=4) + "\n")


def explanations() -> str:
    """The comments of the configs, which JSON cannot hold, as tables."""
    text = "# The numbers of the configs\n\nThe defaults are those of the repository.\n"
    for name, own in CONFIGS.items():
        lines = (ROOT / "bundle" / "configs" / f"{own}.yaml").read_text().splitlines()
        rows = [found.groups() for found in map(NUMBER.match, lines) if found]
        intro = " ".join(line.lstrip("# ") for line in takewhile(lambda line: line.startswith("#"), lines))
        table = "".join(f"| `{key}` | `{value.strip()}` | {comment} |\n" for key, value, comment in rows)
        text += f"\n## {name}.json\n\n{intro}\n" + (f"\n| key | default | |\n|---|---|---|\n{table}" if rows else "")
    return text


def set_shapes(metadata: dict[str, Any], numbers: Mapping[str, Any]) -> None:
    """Set the patch shapes and image channels of the networks in the metadata."""
    shape = [numbers["patch_size"]] * numbers["spatial_dims"]
    more = numbers["image_channels"] - 1
    for form in (metadata["query_data_format"], metadata["pretrain_data_format"]):
        for tensor in (*form["inputs"].values(), *form["outputs"].values()):
            tensor["spatial_shape"] = shape if tensor["spatial_shape"] else []
    for name in ("network", "query", "pretrain"):
        image = metadata[f"{name}_data_format"]["inputs"]["image"]
        image["num_channels"] += more
        named = [*(f"image {number}" for number in range(more)), *image["channel_def"].values()]
        image["channel_def"] = {str(number): name for number, name in enumerate(named)}
