"""A cohort made of the scans and label maps of a datastore, as MONAI Label hands them to training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from monai.bundle import ConfigParser

from .. import ranks
from ..bundle_folder import stage_weights
from ..coarse.config import VOLUMES
from ..coarse.maps import predict
from ..cohort import datalist
from ..cohort.attention import attention_path
from ..cohort.case import UNKNOWN_PHASE, Case, input_files
from ..cohort.label_table import LabelTable
from ..cohort.volume_files import case_id
from ..errors import SemclError
from ..freshness import newer
from ..job.config_check import running_parser
from ..job.weights import load_weights
from ..networks.device import on_device
from ..outputs import Output

DATASTORE_FOLDER = "datastore"  # of the bundle
LEARNT_FOLD, KEPT_FOLD = 0, 1  # folds
Given = Sequence[Mapping[str, Any]]


def adopt_datastore() -> None:
    """Make a cohort of the files that a program gives as ``train#dataset#data``, and train on it; else do nothing.

    MONAI Label overrides that key, and ``validate#dataset#data``, with entries {image, label} of its datastore. They
    become ``bundle_root``/datastore, with attention maps by the bundle's coarse network, as at inference. Training
    goes on from the bundle's model and writes its successor to the same place. A datastore knows no phases: all scans
    count as of the label table's first.

    Raises:
        SemclError: when the bundle has no models, a label map is missing, or a scan cannot be read.
    """
    parser = running_parser()
    config: Any = {} if parser is None else parser.config
    given, held_out = (_entries(config, part) for part in ("train", "validate"))
    if parser is None or given is None:
        return
    root = Path(parser.get_parsed_content("bundle_root"))
    folder, models = root / DATASTORE_FOLDER, root / "models"
    table = LabelTable.load(models)
    phase = UNKNOWN_PHASE if UNKNOWN_PHASE in table.phases else table.phases[0]
    cases = [_case(entry, LEARNT_FOLD, phase) for entry in given]
    validated = [_case(entry, KEPT_FOLD, phase) for entry in held_out or ()]
    ranks.first_alone(lambda: _write(folder, [*cases, *validated], table))
    epochs = parser.get_parsed_content("train#trainer#max_epochs")  # the only length that is given
    changes = {
        **{"dataset_dir": str(folder), "output_dir": str(folder), "ckpt_dir": str(models)},
        "train#dataset#data": datalist.datalist_entries(cases),
        **{"without_fold": KEPT_FOLD if validated else None, "model_name": "model.pt", "finetune": True},
        "validate#dataset#data": datalist.datalist_entries(validated or cases),
        **{"max_epochs": epochs, "val_interval": min(parser.get_parsed_content("val_interval"), epochs)},
    }
    parser.update(changes)
    parser.parse(reset=True)
    ranks.first_alone(lambda: _attend(cases + validated, parser, models, folder / "attention", table))


def _entries(config: Mapping[str, Any], part: str) -> Given | None:
    """The entries a program gives in place of a part's; None where they are the cohort's own, which name their case."""
    data = config.get(part, {}).get("dataset", {}).get("data")
    entries = cast(Given, data) if isinstance(data, list) else None
    return None if entries is None or any("case" in entry for entry in entries) else entries


def _case(entry: Mapping[str, Any], fold: int, phase: str) -> Case:
    image, label = Path(entry["image"]), entry.get("label")
    name = case_id(image) or image.name
    if not label:
        raise SemclError(
            "a scan of the datastore without a label map",
            case=name,
            found=f"only {image}",
            expected="image and label in each entry",
            remedy="submit its label map, or leave it out",
        )
    return Case(name, name, phase, image.absolute(), Path(label).absolute(), fold)


def _write(folder: Path, cases: Sequence[Case], table: LabelTable) -> None:
    Output(folder, "the cohort of a datastore", "bundle_root").claim()
    datalist.save(cases, folder)
    table.save(folder)
    datalist.load(folder, need_label=True)  # or an error


def _attend(cases: Sequence[Case], parser: ConfigParser, models: Path, folder: Path, table: LabelTable) -> None:
    """Write the attention maps that are missing or older than their scan or the coarse network."""
    weights = Path(stage_weights(str(models), "coarse.pt"))
    missing = [case for case in cases if not newer(attention_path(folder, case.id), [case.image, weights])]
    if not missing:
        return
    shared, device = (parser.get_parsed_content(key) for key in ("shared", "device"))
    coarse = shared.coarse_network if shared.coarse_dims == VOLUMES else shared.segmenter
    network = on_device(coarse, device, shared.channels_last, precision=shared.precision)
    load_weights(weights, network, "coarse.yaml")
    Output(folder, "attention maps", "--attention_dir").claim(input_files(cases))
    predict(missing, network, shared.coarse_inferer, table, str(folder), device, _stop)


def _stop(case: str, why: object) -> None:
    if isinstance(why, Exception):
        raise why
