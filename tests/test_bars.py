"""Progress: a bar in a terminal, lines in a log."""

import sys

import pytest

from scripts import bars
from scripts.bars import Bar, LogLines, bar


@pytest.fixture
def clock(monkeypatch):
    """Seconds that pass when a test says so."""
    now = [1000.0]
    monkeypatch.setattr(LogLines, "_time", staticmethod(lambda: now[0]), raising=False)
    monkeypatch.setattr("tqdm.std.time", lambda: now[0])
    return now


def test_a_log_gets_a_line_every_half_minute(clock, capsys):
    shown = bar(total=100, title="train", unit="step")
    for _ in range(100):
        clock[0] += 1
        shown.update()
    shown.set_postfix_str("loss 0.5", refresh=False)
    shown.close()
    printed = capsys.readouterr().err
    assert "\r" not in printed
    lines = printed.splitlines()
    assert lines[0] == "train: 0 of 100 steps, 00:00"
    assert lines[1] == "train: 30 of 100 steps, 00:30, 01:10 left"
    assert lines[-1] == "train: 100 of 100 steps, 01:40, loss 0.5"
    assert len(lines) == 5


def test_a_bar_passes_its_items_through_and_counts_one_without_an_s(capsys):
    assert list(bar(iter("a"), total=1, title="voxels", unit="scan")) == ["a"]
    assert capsys.readouterr().err.splitlines()[-1].startswith("voxels: 1 of 1 scan, ")


def test_a_state_is_written_once_but_for_a_new_loss(clock, capsys):
    shown = bar(total=1, title="train", unit="step")
    clock[0] += 40
    shown.update()
    shown.close()
    other = bar(total=1, title="train", unit="step")
    clock[0] += 40
    other.update()
    other.set_postfix_str("loss 0.5", refresh=False)
    other.close()
    ends = ["train: 1 of 1 step, 00:40"] * 2 + ["train: 1 of 1 step, 00:40, loss 0.5"]
    assert [line for line in capsys.readouterr().err.splitlines() if "0 of" not in line] == ends


def test_a_hidden_bar_shows_nothing(capsys):
    assert list(bar("ab", total=2, title="store", unit="case", hidden=True)) == ["a", "b"]
    assert capsys.readouterr().err == ""


def test_a_terminal_has_a_bar(monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    made = bars.bar(total=2, title="store", unit="case")
    assert type(made) is Bar
    made.close()


@pytest.mark.parametrize("kind", [Bar, LogLines])
def test_a_bar_whose_setup_a_signal_interrupted_closes_silently(kind, monkeypatch, capsys):
    def interrupted(*args, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(bars.tqdm, "__init__", interrupted)
    half = kind.__new__(kind)
    with pytest.raises(KeyboardInterrupt):
        half.__init__(total=2)
    half.__del__()  # as the interpreter does; what it raises is printed as a traceback
    assert capsys.readouterr().err == ""
