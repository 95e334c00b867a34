"""``make bundle``: the bundle as the Model Zoo requires it, in one folder and as a zip."""

from __future__ import annotations

import hashlib
import json
import shutil
import zipfile
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import fire
import yaml
from monai.bundle import ConfigParser

from scripts.bundle_folder import STAGES_FOLDER, stage_weights
from scripts.cohort.case import Case
from scripts.cohort.datalist import load as load_cases
from scripts.cohort.datalist import stated_modality
from scripts.cohort.label_table import LabelTable
from scripts.errors import SemclError
from scripts.files import written_whole
from scripts.job.shared import Shared
from scripts.job.weights import load_weights
from scripts.phantom.phantom import plan
from scripts.plain import read_yaml
from tools.release_configs import copy_scripts, explanations, set_scans, set_shapes, write_configs

ROOT = Path(__file__).parent.parent
NAME = "semantic_contrastive_organ_segmentation"
MODELS = ("model.pt", "model.json", "model.calibration.json", "labels.yaml")  # in models/; the others in its stages/
NETWORKS = {  # weights -> the config that makes them, a config that loads them, and its id of the network
    "coarse.pt": ("coarse.yaml", "inference", "coarse_def"),
    "encoder.pt": ("pretrain.yaml", "train", "encoder"),
    "model.pt": ("train.yaml", "inference", "network_def"),
}
PHANTOM_WEIGHTS = "Trained on phantoms: shows that everything runs, of no use on patients. Not a medical device."
SMALL = 25 * 2**20  # bytes; larger files the zoo keeps elsewhere


def release(
    out: str = "dist",
    cohort: str | None = None,
    overlay: str | None = None,
    data_license: str | None = None,
    url: str | None = None,
) -> None:
    """Write ``out``/<name>/ and ``out``/<name>_v<version>.zip.

    Args:
        out: folder.
        cohort: whose models are included; none unless given.
        overlay: YAML with numbers of common.yaml that the models were trained with.
        data_license: text on the cohort's scans, what they are in its first line; phantoms have one.
        url: where files of more than 25 MB will be downloaded from.

    Raises:
        SemclError: when models are missing or do not fit the configs, are of scans without a ``data_license``, or are
            large without a ``url``.
    """
    check_place(Path(out) / NAME)
    Path(out).mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=out, prefix=".release-") as aside:  # the earlier one stays until then
        archive, large = build(Path(aside) / NAME, cohort, overlay, data_license, url)
        with written_whole(Path(out) / archive) as path:
            pack(Path(aside) / NAME, large, path)
        if (Path(out) / NAME).exists():
            (Path(out) / NAME).replace(Path(aside) / "before")
        (Path(aside) / NAME).replace(Path(out) / NAME)
    print(f"{Path(out) / NAME} and {Path(out) / archive}, {'with models of ' + cohort if cohort else 'without models'}")


def check_place(bundle: Path) -> None:
    """Refuse to replace a folder that is not a release.

    Raises:
        SemclError: when it is another, or a repository.
    """
    try:
        named = json.loads((bundle / "configs" / "metadata.json").read_text())["name"]
        ours = named == json.loads((ROOT / "bundle" / "configs" / "metadata.json").read_text())["name"]
    except (OSError, ValueError, KeyError, TypeError):
        ours = False
    if bundle.exists() and (not ours or (bundle / ".git").exists()):
        raise SemclError(
            "a folder with the release's name exists and is not a release",
            found=str(bundle),
            expected="no such folder, or an earlier release",
            remedy="move it away, or give another --out",
        )


def build(
    bundle: Path, cohort: str | None, overlay: str | None, data_license: str | None, url: str | None
) -> tuple[str, list[Path]]:
    """Write the bundle; the name of its archive, and the files that are left out of it."""
    shutil.copytree(ROOT / "bundle" / "docs", bundle / "docs")
    shutil.copy(ROOT / "LICENSE", bundle)
    copy_scripts(bundle / "scripts")
    numbers = read_yaml(Path(overlay), "keys and numbers, as in an overlay") or {} if overlay else {}
    if not isinstance(numbers, dict):
        raise SemclError(
            "an overlay is no section of keys", found=str(overlay), expected="key: value", remedy="correct it"
        )
    configs = bundle / "configs"
    write_configs(configs, numbers)
    (bundle / "docs" / "configs.md").write_text(explanations())
    metadata = json.loads((ROOT / "bundle" / "configs" / "metadata.json").read_text())
    common = json.loads((configs / "common.json").read_text())
    set_shapes(metadata, common)
    large: list[Path] = []
    if cohort is not None:
        copy_models(Path(cohort) / "models", bundle)
        license_data(load_cases(cohort), data_license, bundle / "docs" / "data_license.txt")
        if data_license is None:
            metadata["intended_use"] = PHANTOM_WEIGHTS
        describe_models(metadata, Path(cohort), bundle)
        set_scans(metadata, stated_modality(cohort) or "CT", common["window"])
        large = note_large_files(bundle, url)
    (configs / "metadata.json").write_text(json.dumps(metadata, indent=4) + "\n")
    return f"{NAME}_v{metadata['version']}.zip", large


def pack(bundle: Path, large: Sequence[Path], archive: Path) -> None:
    """Zip the bundle but for large files."""
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        for path in sorted(path for path in bundle.rglob("*") if path.is_file() and path not in large):
            file.write(path, path.relative_to(bundle.parent))


def copy_models(models: Path, bundle: Path) -> None:
    """Copy the models that inference and fine-tuning need, and check that they fit the configs' networks."""
    missing = [name for name in (*NETWORKS, "labels.yaml") if not (models / name).is_file()]
    if missing:
        raise SemclError(
            "the cohort has no models",
            found=f"no {', '.join(missing)} in {models}",
            expected="those of a finished run",
            remedy="run coarse.yaml, pretrain.yaml and train.yaml on the cohort first",
        )
    (bundle / "models" / STAGES_FOLDER).mkdir(parents=True)
    for path in sorted(models.glob("*")):
        if path.name.split(".")[0] in ("coarse", "encoder", "model", "labels"):
            shutil.copy(path, bundle / "models" / ("" if path.name in MODELS else STAGES_FOLDER))
    for name, (made_by, config, key) in NETWORKS.items():
        parser = ConfigParser()
        parser.read_config(str(bundle / "configs" / f"{config}.json"))
        parser.update({"bundle_root": str(bundle), "ckpt_dir": str(bundle / "models"), "settings_of": []})
        parser.update({"settings_perhaps": []})  # the numbers of the release count, not those that its models note
        weights = stage_weights(str(bundle / "models"), name)
        check_settings(parser.get_parsed_content("shared"), weights)
        load_weights(Path(weights), parser.get_parsed_content(key), made_by)


def check_settings(shared: Shared, weights: str) -> None:
    """Refuse models that were made with other settings than the release has, unless it says ``settings: given``."""
    error = shared.contradiction(weights)
    if error is not None and shared.settings != "given":
        raise SemclError(
            error.problem,
            found=error.found,
            expected=error.expected,
            remedy="name a file with the numbers of the training as OVERLAY; for models of earlier versions, which "
            "note none, also with `settings: given` (docs/zoo.md)",
        )


def license_data(cases: Sequence[Case], given: str | None, path: Path) -> None:
    """Copy the text on the training scans to its place; the one on phantoms is there already."""
    if given is not None:
        shutil.copy(given, path)
    elif {case.id for case in cases} != {case.id for case in plan(Path(), len(cases))}:
        raise SemclError(
            "models of scans without a data license",
            found=f"no data_license, and {cases[0].id} is not a phantom",
            expected="a text on what the scans are, whose, and under what terms models of them may be passed on",
            remedy="write it and give --data_license",
        )


def describe_models(metadata: dict[str, Any], cohort: Path, bundle: Path) -> None:
    """Record in the metadata what the models were trained on, their organs and, if evaluated, their metrics."""
    table = LabelTable.load(bundle / "models")
    organs = {str(organ.index): organ.name.replace("_", " ") for organ in table.organs}
    wide = max(organ.index for organ in table.organs) > 255
    for outputs in ("outputs", "post_processed_outputs"):
        pred = metadata["network_data_format"][outputs]["pred"]
        pred["channel_def"] = {"0": "background", **organs}
        if wide:
            pred |= {"dtype": "uint16", "value_range": [0, 65535]}
    metadata["data_source"] = (bundle / "docs" / "data_license.txt").read_text().splitlines()[0]
    summary, model = cohort / "summary.json", cohort / "models" / "model.pt"
    if summary.is_file() and summary.stat().st_mtime > model.stat().st_mtime:  # else they are of other weights
        means = json.loads(summary.read_text())["means"]
        metadata["eval_metrics"] = {
            f"mean_{line['metric']}": round(line["mean"], 3)
            for line in means
            if line["method"] == "refined" and line["organ"] == "all organs"
        }


def note_large_files(bundle: Path, url: str | None) -> list[Path]:
    """The files the zip leaves out, written into large_files.yml with where they are downloaded from."""
    large = [path for path in sorted((bundle / "models").rglob("*.*")) if path.stat().st_size > SMALL]
    if large and not url:
        raise SemclError(
            "models too large for the zoo",
            found=", ".join(f"{path.name} of {path.stat().st_size / 2**20:.0f} MiB" for path in large),
            expected=f"files up to {SMALL // 2**20} MiB, or the address of a folder that holds them",
            remedy="upload them and give --url",
        )
    files = [
        {
            "path": path.relative_to(bundle).as_posix(),
            "url": f"{str(url).rstrip('/')}/{path.name}",
            "hash_val": hashlib.sha256(path.read_bytes()).hexdigest(),
            "hash_type": "sha256",
        }
        for path in large
    ]
    if files:
        (bundle / "large_files.yml").write_text(yaml.safe_dump({"large_files": files}, sort_keys=False))
    return large


if __name__ == "__main__":
    try:
        fire.Fire(release)
    except SemclError as error:
        raise SystemExit(f"error: {error}") from None
