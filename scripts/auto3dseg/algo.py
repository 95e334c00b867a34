"""The algorithm as AutoRunner handles it: generated for a fold, and trained in its own process."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from monai.apps.auto3dseg import BundleAlgo

from ..bundle_folder import bundle_folder, load_common
from ..cohort import datalist
from ..files import write_text
from ..outputs import Output
from .bundle import check_numbers, write_bundle
from .fitting import LARGE_MEMORY, device_memory, fit, for_memory
from .flat_names import CHAIN_STAGES, config_of, staged
from .generated import CONFIG
from .source import find_label_table, fold_cases, modality_of, overlap, read_auto3dseg, read_datalist

MIRRORS = {  # what mirrors views left-right unless organs are paired, by stage
    "coarse": ("train#augmentation#flip_axes", "train#weak#flip_axes"),
    "pretrain": ("train#views#flip_axes",),
    "train": ("train#views#flip_axes",),
    "inference": ("inferer#test_time_augmentation#flip_axes",),
}


def template_path() -> str:
    """The folder that Auto3DSeg copies for each fold, to pass along with the class:

    ``AutoRunner(..., algos={"semcl": {"_target_": "semcl.auto3dseg.SemclAlgo", "template_path": template_path()}})``
    """
    return str(Path(__file__).resolve().parent / "template")


class SemclAlgo(BundleAlgo):
    """SemCL's stages as one algorithm of Auto3DSeg, under any name without an underscore.

    AutoRunner's input gives numbers of the stages under the algorithm's name, by stage or under ``common``:
    ``{"modality": "ct", ..., "semcl": {"common": {"patch_size": 128}, "train": {"max_epochs": 100}}}``.

    Args:
        template_path: the result of the function of that name, or a copy of that folder.
    """

    def pre_check_skip_algo(self, skip_bundlegen: bool = False, skip_info: str = "") -> tuple[bool, str]:
        """Skip data SemCL cannot learn from: overlapping classes."""
        if overlap(read_auto3dseg(self.data_list_file)):
            return True, "SemCL cannot segment classes that overlap (sigmoid, or a label in several of class_names)."
        return skip_bundlegen, skip_info

    def export_to_disk(self, output_path: str, algo_name: str, **kwargs: Any) -> None:
        """Copy the template into the algorithm's folder, and fill it in for a fold.

        Raises:
            SemclError: when that folder exists and is not an algorithm; errors of ``fill_template_config``.
        """
        self.output_path = str(Path(output_path) / algo_name)
        folder = Path(self.output_path)
        own = Output(folder, "an algorithm of Auto3DSeg", "work_dir")
        own.check()
        shutil.rmtree(folder, ignore_errors=True)
        own.claim()
        ignore = shutil.ignore_patterns("__pycache__")
        shutil.copytree(str(self.template_path), folder, ignore=ignore, dirs_exist_ok=True)
        self.fill_records = self.fill_template_config(self.data_stats_files, self.output_path, **kwargs)

    def fill_template_config(self, data_stats_filename: str, algo_path: str, **kwargs: Any) -> dict[str, Any]:
        """Write the fold's cohort, the bundle's configs and their numbers; return the numbers.

        Args:
            data_stats_filename: Auto3DSeg's datastats.yaml.
            algo_path: the copied folder.
            kwargs: ``fold``, the fold kept for validation; or ``fill_with_datastats`` False, as a hyperparameter search
                does: fold and numbers are then those filled in before. Other names are numbers as ``staged`` takes
                them, and those of other algorithms.

        Raises:
            SemclError: errors of ``modality_of``, ``fold_cases``, ``find_label_table`` and ``check_numbers``.
        """
        before = self.fill_records.get(CONFIG, {})
        source, stats = read_auto3dseg(self.data_list_file), read_auto3dseg(data_stats_filename)
        folder, fold = Path(algo_path), int(kwargs.get("fold", before.get("fold", 0)))
        cases = fold_cases(source, fold, folder.parent / f"{self.name}_derived")
        table = find_label_table(source, cases, stats)
        again = not kwargs.get("fill_with_datastats", True)
        numbers, _ = staged(kwargs, before if again else self._fitted(source, stats))
        check_numbers(numbers, CHAIN_STAGES)
        write_bundle(folder / "bundle")
        cohort = folder / "cohort"
        cohort.mkdir(exist_ok=True)
        table.save(cohort)
        datalist.save(cases, cohort)
        datalist.load(cohort, need_label=True)
        config = folder / "configs" / CONFIG
        server = {
            "mlflow_tracking_uri": self.mlflow_tracking_uri,
            "mlflow_experiment_name": self.mlflow_experiment_name,
        }
        filled = read_auto3dseg(config) | {"bundle_root": str(folder), "fold": fold} | server | numbers
        head = config.read_text(encoding="utf-8").partition("\n\n")[0]
        write_text(config, f"{head}\n\n{yaml.safe_dump(filled, sort_keys=False, default_flow_style=None)}")
        return {CONFIG: filled}

    def _fitted(self, source: Mapping[str, Any], stats: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
        """Numbers by stage: fitted to the data and the device's memory, then the input's own."""
        own = dict(source.get(self.name) or {})
        check_numbers(own, CHAIN_STAGES)
        shared, memory = load_common(bundle_folder()), device_memory()
        sized = for_memory(memory, shared, config_of(CHAIN_STAGES[0], own)[0])
        numbers = {
            group: dict(sized.get(group) or {}) | dict(own.get(group) or {}) for group in ("common", *CHAIN_STAGES)
        }
        fitted = fit(stats, modality_of(source), shared | numbers["common"], memory >= LARGE_MEMORY)
        numbers["common"] |= fitted | dict(own.get("common") or {})
        if not ("label_table" in source or "class_names" in source or read_datalist(source).get("labels")):
            # unnamed organs may be left-right partners
            slices = config_of("coarse", numbers)[0] == "segment"  # the 3-D network never mirrors
            for stage, keys in MIRRORS.items():
                numbers[stage] |= {
                    key: [] for key in keys if (stage != "coarse" or slices) and key not in numbers[stage]
                }
        return numbers

    def train(
        self, train_params: dict[str, Any] | None = None, device_setting: dict[str, Any] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run the chain in a process of its own, with this process's Python; on several devices by torchrun.

        Args:
            train_params: numbers by the names of ``staged``, as {"num_epochs": 100}; those of other algorithms are
                ignored.
            device_setting: as AutoRunner.set_device_info returns it.
        """
        given = self.device_setting | (device_setting or {})
        prefix = given.get("CMD_PREFIX") or sys.executable
        before = os.environ.get("PATH", "")
        os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{before}"  # where torchrun is
        try:
            done: subprocess.CompletedProcess[str] = super().train(train_params, given | {"CMD_PREFIX": prefix})
        finally:
            os.environ["PATH"] = before
        return done
