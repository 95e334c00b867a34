"""The lines of docs/takeaway.md, as they are written there."""

import re

import torch

from scripts.networks.monai_encoders import SegResNetEncoder
from tests.stages import ROOT

TEXT = (ROOT / "docs" / "takeaway.md").read_text()


def test_the_lines_for_monai(tmp_path, monkeypatch):
    (code,) = re.findall("```py\n(.*?)```", TEXT, re.S)
    encoder = SegResNetEncoder(3, 1, init_filters=16, blocks_down=[1, 1, 1, 1])
    torch.save(encoder.state_dict(), tmp_path / "segresnet.pt")
    monkeypatch.chdir(tmp_path)
    made = {}
    exec(code, made)
    state = made["network"].state_dict()
    assert all(torch.equal(state[name], value) for name, value in encoder.state_dict().items())
