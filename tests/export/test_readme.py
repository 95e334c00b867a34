"""The README beside exported weights, and what it says to do."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from scripts.export.export import checked_fold, write_export
from scripts.export.readme import readme
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
    lost = made["weights"].pop(next(iter(folded.part)))
    torch.save(made["weights"], tmp_path / "weights.pt")
    with pytest.raises(ValueError, match="entries are missing"):
        exec(code, {})
    made["weights"] |= {next(iter(folded.part)): lost, "odd": torch.zeros(1)}
    torch.save(made["weights"], tmp_path / "weights.pt")
    with pytest.raises(ValueError, match="another network"):
        exec(code, {})


def test_a_mask_that_is_kept_is_described(tmp_path):
    folded, differs, _ = checked_fold(changed(encoders()["segresnet"]), torch.randn(2, 1, 32, 32), 3, None)
    assert differs == 0
    facts = replace(FACTS, in_channels=2, mask="keep", value=None)
    write_export(tmp_path / "kept.pt", folded, "segresnet", facts)
    assert "The last input channel is the attention mask" in (tmp_path / "kept.md").read_text()


@pytest.mark.parametrize(
    ("meaning", "said"),
    [
        ("cluster", "pulls queries of one organ in one phase together"),
        ("query", "pulls views of one query together"),
        (None, "pulls what is alike together"),
    ],
)
def test_it_says_what_was_pretrained_and_on_which_images(meaning, said):
    folded, *_ = checked_fold(changed(encoders()["segresnet"]), torch.randn(2, 1, 32, 32), 3, 0.0)
    hidden = replace(FACTS, meaning=meaning, numbers=FACTS.numbers | {"show_attention": False})
    shown, without = (" ".join(readme(Path("a.pt"), "segresnet", one, folded).split())
                      for one in (replace(FACTS, meaning=meaning), hidden))  # fmt: skip
    assert said in shown
    assert "window [-160, 240], scaled to -1 to 1" in shown
    assert "[2, 2, 0] mm" in shown
    assert "also saw an organ's attention mask" in shown
    assert "the attention mask was hidden" in without
    assert "also saw" not in without
    always = readme(Path("a.pt"), "segresnet", replace(FACTS, empty_mask_shown=False), folded)
    assert "never showed the encoder such a mask" in always
    assert "never showed" not in shown
