"""Signals that end a process; tests/faults sends them to commands."""

import logging
import os
import signal
import sys

import pytest
from ignite.engine import Engine

from scripts.signals import NO_READER, catch, ends_in_a_line, release, silence_engines


def test_the_first_signal_stops_and_handlers_are_restored():
    stopped = []
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD)}
    earlier = catch(stopped.append, (signal.SIGTERM, signal.SIGINT))
    try:
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)  # ignored: the process is ending
    finally:
        release(earlier)
        signal.signal(signal.SIGCHLD, before[signal.SIGCHLD])
    assert stopped == [signal.SIGTERM]
    assert {number: signal.getsignal(number) for number in before} == before


def test_a_body_that_is_stopped_ends_with_one_line(capsys):
    before = signal.getsignal(signal.SIGCHLD)
    with pytest.raises(SystemExit) as raised, ends_in_a_line("prepare", "run it again"):
        os.kill(os.getpid(), signal.SIGTERM)
    signal.signal(signal.SIGCHLD, before)
    assert raised.value.code == 128 + signal.SIGTERM
    assert capsys.readouterr().err == "\nprepare: stopped by SIGTERM; run it again\n"


def test_a_closed_pipe_ends_quietly(capsys, monkeypatch):
    with open(os.devnull, "w") as null:
        monkeypatch.setattr(sys, "stdout", null)
        with pytest.raises(SystemExit) as raised, ends_in_a_line("check", ""):
            raise BrokenPipeError
    assert raised.value.code == NO_READER


@pytest.mark.parametrize("silent", [True, False])
def test_an_engine_reports_no_error_when_a_stage_is_stopped(silent, monkeypatch, caplog):
    engine = Engine(lambda engine, batch: sys.exit(75))
    monkeypatch.setattr(engine.logger, "propagate", True)
    monkeypatch.setattr(engine.logger, "disabled", False)
    caplog.set_level(logging.ERROR, "ignite.engine")
    if silent:
        silence_engines()
    with pytest.raises(SystemExit):
        engine.run([1])
    assert ("terminating" in caplog.text) is not silent
