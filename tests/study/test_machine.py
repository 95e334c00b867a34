"""The model of the device that a study runs on."""

from pathlib import Path

import pytest

from scripts.study import machine as module


def test_a_processor_is_named_by_its_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(module, "CPU_INFO", tmp_path / "cpuinfo")
    assert module.machine()
    (tmp_path / "cpuinfo").write_text("processor\t: 0\nmodel name\t: A Processor 7 @ 2 GHz\n")
    assert module.machine() == "A Processor 7 @ 2 GHz"
