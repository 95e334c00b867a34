"""The config a stage runs with, after overlays and overrides: found, checked against the stage's own, compared."""

from __future__ import annotations

import difflib
import hashlib
import inspect
import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from monai.bundle import ConfigParser
from monai.bundle.config_item import ComponentLocator
from monai.bundle.utils import DEFAULT_MLFLOW_SETTINGS
from monai.utils import optional_import

from ..errors import SemclError
from . import overlays
from .bounds import indivisible, out_of_bounds

REFERENCE = re.compile(r"^(?:@|\$@shared\.)(\w+)$")  # an argument that takes a number of the config
SHARED = re.compile(r"^(?:\$@shared\.|@common#)(\w+)$")
RENAMED = {"amp": "precision"}  # keys of earlier versions
OPEN = {"encoders", "methods"}  # groups that may be given more entries
TEXT_TOO = {"window"}  # lists that may be a word
TRACKING: Any = DEFAULT_MLFLOW_SETTINGS  # what MONAI adds to a config for MLflow
NOT_COMPARED = {  # what does not change results, or moves with the cohort
    *TRACKING["configs"],
    *(
        "imports",
        "run",
        "resume",
        "time_limit",
        "num_workers",
        "scan_workers",
        "device",
        "bundle_root",
        "shard",
        "rank_patience",
    ),
    *("settings", "schedule"),
    *("dataset_dir", "output_dir", "ckpt_dir", "attention_dir", "store_dir", "prediction_dir"),
}


def running_parser() -> ConfigParser | None:
    """Return the parser of the config that is being run or resolved; None without one.

    MONAI gives its expressions no way to the config they stand in, so its parser is looked up among the callers.
    """
    frame = inspect.currentframe()
    while frame is not None:
        owner = frame.f_locals.get("self")
        if isinstance(owner, ConfigParser):
            return owner
        frame = frame.f_back
    return None


def running_config() -> dict[str, Any]:
    """The config that is being run, as written: overlays and overrides merged, shared numbers filled in."""
    parser = running_parser()
    merged: Any = {} if parser is None else parser.config
    common = merged.get("common", {})
    return {
        key: common[key] if value == f"@common#{key}" else value
        for key, value in merged.items()
        if not key.startswith("_")
    }


def check_config(config: Mapping[str, Any], own: Mapping[str, Any], others: Mapping[str, Any]) -> list[SemclError]:
    """Return the errors of a merged config: unknown keys, and values of the wrong kind or out of bounds.

    Args:
        config: what is being run.
        own: the stage's config as it ships.
        others: keys of other stages and of common.yaml; an overlay for several stages may change them.
    """
    referred = set(re.findall(r"@([\w#:]+)", json.dumps(config, default=str)))
    known = set(own) | set(TRACKING["configs"]) | set(TRACKING["handlers_id"])
    errors = overlays.wrong_paths(config)
    if not isinstance(config.get(overlays.STAGES, []), list | Mapping):  # a strategy has shares of stages
        errors.append(overlays.stage_error(own["stage"], [config[overlays.STAGES]]))
    elif not overlays.is_for(config, own["stage"]):
        errors.append(overlays.stage_error(own["stage"], config[overlays.STAGES]))
    for key, value in config.items():
        if key in (*overlays.PATHS, overlays.STAGES, "common"):  # common: what ships, put in by ``shared``
            continue
        written = own.get(key, others.get(key))
        if overlays.cut(value, written) and key not in OPEN:
            errors.append(overlays.cut_error(key, value, written))
        elif key in own or key in others:
            errors += _compare(key, _resolved(value, others), _resolved(written, others))
        elif key not in known and not any(name.partition("#")[0].partition("::")[0] == key for name in referred):
            errors.append(_unknown(key, known | set(others), "no stage has such a key, and nothing refers to it"))
    errors += indivisible({key: _resolved(value, others) for key, value in config.items()})
    return errors + [error for path, part in _components(config) for error in _arguments(path, part)]


def _compare(path: str, value: Any, own: Any) -> Iterator[SemclError]:
    """Yield errors of values of the wrong kind or out of bounds, and of new keys in groups that are not components."""
    if isinstance(value, Mapping) and isinstance(own, Mapping):
        for key, part in value.items():
            if part is None and path in OPEN:
                yield SemclError(
                    f"--{path}#{key} has no value",
                    found="null",
                    expected=f"what the others in {path} are: {next(iter(own.values()))!r}",
                    remedy=f"give it one, or leave out {key}",
                )
            elif key in own:
                yield from _compare(f"{path}#{key}", part, own[key])
            elif path not in OPEN and "_target_" not in value and "_target_" not in own:
                yield _unknown(f"{path}#{key}", {f"{path}#{name}" for name in own}, f"{path} has no such key")
        return
    expected = _kind(own)
    if value is None and expected:
        yield SemclError(
            f"--{path} has no value",
            found="null",
            expected=f"{expected}, as {own!r}",
            remedy=f"give --{path} {expected}",
        )
    if not _kind(value):
        return
    if expected and not _fits(path, value, expected):
        yield SemclError(
            f"--{path} is of the wrong kind",
            found=f"{value!r}, {_kind(value)}",
            expected=f"{expected}, as {own!r}",
            remedy=f"give --{path} {expected}"
            + (f", quoted twice: --{path} \"'...'\"" if expected == "a text" else _as_number(value)),
        )
    else:
        taken = REFERENCE.match(own) if isinstance(own, str) else None
        yield from out_of_bounds(path, value, taken[1] if taken else path)


def _as_number(value: Any) -> str:
    """How YAML wants a number with an exponent to be written, where that is what it took for a text."""
    found = re.fullmatch(r"(-?\d+)(\.\d*)?[eE]([+-]?)(\d+)", value) if isinstance(value, str) else None
    return f": in YAML {found[1]}{found[2] or '.0'}e{found[3] or '+'}{found[4]}" if found else ""


def _fits(path: str, value: Any, expected: str) -> bool:
    kind = _kind(value)
    whole = isinstance(value, float) and value.is_integer()
    return (
        kind == expected
        or (kind == "a whole number" and expected == "a number")
        or (expected == "a whole number" and whole)
        or (path in TEXT_TOO and {kind, expected} == {"a text", "a list"})
    )


def _kind(value: Any) -> str | None:
    """Return the kind of a literal; None for expressions, references and None, which may be anything."""
    if value is None or overlays.is_expression(value):
        return None
    names = {bool: "True or False", int: "a whole number", float: "a number", str: "a text"}
    if type(value) in names:
        return names[type(value)]
    return "a mapping" if isinstance(value, Mapping) else "a list"


def _resolved(value: Any, common: Mapping[str, Any]) -> Any:
    shared = SHARED.match(value) if isinstance(value, str) else None
    return common.get(shared[1]) if shared else value


def _components(part: Any, path: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield path and content of everything that has a ``_target_``."""
    pairs = part.items() if isinstance(part, Mapping) else enumerate(part) if isinstance(part, list) else ()
    if isinstance(part, Mapping) and isinstance(part.get("_target_"), str):
        yield path, part
    for key, value in pairs:
        yield from _components(value, f"{path}#{key}" if path else str(key))


def _arguments(path: str, component: Mapping[str, Any]) -> Iterator[SemclError]:
    """Yield errors of arguments that a component's class or function does not take."""
    target = _locate(component["_target_"])
    try:
        parameters = inspect.signature(target).parameters if callable(target) else {}
    except ValueError:  # a builtin has no signature
        parameters = {}
    if not parameters or any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        return
    for name in component:
        if not re.fullmatch(r"_\w+_", name) and name not in parameters:
            near = {f"{path}#{known}" for known in parameters}
            yield _unknown(f"{path}#{name}", near, f"{component['_target_']} has no such argument")


@cache
def _locator() -> ComponentLocator:
    """MONAI's table of components, which takes most of a second to make."""
    return ComponentLocator()


def _locate(target: str) -> Any:
    if overlays.is_expression(target):
        return None
    path = target if "." in target else f"{_locator().get_component_module_name(target)}.{target}"
    module, _, name = path.rpartition(".")
    package, _, rest = module.partition(".")
    if package in ("scripts", "semcl"):  # one package, under the name it was imported by
        module = f"{__name__.partition('.')[0]}.{rest}".rstrip(".")
    found, there = optional_import(module, name=name)
    return found if there else None


def _unknown(key: str, known: set[str], why: str) -> SemclError:
    near = [RENAMED[key]] if key in RENAMED else difflib.get_close_matches(key, known, 1, 0.5)
    return SemclError(
        f"unknown key --{key}",
        found=why,
        expected=near[0] if near else f"one of {', '.join(sorted(known))}",
        remedy=f"did you mean --{near[0]}?" if near else "leave it out",
    )


def flatten(part: Any, path: str = "") -> dict[str, Any]:
    """Return nested content as "a#b#0": value, without what results do not depend on."""
    pairs = part.items() if isinstance(part, Mapping) else enumerate(part) if isinstance(part, list) else None
    if pairs is None:
        return {path: part if isinstance(part, str | int | float | bool | None) else str(part)}
    flat: dict[str, Any] = {}
    for key, value in pairs:
        if path or key not in NOT_COMPARED:
            flat |= flatten(value, f"{path}#{key}" if path else str(key))
    return flat


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return a line per key in which two flat configs differ."""
    missing = "not there"
    return [
        f"{key}: {before.get(key, missing)} before, {now.get(key, missing)} now"
        for key in sorted(set(before) | set(now))
        if before.get(key, missing) != now.get(key, missing)
    ]


def config_digest(flat: Mapping[str, Any]) -> str:
    """Return a short hash of a flat config."""
    return hashlib.sha256(json.dumps(flat, sort_keys=True).encode()).hexdigest()[:12]
