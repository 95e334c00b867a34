"""The README beside exported weights: what they are, how to fine-tune them, and what was measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from .folding import Folded

MONAI_LINES = """\
import torch
from monai.networks.nets import {network}

network = {network}({arguments})
weights = torch.load("{file}", weights_only=True)
missing, unexpected = network.load_state_dict(weights, strict=False)
if unexpected or len(missing) != {decoder}:  # of the decoder, which is trained anew
    raise ValueError(f"another network: {{unexpected}} do not fit, {{len(missing)}} entries are missing")
"""
PULLED = {  # of positives in pretraining -> what it pulled together
    "cluster": "queries of one organ in one phase",
    "object": "queries of one organ",
    "phase": "queries, or slices, of scans of one phase",
    "query": "views of one query",
    "slice": "views of one slice",
}
NNUNET_LINES = """\
nnUNetv2_train DATASET {configuration} FOLD -p {plans} -pretrained_weights {file}
"""


@dataclass(frozen=True)
class Facts:
    """What a README states.

    Args:
        cohort: hash of the cohort the encoder was pretrained on; None where its note does not say.
        organs: names of the organs it told apart.
        cases: hashes of the training scans, separated by blanks; None where its note does not say.
        patients: of their patients, likewise.
        before: notes on other cohorts, whose weights pretraining began with.
        meaning: of positives in pretraining; None where its note does not say.
        numbers: of the images it was pretrained on, and of what its encoder was shown, by their keys in the configs.
        in_channels: of the exported network's input.
        out_channels: of the network the weights were put into.
        mask: which attention was folded in.
        value: that attention; None where the channel was kept.
        empty_mask_shown: whether pretraining also showed the encoder a mask of zeros.
        measured_on: number of images on which features were compared.
        differs: largest relative difference from the encoder's features with that mask.
        differs_from_zeros: and with a mask of zeros.
    """

    cohort: str | None
    organs: tuple[str, ...]
    cases: str | None
    patients: str | None
    before: list[Mapping[str, Any]]
    meaning: str | None
    numbers: Mapping[str, Any]
    in_channels: int
    out_channels: int
    mask: str
    value: float | None
    empty_mask_shown: bool
    measured_on: int
    differs: float
    differs_from_zeros: float

    @property
    def scans(self) -> int | None:
        """The number of training scans; None where it is not known."""
        return None if self.cases is None else len(self.cases.split())

    def noted(self) -> dict[str, Any]:
        """The facts as plain data; stages that learn on from the weights look for patients who are tested in them."""
        facts = {**asdict(self), "scans": self.scans, "organ_names": list(self.organs)}
        del facts["organs"]  # in notes of stages a hash
        return {key: value for key, value in facts.items() if value not in (None, []) or key == "value"}


def call_of(encoder: Any, in_channels: int, out_channels: int) -> tuple[str, str]:
    """The name of an encoder's network, and the arguments that make it."""
    network = type(encoder.whole(in_channels, out_channels)).__name__
    if network == "ResNet":
        shape = f"spatial_dims={encoder.spatial_dims}, n_input_channels={in_channels}, feed_forward=False"
        own = f"block={encoder.block!r}, layers={encoder.layers}, block_inplanes={encoder.widths}"
        return network, f"{own}, {shape}, conv1_t_size=3, conv1_t_stride=1, no_max_pool=True, bias_downsample=False"
    arguments: Mapping[str, Any] = encoder.arguments
    own = ", ".join(f"{name}={value!r}" for name, value in arguments.items())
    shape = f"spatial_dims={encoder.spatial_dims}, in_channels={in_channels}, out_channels={out_channels}"
    return network, f"{shape}, {own}"


def readme(out: Path, to: str, facts: Facts, folded: Folded) -> str:
    """The README's text."""
    encoder: Any = folded.encoder
    if to == "nnunet":
        code = NNUNET_LINES.format(configuration=encoder.configuration, plans=Path(encoder.plans).stem, file=out.name)
        code = f"```\n{code}```"
    else:
        lacking = folded.network.state_dict().keys() - folded.part.keys()
        decoder = sum(not name.endswith("num_batches_tracked") for name in lacking)  # which torch does not miss
        network, arguments = call_of(encoder, facts.in_channels, facts.out_channels)
        code = (
            f"```python\n{MONAI_LINES.format(network=network, arguments=arguments, file=out.name, decoder=decoder)}```"
        )
    scans = "scans" if facts.scans is None else f"{facts.scans} scans"
    return f"""# {out.name}: a pretrained encoder for {type(folded.network).__name__}

Pretrained with SemCL: contrastive learning on {scans}, which pulls {PULLED.get(str(facts.meaning), "what is alike")}
together and pushes others apart.

| | |
|---|---|
| organs | {", ".join(facts.organs)} |
| cohort | {facts.cohort or "not noted"} (hash) |
| input channels | {facts.in_channels} |
| intensities | window {facts.numbers["window"]}, scaled to -1 to 1: give the network the same |
| voxels | {facts.numbers["spacing"]} mm (0: as scanned), patches of {facts.numbers["patch_size"]} |
| features compared | pooling: {facts.numbers["pooling"]} |

## Fine-tuning

{code}

## The attention mask

{_about_mask(facts, folded.lost)}
"""


def _about_mask(facts: Facts, lost: list[str]) -> str:
    measured = f"On {facts.measured_on} images of the cohort"
    if facts.value is None:
        return f"""The last input channel is the attention mask of an organ, 0 or 1. {measured} the features of both
networks differ by at most {facts.differs:.2g} of their norm."""
    if not facts.numbers["show_attention"]:
        return f"""In pretraining the attention mask was hidden: the encoder saw zeros in its place, and they are folded
away. {measured} features differ by at most {facts.differs:.2g} of their norm from those with a mask of zeros."""
    text = f"""In pretraining the encoder also saw an organ's attention mask. Here it is folded away as a constant mask
of {facts.value:.3g} ({facts.mask}). {measured} features differ by at most {facts.differs:.2g} of their norm from those
with that mask, and by {facts.differs_from_zeros:.2g} from those with a mask of zeros."""
    if facts.value == 0 and not facts.empty_mask_shown:
        text += "\nPretraining never showed the encoder such a mask: `--mask mean` is closer to what it saw."
    if lost:
        text += f"""
{", ".join(lost)}: no bias, so that a mask other than zeros could not be kept there."""
    return text
