"""What the stages share: the numbers and components of configs/common.yaml, by their names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from monai.bundle import ConfigParser

from ..bundle_folder import load_common
from ..errors import SemclError
from .config_check import running_parser

SECTION = "common"  # of the running config: where common.yaml is put


class Shared:
    """The content of common.yaml as part of a config that is being run.

    ``shared.window`` is the window that an overlay or the command line gives, else the one of common.yaml; in the same
    way ``shared.encoder`` is the encoder, made on first use and then the same everywhere in the config.
    Components of common.yaml refer to keys of the stage (``@cases``) and the stage overrides what it defines itself.

    Args:
        parser: of the running config.
        common: the content of common.yaml.
    """

    def __init__(self, parser: ConfigParser, common: dict[str, Any]) -> None:
        self._parser, self._names = parser, set(common)
        config: Any = parser.config
        more = {SECTION: common} | {key: f"@{SECTION}#{key}" for key in common if key not in config}
        config |= more
        part = ConfigParser(more)
        part.globals = parser.globals  # what the config imports
        part.parse()
        for item in part.ref_resolver.items.values():  # parsing all of it again would forget what was made
            parser.ref_resolver.add_item(item)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name not in self._names:
            raise AttributeError(f"common.yaml has no {name}")
        config: Any = self._parser.config
        itself = config[name] == f"$@shared.{name}"  # a stage may give it a name for others to look up
        return self._parser.get_parsed_content(f"{SECTION}#{name}" if itself else name)


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
