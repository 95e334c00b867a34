"""Progress of what takes long: a bar in a terminal, a line every half minute in a log."""

from __future__ import annotations

import sys
from typing import Any

from tqdm import tqdm

EVERY = 30.0  # seconds between lines of a log


class Bar(tqdm):  # type: ignore[misc]  # tqdm has no types
    """A progress bar that can be closed when a signal has interrupted its setup."""

    disable: bool = True  # until tqdm has set the bar up


class LogLines(Bar):
    """A progress bar for a log: each state is a line of its own."""

    def display(self, msg: str | None = None, pos: int | None = None) -> None:
        """Write the state as a line."""
        state = self.format_dict
        if (state["n"], state["postfix"]) == getattr(self, "displayed", None):  # closed right after its last line
            return
        self.displayed = state["n"], state["postfix"]
        seconds, done, total = state["elapsed"], state["n"], state["total"]
        shown = f"{state['prefix']}: {done} of {total} {self.unit}{'s' * (total != 1)}, {self.format_interval(seconds)}"
        if done - self.initial > 0 and done < total:
            left = seconds / (done - self.initial) * (total - done)
            shown += f", {self.format_interval(left)} left"
        print(f"{shown}{', ' if state['postfix'] else ''}{state['postfix'] or ''}", file=self.fp, flush=True)

    def close(self) -> None:
        """End the bar with its last state."""
        if not self.disable:
            self.disable = True
            self._decr_instances(self)
            self.display()


def bar(items: Any = None, *, total: int, title: str, unit: str, hidden: bool = False, **options: Any) -> Any:
    """Return a progress bar, over items if there are any, else to be updated.

    Args:
        items: passed through one by one.
        total: their number.
        title: what is done.
        unit: what one of them is.
        hidden: show nothing, as ranks but the first do.
        options: of tqdm, such as ``initial``.
    """
    options |= {"total": total, "desc": title, "unit": unit, "disable": hidden}
    if sys.stderr.isatty():
        return Bar(items, **options)
    return LogLines(items, mininterval=EVERY, maxinterval=EVERY, **options)
