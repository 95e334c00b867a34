"""Options of the command line: converted to what a command's signature declares, and checked, before any work.

A parameter's annotation decides how its value is read: a plain ``str`` stays text (2024_01 is no number), an
``Annotated`` one names its reader.
"""

from __future__ import annotations

import difflib
import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Annotated, Any, get_args, get_type_hints

from ..errors import SemclError
from .arguments import spelled
from .option_readers import Names, NewFile, Number, Numbers, Paths, Reader, Text, WindowOption

UNKNOWN_OPTIONS = "unknown"  # a command's parameter that collects options it does not have


NewPath = Annotated[str, NewFile()]
Count = Annotated[int, Number("1, 2, ...", lambda number: number >= 1, whole=True)]
CountOrNone = Annotated[int, Number("0, 1, 2, ...", lambda number: number >= 0, whole=True)]
Seed = Annotated[int, Number("a whole number from 0 to 4294967295", lambda seed: 0 <= seed < 1 << 32, whole=True)]
Folds = Annotated[int, Number("at least 2 folds", lambda folds: folds >= 2, whole=True)]
FoldsOrNone = Annotated[int, Number("0, or at least 2 folds", lambda folds: folds == 0 or folds >= 2, whole=True)]
Share = Annotated[float, Number("a share from 0 to below 1", lambda share: 0 <= share < 1)]
Millimetres = Annotated[float, Number("mm above 0", lambda length: length > 0)]
Seconds = Annotated[float, Number("seconds, 0 or more", lambda seconds: seconds >= 0)]
Multiples = Annotated[str | Sequence[float], Numbers()]
Listed = Annotated[str | Sequence[str], Names()]
Repeated = Annotated[str | Sequence[str], Paths()]
Limits = Annotated[str | Sequence[float], WindowOption()]


def checked(command: Callable[..., None]) -> Callable[..., None]:
    """Read and check a command's options as its signature declares them, given by a shell or from Python.

    A parameter that is a dataclass stands for one option per field, documented in the dataclass; a field that the
    command has a parameter of its own for takes its value from there.

    Raises:
        SemclError: from the command, before it does anything, for an option it does not have or a value it cannot use.
    """
    own = inspect.signature(command).parameters
    hints = get_type_hints(command, include_extras=True)
    groups: dict[str, Any] = {name: hint for name, hint in hints.items() if is_dataclass(hint)}
    signature = _with_fields(own, groups)
    for group in groups.values():
        hints = get_type_hints(group, include_extras=True) | hints

    @functools.wraps(command)
    def wrapped(*args: object, **kwargs: object) -> None:
        given = signature.bind(*args, **kwargs)
        _refuse_unknown(command.__name__, signature, given.arguments.pop(UNKNOWN_OPTIONS, {}))
        given.apply_defaults()
        values, more = given.arguments, {}
        for name, parameter in signature.parameters.items():
            if parameter.kind is parameter.VAR_KEYWORD:
                more = values.pop(name)
            elif parameter.default is None and values[name] in (None, ""):
                values[name] = None
            else:
                values[name] = _reader(hints[name]).read(spelled(name), values[name])
        for name, group in groups.items():
            values[name] = group(**{field.name: values[field.name] for field in fields(group)})
        command(**{name: values[name] for name in own if name in values}, **more)

    wrapped.__doc__ = _documented(command, groups)
    setattr(wrapped, "__signature__", signature)  # noqa: B010  # mypy knows no such attribute
    return wrapped


def _with_fields(own: Mapping[str, inspect.Parameter], groups: Mapping[str, Any]) -> inspect.Signature:
    """Return a command's signature with the fields of its groups of options in place of the groups."""
    options: list[inspect.Parameter] = []
    for name, parameter in own.items():
        if name in groups:
            options += [field for field in inspect.signature(groups[name]).parameters.values() if field.name not in own]
        else:
            options.append(parameter)
    return inspect.Signature(sorted(options, key=lambda option: (option.kind, option.default is not option.empty)))


def _documented(command: Callable[..., None], groups: Mapping[str, Any]) -> str:
    """Return a command's docstring with the options of its groups, but for its own, in place of the groups."""
    text, own = inspect.getdoc(command) or "", inspect.signature(command).parameters
    for name, group in groups.items():
        lines = (inspect.getdoc(group) or "").partition("Args:\n")[2].splitlines()
        options = "\n".join(line for line in lines if line.strip().partition(":")[0] not in own)
        text = "\n".join(options if line.startswith(f"    {name}: ") else line for line in text.splitlines())
    return text


def _reader(hint: Any) -> Reader:
    """Return the reader that an annotation names, also within ``Annotated[...] | None``."""
    for part in (hint, *get_args(hint)):
        for mark in getattr(part, "__metadata__", ()):
            reader: Reader = mark
            return reader
    return Text()


def _refuse_unknown(command: str, signature: inspect.Signature, unknown: Mapping[str, object]) -> None:
    known = [spelled(name) for name in signature.parameters if name != UNKNOWN_OPTIONS]
    for name in unknown:
        near = difflib.get_close_matches(name, known, 1)
        raise SemclError(
            f"{command} has no option --{name}",
            found=f"--{name}",
            expected=", ".join(f"--{option}" for option in known),
            remedy=f"did you mean --{near[0]}?" if near else "leave it out",
        )
