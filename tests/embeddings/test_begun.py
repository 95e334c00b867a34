"""The encoder that pretraining began with."""

import json

import torch

from scripts.embeddings.begun import began_with, begun
from scripts.files import checksum_of
from scripts.networks.encoder import QueryEncoder


def encoder(in_channels=2):
    return QueryEncoder(2, layers=(1, 1, 1, 1), widths=(4, 6, 8, 10), in_channels=in_channels)


def test_weights_for_images_alone_see_no_mask(tmp_path):
    torch.save(encoder(1).state_dict(), tmp_path / "coarse.pt")
    made = begun(encoder(), str(tmp_path / "coarse.pt"), 2).eval()
    images = torch.randn(2, 2, 16, 16)
    shown = torch.stack([images[:, 0], torch.ones_like(images[:, 0])], dim=1)
    hidden = torch.stack([images[:, 0], torch.zeros_like(images[:, 0])], dim=1)
    with torch.no_grad():
        assert torch.equal(made(shown)[-1], made(hidden)[-1])


def test_what_training_began_with_is_known_as_long_as_it_is_unchanged(tmp_path):
    start, weights = tmp_path / "coarse.pt", tmp_path / "encoder.pt"
    torch.save({"a": torch.ones(2)}, start)
    assert began_with(str(weights), str(start)) is None
    weights.with_suffix(".json").write_text(json.dumps({"began_with": checksum_of(start)}))
    assert began_with(str(weights), str(start)) == str(start)
    assert began_with(str(weights), None) is None
    torch.save({"a": torch.zeros(2)}, start)
    assert began_with(str(weights), str(start)) is None
    weights.with_suffix(".json").write_text(json.dumps({"began_with": None}))
    assert began_with(str(weights), str(tmp_path / "none.pt")) is None
