"""Pretrained weights for other tools: the file, a README beside it, and what was measured."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..errors import SemclError, one_of
from ..files import write_text, written_whole
from .folding import Folded, difference, fold
from .readme import Facts, readme

KINDS = {  # name of a network -> class of its encoder
    "segresnet": "SegResNetEncoder",
    "segresnetds": "SegResNetDSEncoder",
    "dynunet": "DynUNetEncoder",
    "swinunetr": "SwinUNETREncoder",
    "flexibleunet": "FlexibleUNetEncoder",
    "unet": "UNetEncoder",
    "resnet": "QueryEncoder",
    "nnunet": "NnUNetEncoder",
}
MASK_CHOICES = ("zeros", "ones", "mean", "keep")
EQUAL = 1e-4  # relative difference of features that rounding may leave


def check_kind(encoder: nn.Module, to: str) -> None:
    """Check that an encoder is that of a kind of networks.

    Raises:
        SemclError: for another kind, naming the encoder's own.
    """
    one_of("to", to, list(KINDS))
    own = {name for name, kind in KINDS.items() if kind in {one.__name__ for one in type(encoder).__mro__}}
    if to not in own:
        raise SemclError(
            f"the encoder is not that of a {to}",
            found=type(encoder).__name__,
            expected=KINDS[to],
            remedy=f"set --to {own.pop()}"
            if own
            else f"pretrain with the encoder of bundle/configs/encoders/{to}.yaml, and give that file as --overlay",
        )


def checked_fold(
    encoder: nn.Module, images: torch.Tensor, outputs: int, mask: float | None
) -> tuple[Folded, float, float]:
    """Put an encoder into an ordinary network, and compare the features of both.

    Args:
        encoder: the pretrained encoder.
        images: (B, C, X, Y[, Z]), as the network will see them.
        outputs: classes of the network.
        mask: constant attention to fold in; None keeps the channel.

    Returns:
        the network, and the largest relative difference of its features from the encoder's with that mask, and with a
        mask of zeros.

    Raises:
        SemclError: when features differ that should not: with a mask of zeros, or where the channel is kept.
    """
    encoder.eval()
    folded = fold(encoder, images.shape[1], outputs, mask)
    network = folded.encoder.eval()
    with torch.no_grad():
        constant, empty = (
            torch.cat([images, torch.full_like(images[:, :1], value)], dim=1) for value in (mask or 0.0, 0.0)
        )
        made = network(constant if mask is None else images)
        as_meant, without = difference(encoder(constant), made), difference(encoder(empty), made)
    if not mask and as_meant > EQUAL:
        raise SemclError(
            "the exported encoder gives other features",
            found=f"a relative difference of {as_meant:.2g}",
            expected=f"at most {EQUAL:g}",
            remedy="report this with the encoder's numbers",
        )
    return folded, as_meant, without


def write_export(out: Path, folded: Folded, to: str, facts: Facts) -> list[Path]:
    """Write the weights, and a README and a note beside them; return their paths.

    nnU-Net wants the weights of the whole network, as its checkpoints have them; all others get the encoder's alone.

    Raises:
        SemclError: in place of a file of the same name that is not an export.
    """
    note = out.with_suffix(".json")
    files = [out, out.with_suffix(".md"), note]
    others = [path for path in files if path.exists()]
    if others and not _exported(note):
        raise SemclError(
            "an export would replace a file of yours",
            found=", ".join(map(str, others)),
            expected="a new name, or an export of before",
            remedy="set --out to another path",
        )
    content: Mapping[str, Any] = folded.part
    if to == "nnunet":
        content = {"network_weights": folded.network.state_dict()}
    out.parent.mkdir(parents=True, exist_ok=True)
    out.unlink(missing_ok=True)  # or an interruption would leave earlier weights with this note
    write_text(note, json.dumps({"export": to, **facts.noted()}, indent=1))
    with written_whole(out) as aside, open(aside, "wb") as file:
        torch.save(content, file)
    write_text(out.with_suffix(".md"), readme(out, to, facts, folded))
    return files


def _exported(note: Path) -> bool:
    """Whether a note beside weights is that of an export."""
    try:
        return "export" in json.loads(note.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False


def usual_mask(empty_mask_shown: bool) -> str:
    """The choice of mask where none is made: zeros where pretraining showed those too, else the mean of the cohort."""
    return "zeros" if empty_mask_shown else "mean"


def mask_value(mask: str, shares: Sequence[float], shown: bool = True) -> float | None:
    """The constant attention of a choice.

    Args:
        mask: the choice.
        shares: those of queries that attention covers, for "mean".
        shown: whether pretraining showed the mask; otherwise its weights are still random.

    Raises:
        SemclError: for another choice, and for a mask that pretraining never showed.
    """
    one_of("mask", mask, MASK_CHOICES)
    if mask != "zeros" and not shown:
        raise SemclError(
            "the encoder has never seen an attention mask, so its weights for one are random",
            found=f"--mask {mask}, and weights pretrained with show_attention: false",
            expected="zeros, which it saw in the mask's place",
            remedy="leave out --mask",
        )
    return {"zeros": 0.0, "ones": 1.0, "mean": sum(shares) / max(len(shares), 1), "keep": None}[mask]
