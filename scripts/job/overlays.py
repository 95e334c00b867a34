"""What overlays and overrides make of a stage's config: merged as MONAI does, sections cut, paths that are not text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

import yaml
from monai.bundle import ConfigParser

from ..errors import SemclError
from ..plain import short

STAGES = "stages"  # in an overlay: a list of the stages it is for; in a strategy: their shares of a study's budget
ALMOST = 0.9  # similarity of a misspelt key
PATHS = {
    *("bundle_root", "dataset_dir", "output_dir", "ckpt_dir", "attention_dir", "store_dir", "prediction_dir"),
    *("pseudo_dir", "encoder_weights", "decoder_weights", "initial_weights", "tool_maps"),
}


def as_meant(key: str, value: Any, own: Mapping[str, Any]) -> Any:
    """Return a shell's value as the stage's config has it: text for text and paths, else what fire reads."""
    if not isinstance(value, str) or key in PATHS or _is_text(own.get(key)):
        return value
    from fire.parser import DefaultParseValue  # stages do without

    return DefaultParseValue(value)


def is_for(overlay: Mapping[str, Any], stage: str) -> bool:
    """Whether an overlay, or a config merged with it, is for a stage: for all that ``stages`` lists, else for any."""
    meant = overlay.get(STAGES)
    return not isinstance(meant, list) or stage in meant


def is_expression(value: Any) -> bool:
    """Whether MONAI evaluates a value: an expression, a reference or a macro."""
    return isinstance(value, str) and value[:1] in ("$", "@", "%")


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and not is_expression(value)


def merged(files: Sequence[str], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Return a stage's config merged with overlays and overrides, as MONAI does it.

    Raises:
        SemclError: when an overlay adds to a key that is missing, or is not a section or list.
    """
    try:
        parser = ConfigParser(ConfigParser.load_config_files(files))
        parser.update(dict(overrides))
    except (LookupError, ValueError, TypeError, AttributeError, OSError, yaml.YAMLError) as error:
        raise SemclError(
            "overlays that cannot be merged",
            found=f"{type(error).__name__} {short(str(error))} in {', '.join([*files[1:], *overrides])}",
            expected="keys of the stage's config, and + only before sections and lists",
            remedy="check keys with # or +",
        ) from error
    found: dict[str, Any] = parser.get()
    return found


def wrong_paths(config: Mapping[str, Any]) -> list[SemclError]:
    """Return the errors of paths that are not text: fire turns words that look like numbers or lists into them."""
    return [
        SemclError(
            f"--{key} is not a path",
            found=f"{config[key]!r}, made of what was written" if config[key] is not True else "no value",
            expected="text",
            remedy=f"quote it twice, as in --{key} \"'2024_01'\"" if config[key] is not True else f"write --{key} PATH",
        )
        for key in sorted(PATHS & set(config))
        if config[key] is not None and not isinstance(config[key], str)
    ]


def misspelt_paths(config: Mapping[str, Any]) -> list[SemclError]:
    """Return the errors of keys that are almost those of paths: without them a stage would look somewhere else."""
    near = {key: get_close_matches(key, PATHS, 1, ALMOST) for key in config if key not in PATHS}
    return [
        SemclError(
            f"unknown key --{key}",
            found="no stage has such a key",
            expected=f"--{meant[0]}, or another name",
            remedy=f"did you mean --{meant[0]}?",
        )
        for key, meant in near.items()
        if meant
    ]


def cut(value: Any, own: Any) -> bool:
    """Whether a section, or one within it, lacks keys of the stage's own, and is not another component."""
    if not isinstance(value, Mapping) or not isinstance(own, Mapping) or "_target_" in value:
        return False
    return not set(own) <= set(value) or any(cut(part, own.get(key)) for key, part in value.items())


def cut_error(path: str, value: Mapping[str, Any], own: Mapping[str, Any]) -> SemclError:
    """Return the error of a section that an overlay has replaced, in all or in part."""
    lost = [key for key in own if key not in value]
    within = next((key for key in value if not lost and cut(value[key], own.get(key))), None)
    if within is not None:
        return cut_error(f"{path}#{within}", value[within], own[within])
    key, part = next(iter(value.items()), ("KEY", None))
    number = f"{path}#{key}" if not isinstance(part, Mapping) else f"{path}#{key}#{next(iter(part), 'KEY')}"
    return SemclError(
        f"{path} has lost keys: an overlay that names a section replaces all of it",
        found=f"{path} with {', '.join(map(str, value)) or 'nothing'} alone, without {', '.join(lost)}",
        expected="the whole section, or the numbers by their paths",
        remedy=f"write {number}: ... for each number, or +{number.rpartition('#')[0]}: {{...}}",
    )


def refuse_wrong_stages(overlay: Mapping[str, Any], known: Iterable[str], where: str) -> None:
    """Refuse an overlay that does not say which stages it is for, though it means to; of ``known`` ones, if any are.

    Raises:
        SemclError: for anything but a list of stages, naming the first that there is not.
    """
    meant, listed = overlay.get(STAGES), sorted(known)
    if STAGES not in overlay or isinstance(meant, Mapping):  # shares of a strategy
        return
    strange = [one for one in meant if listed and one not in listed] if isinstance(meant, list) else []
    if strange or not isinstance(meant, list) or not meant:
        near = get_close_matches(str(strange[0]), listed, 1) if strange else []
        raise SemclError(
            f"{where} does not say which stages it is for",
            found=f"{STAGES}: {strange[0] if strange else meant!r}",
            expected=f"a list such as {STAGES}: [train], of {', '.join(listed)}",
            remedy=f"did you mean {near[0]}?" if near else f"edit {STAGES}, or leave it out: it is then for all",
        )


def stage_error(stage: str, stages: Sequence[str]) -> SemclError:
    """Return the error of an overlay that is not for a stage."""
    return SemclError(
        f"an overlay is not for {stage}",
        found=f"{STAGES}: {', '.join(map(str, stages))}",
        expected=f"{stage} among them, or no such key",
        remedy=f"run {stage} without it, or add {stage} to `{STAGES}` in it; `semcl run` leaves it out by itself",
    )
