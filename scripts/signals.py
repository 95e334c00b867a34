"""Signals that end a process, reported by one line and an exit code instead of a traceback or nothing."""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)  # Ctrl-C, a scheduler or `kill`, a terminal that is closed
INTERRUPTED = 75  # exit code: stopped by a signal or the time limit, can go on (EX_TEMPFAIL)
BY_USER = 128 + signal.SIGINT  # exit code: stopped by Ctrl-C, as shells have it
NO_READER = 128 + signal.SIGPIPE  # exit code: the reader of the output has closed it

Handlers = dict[signal.Signals, Any]


def catch(stop: Callable[[signal.Signals], None], numbers: Sequence[signal.Signals] = ENDING) -> Handlers:
    """Call ``stop``, which ends the process, when the first of some signals comes; a second Ctrl-C ends it at once.

    A signal that is ignored stays so (nohup, a job in the background). What is forked from this process (a loader's)
    leaves SIGINT and SIGHUP to it, and is ended by SIGTERM as by default.

    Returns:
        the earlier handlers, for ``release``.
    """
    owner = os.getpid()

    def handle(number: int, frame: FrameType | None) -> None:
        if os.getpid() != owner:
            if number == signal.SIGTERM:
                signal.signal(number, signal.SIG_DFL)
                os.kill(os.getpid(), number)
            return
        for other in numbers:
            signal.signal(other, signal.default_int_handler if other == signal.SIGINT else signal.SIG_IGN)
        signal.signal(signal.SIGCHLD, lambda *_: None)  # loader processes that end with this one are no error
        stop(signal.Signals(number))

    caught = [number for number in numbers if signal.getsignal(number) is not signal.SIG_IGN]
    return {number: signal.signal(number, handle) for number in caught}


def release(handlers: Mapping[signal.Signals, Any]) -> None:
    """Restore the earlier handlers."""
    for number, handler in handlers.items():
        signal.signal(number, handler)


def say(line: str) -> None:
    """Write a line to stderr, if it is still there: a closed terminal is not."""
    with suppress(OSError, ValueError):
        print(line, file=sys.stderr, flush=True)


def silence_engines() -> None:
    """Let ignite's engines end without a word: they log the exit of a clean stop as an error."""
    for name, logger in logging.root.manager.loggerDict.items():
        if name.startswith("ignite.") and isinstance(logger, logging.Logger):
            logger.disabled = True


@contextmanager
def ends_in_a_line(what: str, kept: str) -> Iterator[None]:
    """End the body on a signal with one line and exit code 128 + n, and silently when the reader of stdout has gone.

    Args:
        what: name of what is stopped.
        kept: what is kept, and how to go on.
    """

    def stop(number: signal.Signals) -> None:
        say(f"\n{what}: stopped by {number.name}; {kept}")
        sys.exit(128 + number)

    handlers = catch(stop)
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or its end would flush, and fail, again
        sys.exit(NO_READER)
    finally:
        release(handlers)
