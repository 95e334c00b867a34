"""``semcl``, or ``python -m scripts``: what is done outside of the bundle's stages, and all stages in a row."""

from __future__ import annotations

import sys
from collections.abc import Callable

from .commands.arguments import parse, program
from .commands.attention import attention
from .commands.audit import audit
from .commands.embed import embed
from .commands.evaluate import evaluate
from .commands.export_encoder import export_encoder
from .commands.help import HELP, of_command, overview
from .commands.intake import check, prepare
from .commands.labels import labels
from .commands.phantom import phantom
from .commands.run import run
from .commands.study import study
from .errors import SemclError
from .signals import ends_in_a_line
from .version import __version__

COMMANDS: dict[str, Callable[..., None]] = {
    "labels": labels,
    "check": check,
    "prepare": prepare,
    "run": run,
    "evaluate": evaluate,
    "embed": embed,
    "audit": audit,
    "study": study,
    "phantom": phantom,
    "attention": attention,
    "export-encoder": export_encoder,
}
COMMAND_AGAIN = "run the same command again"
WHOLE = f"files are whole or not there; {COMMAND_AGAIN}"
WHEN_STOPPED = {  # the message of a command stopped by a signal
    "phantom": WHOLE,
    "prepare": WHOLE,
    "labels": WHOLE,
    "check": f"nothing was changed; {COMMAND_AGAIN}",
    "evaluate": WHOLE,
    "audit": f"what is done is kept; {COMMAND_AGAIN}",
    "attention": WHOLE,
    "export-encoder": WHOLE,
    "study": f"what is done is kept; {COMMAND_AGAIN}",
}


def main() -> None:
    """Run the command line; a SemclError ends it with its message and exit code 2."""
    words = sys.argv[1:]
    name = words[0] if words else ""
    try:
        with ends_in_a_line(name if name in COMMANDS else program(), WHEN_STOPPED.get(name, COMMAND_AGAIN)):
            if not words or name in HELP:
                print(overview(COMMANDS))
            elif name == "--version":
                print(f"semcl {__version__}")
            elif name in COMMANDS and HELP & set(words):
                print(of_command(name, COMMANDS[name]))
            else:
                call = parse(words, COMMANDS, "pred")
                COMMANDS[call.command](**call.options)
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
