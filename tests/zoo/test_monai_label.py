"""The release under MONAI Label: a stand-in for its BundleInferTask, without the server."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.bundle import ConfigItem, ConfigParser
from monai.transforms import Compose, SaveImaged


def forget_scripts() -> None:
    """As MONAI Label does before each component of a bundle: another bundle's ``scripts`` may hide this one's."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "scripts"]:
        del sys.modules[name]


@pytest.fixture(autouse=True)
def scripts_of_this_repository() -> Iterator[None]:
    """Restore the modules that later tests use."""
    before, path = (
        {name: module for name, module in sys.modules.items() if name.partition(".")[0] == "scripts"},
        [*sys.path],
    )
    yield
    forget_scripts()
    sys.modules.update(before)
    sys.path[:] = path


class LabelTask:
    """What MONAI Label's BundleInferTask and BasicInferTask do with a bundle's folder, in their order."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        configs = [name for name in ("inference.json", "inference.yaml") if (folder / "configs" / name).is_file()]
        sys.path.insert(0, str(folder))
        forget_scripts()
        self.parser = ConfigParser()
        self.parser.read_config(str(folder / "configs" / configs[0]))
        self.parser.config.update({"bundle_root": str(folder)})
        self.network = self.parser.get_parsed_content("network_def", instantiate=True)
        form = json.loads((folder / "configs" / "metadata.json").read_text())["network_data_format"]
        (self.image, given), *_ = form["inputs"].items()
        (self.pred, made), *_ = form["outputs"].items()
        self.labels = {
            name.lower(): int(key) for key, name in made["channel_def"].items() if name.lower() != "background"
        }
        self.dimension = len(given["spatial_shape"])
        self.network.load_state_dict(torch.load(folder / "models" / "model.pt", weights_only=True))
        self.network.eval()
        sys.path.remove(str(folder))

    def part(self, name: str, device: str) -> Any:
        """A component of the config, on the device of the request."""
        sys.path.insert(0, str(self.folder))
        forget_scripts()
        self.parser.config.update({"device": device})
        if self.parser.ref_resolver.items.get("device"):
            self.parser.ref_resolver.items["device"] = ConfigItem(config=device, id="device")
        content = self.parser.get_parsed_content(name, instantiate=True)
        sys.path.remove(str(self.folder))
        return content

    def transforms(self, name: str, device: str) -> list[Any]:
        content = self.part(name, device)
        assert isinstance(content, Compose)
        return [each for each in content.transforms if not isinstance(each, SaveImaged)]

    def __call__(self, request: dict[str, Any]) -> dict[str, Any]:
        device = request["device"]
        data = {**request, "image_path": request["image"]}
        for transform in self.transforms("preprocessing", device):
            data = transform(data)
        inferer = self.part("inferer", device)
        with torch.no_grad():
            data[self.pred] = inferer(data[self.image][None].to(torch.device(device)), self.network.to(device))[0]
        for transform in self.transforms("postprocessing", device):
            data = transform(data)
        return self.restored(data)

    def restored(self, data: dict[str, Any]) -> dict[str, Any]:
        """Its last step, which would resize, and the geometry its writer takes."""
        meta = data[self.image].meta
        assert list(data[self.pred].shape[1:]) == list(meta["spatial_shape"][-3:])
        return {**data, self.pred: data[self.pred][0], "affine": np.asarray(meta["original_affine"])}


@pytest.fixture(scope="module")
def scans(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The test cases' scans, away from their cohort."""
    folder = tmp_path_factory.mktemp("studies")
    cases = sorted(path.name for path in (trained / "predictions").glob("*.nii.gz"))
    return [Path(shutil.copy(trained / "images" / name, folder)) for name in cases]


def test_a_request_gives_the_label_map_inference_writes(bundle, scans, trained, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # the server runs anywhere
    task = LabelTask(bundle)
    for scan in scans[:2]:  # the second meets what the first has left
        given = {"image": str(scan), "device": "cpu", "model": bundle.name, "result_extension": ".nii.gz"}
        answer = task(given)
        written = nib.load(trained / "predictions" / scan.name)
        assert isinstance(answer["pred"], np.ndarray)
        assert answer["model"] == bundle.name
        expected = np.asarray(written.dataobj)
        assert expected.any()
        assert answer["pred"].shape == expected.shape
        assert np.array_equal(answer["pred"], expected)
        assert np.allclose(answer["affine"], written.affine, atol=1e-4)
        assert set(np.unique(answer["pred"]).tolist()) <= {0, *task.labels.values()}
    assert task.labels["left kidney"] == 3
    assert task.dimension == 3
    assert list(tmp_path.glob("*/predictions")) == []


def test_a_scan_that_cannot_be_read_is_an_error(bundle, tmp_path):
    (tmp_path / "broken.nii.gz").write_bytes(b"no volume")
    with pytest.raises(Exception, match="case broken: a volume cannot be read"):
        LabelTask(bundle)({"image": str(tmp_path / "broken.nii.gz"), "device": "cpu"})
