"""The README beside exported weights, and what it says to do."""

import re

import pytest
import torch

from scripts.export.export import checked_fold, write_export
from scripts.export.readme import Facts
from tests.export.test_export import FACTS, exported
from tests.export.test_folding import changed, encoders


@pytest.mark.parametrize("name", ["segresnet", "segresnetds", "dynunet", "swinunetr", "flexibleunet", "unet", "resnet"])
def test_the_lines_of_the_readme_load_the_weights(name, tmp_path, monkeypatch):
    folded, differs = exported(name, tmp_path / "weights.pt")
    assert differs < 1e-5
    text = (tmp_path / "weights.md").read_text()
    assert "liver, spleen" in text
    (code,) = re.findall("```python\n(.*?)```", text, re.S)
    assert code.count("\n") <= 10
    monkeypatch.chdir(tmp_path)
    made = {}
    exec(code, made)
    state = made["network"].state_dict()
    assert all(torch.equal(state[key], value) for key, value in folded.part.items())
    made["weights"]["odd"] = torch.zeros(1)
    torch.save(made["weights"], tmp_path / "weights.pt")
    with pytest.raises(ValueError, match="another network"):
        exec(code, {})


def test_a_mask_that_is_kept_is_described(tmp_path):
    folded, differs, _ = checked_fold(changed(encoders()["segresnet"]), torch.randn(2, 1, 32, 32), 3, None)
    assert differs == 0
    write_export(tmp_path / "kept.pt", folded, "segresnet", Facts(*list(vars(FACTS).values())[:4], 2, 3, "keep", None,
                                                                  2, 0.0, 0.0))  # fmt: skip
    assert "The last input channel is the attention mask" in (tmp_path / "kept.md").read_text()
