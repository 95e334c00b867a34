"""``python -m scripts``: what is done outside of the bundle's stages."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

import fire

from .commands.arguments import arguments
from .commands.embed import embed
from .commands.evaluate import evaluate
from .commands.intake import check, prepare
from .commands.phantom import phantom
from .commands.study import study
from .errors import SemclError
from .signals import ends_in_a_line

COMMANDS: dict[str, Callable[..., None]] = {
    "phantom": phantom,
    "prepare": prepare,
    "check": check,
    "evaluate": evaluate,
    "embed": embed,
    "study": study,
}
COMMAND_AGAIN = "run the same command again"
WHOLE = f"files are whole or not there; {COMMAND_AGAIN}"
WHEN_STOPPED = {  # the message of a command stopped by a signal
    "phantom": WHOLE,
    "prepare": WHOLE,
    "check": f"nothing was changed; {COMMAND_AGAIN}",
    "evaluate": WHOLE,
    "study": f"what is done is kept; {COMMAND_AGAIN}",
}


def main() -> None:
    """Run the command line; a SemclError ends it with its message and exit code 2."""
    os.environ.setdefault("PAGER", "cat")
    name = sys.argv[1] if len(sys.argv) > 1 else ""
    try:
        with ends_in_a_line(name if name in COMMANDS else "scripts", WHEN_STOPPED.get(name, COMMAND_AGAIN)):
            fire.Fire(COMMANDS, arguments(sys.argv[1:], COMMANDS, "pred"), name="python -m scripts")
    except (SemclError, OSError) as error:
        known = error if isinstance(error, SemclError) else _explained(error)
        print(f"error: {known}", file=sys.stderr)
        sys.exit(2)


def _explained(error: OSError) -> SemclError:
    """Return the explanation of an error; raise an error without one."""
    from .job.plain_errors import explain

    explained = explain(error)
    if explained is None:
        raise error
    return explained


if __name__ == "__main__":
    main()
