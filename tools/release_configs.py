"""What a release for the Model Zoo takes from this repository: part of the package, and the configs as JSON."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping, Sequence
from functools import cache
from itertools import takewhile
from pathlib import Path
from typing import Any

import yaml

import scripts
from tools.structure import arrows, modules

ROOT = Path(__file__).parent.parent
CONFIGS = {  # what it holds, by the names MONAI looks for -> its name here
    **{name: name for name in ("common", "coarse", "maps", "store", "pretrain", "train", "inference")},
    **{name: name for name in ("segment", "segment_inference")},
    **{name: name for name in ("faithful", "inference_trt", "multi_gpu_train", "natural", "standard", "tensorboard")},
    "evaluate": "validate",
}
BUNDLE_ROOT = (  # the folder of the config that is being run, which MONAI knows before it makes the package importable
    "$next((str(frame.frame.f_locals['self'].config_root_path.absolute().parent) for frame in inspect.stack(0) "
    "if 'config_root_path' in getattr(frame.frame.f_locals.get('self'), '__dict__', ())), None) "
    "or scripts.components.bundle_root()"
)
SHARED = "$sys.path.insert(1, @bundle_root) or pkgutil.resolve_name('scripts.components').shared(@bundle_root)"
INITIALIZE = "$@shared and scripts.components.ready()"
COMPONENT = re.compile(r"\bscripts\.(?:components\.)?(\w+)")
NUMBER = re.compile(r"^(\w+): (.*?) +# (.*)$")  # a line of a config with its comment


def copy_scripts(folder: Path) -> None:
    """Copy the modules of the package that the release's stages run."""
    for name in needed():
        path = Path("scripts", *name.split(".")).with_suffix(".py")
        (folder.parent / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / path, folder.parent / path)


@cache
def needed() -> frozenset[str]:
    """The modules that the release's configs name, and those that these import."""
    known = modules(ROOT)
    imports = arrows(known)
    texts = [INITIALIZE, *((ROOT / "bundle" / "configs" / f"{own}.yaml").read_text() for own in CONFIGS.values())]
    names = {name for text in texts for name in COMPONENT.findall(text)}
    made = [getattr(scripts.components, name, None) or getattr(scripts, name) for name in names - {"components"}]
    found, waiting = {"__init__", "components", "lazy"}, {one.__module__.partition(".")[2] for one in made}
    while waiting:
        name = waiting.pop()
        found.add(name)
        room = name.rpartition(".")[0]
        waiting |= (imports.get(name, set()) | ({f"{room}.__init__"} if room else set())) - found
    return frozenset(found)


def write_configs(folder: Path, numbers: Mapping[str, Any]) -> None:
    """Write the configs as JSON, which all of MONAI's callers read, with numbers of common.yaml replaced."""
    folder.mkdir()
    for name in ("logging.conf", "properties.json"):
        shutil.copy(ROOT / "bundle" / "configs" / name, folder)
    for name, own in CONFIGS.items():
        content = yaml.safe_load((ROOT / "bundle" / "configs" / f"{own}.yaml").read_text())
        if name == "common":
            others = [key for key in numbers if key not in content]
            if others:
                print(f"not in common.yaml, left out: {', '.join(others)}")
            content |= {key: value for key, value in numbers.items() if key in content}
        if "stage" in content:
            content["stage"] = name
        if "shared" in content:
            content |= importable(content["imports"])
        (folder / f"{name}.json").write_text(json.dumps(content, indent=4) + "\n")


def importable(imports: list[str]) -> dict[str, Any]:
    """What a stage's config has instead, so that ``initialize`` and ``monai.bundle.load`` work from any folder.

    MONAI adds the bundle to ``sys.path`` only when it runs the stage, and what it could not import until then it never
    imports: this repository's YAML, which is run from anywhere too, has nothing in ``initialize``.
    """
    modules = [f"$import {name}" for name in ("inspect", "pkgutil", "sys")]
    return {
        "imports": [*modules, *imports],
        **{"initialize": [INITIALIZE], "bundle_root": BUNDLE_ROOT, "shared": SHARED},
    }


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


def set_scans(metadata: dict[str, Any], modality: str, window: Sequence[float] | str) -> None:
    """Set what scans the models are of: their modality, and their units where these are not HU."""
    for name in ("network", "query", "pretrain"):
        metadata[f"{name}_data_format"]["inputs"]["image"]["modality"] = modality
    if modality != "CT" or isinstance(window, str):
        metadata["network_data_format"]["inputs"]["image"] |= {"format": "magnitude", "value_range": []}
