"""A stage run in this process, with the overlay that belongs to the cohort."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..alias import provide_scripts
from ..errors import SemclError, raise_all
from ..files import write_text
from ..outputs import refuse_strange

if TYPE_CHECKING:
    from monai.bundle import ConfigParser

OVERLAY_FILE = "overlay.yaml"  # in the cohort's folder
PREVIOUS = "overlay.previous.yaml"
MARK = "# The overlay of this cohort, kept by `semcl run`; later commands use it unless given another.\n"


def overlay_of(dataset_dir: Path, given: str | None, root: Path) -> Path | None:
    """Return the overlay to use: the one given by name or path, else the cohort's own, if there is one.

    Raises:
        SemclError: when it is missing, or is the config of a stage.
    """
    from ..study.design import find_overlay

    kept = dataset_dir / OVERLAY_FILE
    if given is None and not kept.is_file():
        return None
    return find_overlay(str(kept) if given is None else given, root / "configs")


def keep_overlay(overlay: Path, dataset_dir: Path) -> Path:
    """Copy an overlay into the cohort; another one that was kept there before becomes overlay.previous.yaml.

    Raises:
        SemclError: when the cohort holds a file of that name that was not kept by this command.
    """
    kept = dataset_dir / OVERLAY_FILE
    text = overlay.read_text(encoding="utf-8")
    wanted = text if text.startswith(MARK) else MARK + text
    refuse_strange(kept, lambda found: found.startswith(MARK), "an overlay kept by run", "--dataset_dir")
    if kept.is_file() and kept.read_text(encoding="utf-8") != wanted:
        kept.replace(dataset_dir / PREVIOUS)
        print(f"{kept} is replaced; the overlay before is {PREVIOUS}")
    if not kept.is_file():
        write_text(kept, wanted)
    return kept


def keep_window(dataset_dir: Path) -> None:
    """Give a cohort of MR, whose intensities have no unit, an overlay by which each scan has its own window.

    An overlay that is there stays.
    """
    kept = dataset_dir / OVERLAY_FILE
    if not kept.exists():
        write_text(kept, MARK + "window: percentile\n")
        print(
            f"{kept}: window: percentile, since these are MR; an overlay of your own, which replaces it, needs a window"
        )


def stage_files(root: Path, stage: str, overlay: Path | None) -> list[str]:
    """Return the config files of a stage: its own, and the overlay unless that is for other stages alone.

    Of a variant of a stage they are the stage's, the overlay, and last what makes it the variant.

    Raises:
        SemclError: when the bundle has no such stage.
    """
    config = root / "configs" / f"{stage}.yaml"
    if not config.is_file():
        raise SemclError(
            "the bundle is missing", found=f"no {config}", expected="the bundle's folder", remedy="set --bundle_root"
        )
    from ..job.overlays import is_for
    from ..study.stage_keys import StageKeys
    from ..study.strategy import read_overlay

    keys_of = StageKeys(root)
    used = overlay is not None and is_for(read_overlay(overlay), keys_of.base(stage))
    own, *variant = keys_of.files(stage)
    return [own, *([str(overlay)] if used else []), *variant]


def check_configs(root: Path, stages: Mapping[str, Mapping[str, Any]], overlay: Path | None) -> None:
    """Check the configs of several stages before the first one starts.

    Args:
        root: the bundle's folder.
        stages: name -> what is overridden.
        overlay: for all of them.

    Raises:
        SemclError: with all errors of all stages.
    """
    from ..job import config_check, overlays
    from ..job.shipped_configs import shipped
    from ..study.stage_keys import StageKeys

    errors: dict[str, SemclError] = {}
    for stage, overrides in stages.items():
        files = stage_files(root, stage, overlay)
        ships = shipped(root, StageKeys(root).base(stage))
        merged = overlays.merged(files, overrides)
        errors |= {str(error): error for error in config_check.check_config(merged, ships.own, ships.others)}
    raise_all(list(errors.values()), of="the config")


def run_config(root: Path, stage: str, overlay: Path | None, overrides: Mapping[str, Any]) -> None:
    """Run a stage in this process; errors of the stage, as MONAI wraps them."""
    from monai.bundle import ConfigWorkflow

    provide_scripts()
    files = stage_files(root, stage, overlay)
    logging.getLogger("monai.bundle.workflows").setLevel(logging.ERROR)  # warns that an overlay lies elsewhere
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "parsing config_file")  # about configs of others; these are the bundle's
        workflow = ConfigWorkflow(files, logging_file=False, bundle_root=str(root), **overrides)
        workflow.initialize()
    workflow.run()
    workflow.finalize()


def run_overridden(
    stage: str, dataset_dir: str, bundle_root: str | None, overlay: str | None, overrides: Mapping[str, Any]
) -> None:
    """Run a stage with keys of its config as a shell or Python gives them.

    Args:
        stage: its name.
        dataset_dir: the cohort.
        bundle_root: folder of the bundle; None for that of this installation.
        overlay: by name or path; None for the cohort's own.
        overrides: values of any key.
    """
    run_config(*_given(stage, dataset_dir, bundle_root, overlay, overrides))


def components_of(
    stage: str, dataset_dir: str, bundle_root: str | None, overlay: str | None, overrides: Mapping[str, Any]
) -> ConfigParser:
    """A stage's config that is not run, but makes its components; arguments of ``run_overridden``.

    Raises:
        SemclError: for unknown keys, values of the wrong kind or out of bounds, as when it is run.
    """
    from monai.bundle import ConfigParser

    provide_scripts()
    root, _, used, given = _given(stage, dataset_dir, bundle_root, overlay, overrides)
    check_configs(root, {stage: given}, used)
    parser = ConfigParser(ConfigParser.load_config_files(stage_files(root, stage, used)))
    parser.update({"bundle_root": str(root), **given})
    parser.parse()
    parser.get_parsed_content("shared")  # from then on the config has what the stages share
    return parser


def _given(
    stage: str, dataset_dir: str, bundle_root: str | None, overlay: str | None, overrides: Mapping[str, Any]
) -> tuple[Path, str, Path | None, dict[str, Any]]:
    """The bundle's folder, the stage, the overlay's path, and overrides as the config has them."""
    from ..bundle_folder import bundle_folder
    from ..job.overlays import as_meant
    from ..study.strategy import read_overlay

    root = Path(bundle_root) if bundle_root else bundle_folder()
    own = read_overlay(Path(stage_files(root, stage, None)[0]))
    given = {key: as_meant(key, value, own) for key, value in overrides.items()}
    return root, stage, overlay_of(Path(dataset_dir), overlay, root), {"dataset_dir": dataset_dir, **given}
