"""What the stages share: the numbers and components of configs/common.yaml, by their names."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from monai.bundle import ConfigParser

from ..bundle_folder import load_common
from ..errors import SemclError
from .config_check import running_parser
from .settings import SECTION, Settings, made_with

FILES = ("settings_of", "settings_perhaps")  # keys of stages that read weights


class Shared:
    """The content of common.yaml as part of a config that is being run.

    ``shared.window`` is the window that an overlay or the command line gives, else the one of common.yaml; in the same
    way ``shared.encoder`` is the encoder, made on first use and then the same everywhere in the config.
    Components of common.yaml refer to keys of the stage (``@cases``) and the stage overrides what it defines itself.
    On first use the settings of the weights that the stage reads are taken over: its keys ``settings_of``, and
    ``settings_perhaps`` for weights it may not need.

    Args:
        parser: of the running config.
        common: the content of common.yaml.
    """

    def __init__(self, parser: ConfigParser, common: dict[str, Any]) -> None:
        self._parser, self._names, self._begun = parser, set(common), False
        package = __name__.partition(".")[0]
        parser.globals[package] = sys.modules[package]  # for expressions to come, if MONAI has not found it before
        config: Any = parser.config
        if config.pop(SECTION, common) != common:
            raise SemclError(
                f"an overlay has a section {SECTION}, which would change numbers unchecked",
                found=f"{SECTION}: in the config that is run",
                expected="keys of common.yaml like those of a stage, at the first level",
                remedy=f"write them without {SECTION}: before them",
            )
        for key in common:  # what another one has put there, before MONAI parsed the config again
            if str(config.get(key)).replace("::", "#") == f"@{SECTION}#{key}":
                del config[key]
        given = {key for key in common if config.get(key, f"@{SECTION}#{key}") != f"@{SECTION}#{key}"}
        more = {SECTION: common} | {key: f"@{SECTION}#{key}" for key in common if key not in config}
        config |= more
        part = ConfigParser(more)
        part.globals = parser.globals  # what the config imports
        part.parse()
        for name, item in part.ref_resolver.items.items():  # parsing all of it again would forget what was made
            if name not in parser.ref_resolver.items:
                parser.ref_resolver.add_item(item)
        self._settings = Settings(parser, given)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name not in self._names:
            raise AttributeError(f"common.yaml has no {name}")
        config: Any = self._parser.config
        if not self._begun:
            self._begun = True  # first: the files may be named by what stages share
            files = [self._parser.get_parsed_content(key) for key in FILES if key in config]
            self._settings.take_over(*files)
        itself = config[name] == f"$@shared.{name}"  # a stage may give it a name for others to look up
        return self._parser.get_parsed_content(f"{SECTION}#{name}" if itself else name)

    def made_with(self, *parts: str) -> dict[str, Any]:
        """What is noted beside weights of these parts of the config: see ``made_with`` in ``settings``."""
        return made_with(self._settings, *parts)

    def contradiction(self, weights: str) -> SemclError | None:
        """The error of weights that were made with other settings than this run's; None where they agree."""
        return self._settings.contradiction(Path(weights))


def shared(bundle_root: str) -> Shared:
    """Return what the config that is being resolved shares with other stages.

    Args:
        bundle_root: the bundle's folder.

    Raises:
        SemclError: when there is no common.yaml, or no config is being resolved.
    """
    parser = running_parser()
    if parser is None:
        raise SemclError(
            "shared numbers are used outside of a config",
            found="no config that is being resolved",
            expected='a key `shared: "$scripts.components.shared(@bundle_root)"`',
            remedy=f"read {Path(bundle_root) / 'configs' / 'common.yaml'} instead",
        )
    return Shared(parser, load_common(bundle_root))
