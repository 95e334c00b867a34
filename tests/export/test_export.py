"""Exports: refusals, files, the README and what it says to do."""

import json

import pytest
import torch

from scripts.errors import SemclError
from scripts.export.export import check_kind, checked_fold, mask_value, usual_mask, write_export
from scripts.export.readme import Facts
from tests.export.test_folding import changed, encoders

NUMBERS = {"window": [-160, 240], "spacing": [2, 2, 0], "patch_size": 64, "pooling": "regions", "show_attention": True}
FACTS = Facts(
    cohort="c0",
    organs=("liver", "spleen"),
    cases="c1 c2 c3 c4 c5",
    patients="p1 p2",
    before=[],
    meaning="cluster",
    numbers=NUMBERS,
    in_channels=1,
    out_channels=3,
    mask="zeros",
    value=0.0,
    empty_mask_shown=True,
    measured_on=4,
    differs=0.0,
    differs_from_zeros=0.0,
)


def exported(name, out, mask=0.0):
    folded, differs, _ = checked_fold(changed(encoders()[name]), torch.randn(2, 1, 64, 64), 3, mask)
    write_export(out, folded, name, FACTS)
    return folded, differs


def test_a_network_of_another_kind_is_refused():
    with pytest.raises(SemclError, match="did you mean swinunetr"):
        check_kind(encoders()["unet"], "swinunet")
    with pytest.raises(SemclError, match="set --to unet"):
        check_kind(encoders()["unet"], "segresnet")
    with pytest.raises(SemclError, match=r"bundle/configs/encoders/segresnet\.yaml"):
        check_kind(torch.nn.Linear(1, 1), "segresnet")
    for name, encoder in encoders().items():
        check_kind(encoder, name)


def test_files_of_others_stay(tmp_path):
    out = tmp_path / "weights.pt"
    out.write_text("mine")
    with pytest.raises(SemclError, match=r"replace a file of yours"):
        exported("segresnet", out)
    assert out.read_text() == "mine"
    out.unlink()
    exported("segresnet", out)
    exported("segresnet", out)
    assert json.loads((tmp_path / "weights.json").read_text())["export"] == "segresnet"


def test_masks():
    assert [usual_mask(shown) for shown in (True, False)] == ["zeros", "mean"]
    assert [mask_value(mask, [0.1, 0.3]) for mask in ("zeros", "ones", "mean", "keep")] == [0, 1, 0.2, None]
    with pytest.raises(SemclError, match="did you mean ones"):
        mask_value("one", [])


@pytest.mark.parametrize("mask", ["ones", "mean", "keep"])
def test_a_mask_that_pretraining_never_showed_has_no_weights_to_export(mask):
    with pytest.raises(SemclError, match="never seen an attention mask"):
        mask_value(mask, [0.5], shown=False)
    assert mask_value("zeros", [], shown=False) == 0
