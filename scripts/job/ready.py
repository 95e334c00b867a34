"""What ``initialize`` of a workflow does: the config is checked and random draws are seeded, before anything runs."""

from __future__ import annotations

import os
from pathlib import Path

from monai.utils import set_determinism

from ..errors import raise_all
from .config_check import check_config, running_config, running_parser
from .plain_errors import plain_errors
from .shipped_configs import shipped


def ready() -> None:
    """Check the config that is being initialised, and seed; no file of the cohort is read, and none is written.

    So ``monai.bundle.load`` and checks of properties, which initialise workflows too, need no cohort.

    Raises:
        SemclError: for unknown keys, and values of the wrong kind or out of bounds.
    """
    parser = running_parser()
    if parser is None:
        return
    parser.get_parsed_content("shared")  # from then on the config has what the stages share
    root = Path(parser.get_parsed_content("bundle_root"))
    if int(os.environ.get("RANK", "0")) == 0:  # one of several processes says what is wrong
        running = running_config()
        known = shipped(root, str(running["stage"]))
        wrong = check_config(running, known.own, known.others)
        if wrong:
            plain_errors()
        raise_all(wrong, of="the config")
    set_determinism(parser.get_parsed_content("seed"))  # shared.seed would read the weights' settings
