"""Memory that a training step needs, counted without running it: python -m bench.kept --cohort COHORT [--check True]

Networks of the overlays' sizes are run on fake tensors, which have shapes alone. What a forward pass keeps for
the backward pass, weights, their gradients and the state of AdamW are counted; what is not, such as the workspace of
convolutions, is why a preset for a card plans with ``FILLED`` of it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import fire
import torch
from monai.bundle import ConfigWorkflow
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from scripts.networks.checkpointing import Checkpointed, checkpoint_blocks
from scripts.networks.precision import set_precision

CONFIGS = Path("bundle/configs")
CARDS = {"card_12": 12, "card_24": 24, "card_80": 80}  # overlays after standard.yaml -> GiB
STAGES = ("coarse", "pretrain", "train", "segment")
FILLED, GIB = 0.8, 2**30
STATES = 4 * 4 + 2  # bytes per weight: float32 weight, gradient and two moments of AdamW, and a copy at 16 bits


def kept_for_backward(network: nn.Module, inputs: torch.Tensor) -> int:
    """Bytes that a forward pass in training keeps for the backward pass, weights apart.

    Args:
        network: in training; of blocks that are checkpointed their inputs count.
        inputs: of one step, on the network's device.
    """
    seen: dict[int, torch.UntypedStorage] = {}  # which are held, so that no address is used twice
    weights = {weight.untyped_storage()._cdata for weight in network.parameters()}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in weights:
            seen[storage._cdata] = storage
        return tensor

    def keep_inputs(block: nn.Module, given: tuple[torch.Tensor, ...]) -> None:
        for one in given:
            keep(one)

    blocks = [block for block in network.modules() if isinstance(block.__dict__.get("forward"), Checkpointed)]
    held = [block.register_forward_pre_hook(keep_inputs) for block in blocks]
    try:
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            outputs = network.train()(inputs)
    finally:
        for handle in held:
            handle.remove()
    del outputs
    return sum(storage.nbytes() for storage in seen.values())


def step_bytes(stage: str, overlays: list[str], cohort: str) -> int:
    """Bytes of a training step of a stage under overlays."""
    files = [str(CONFIGS / f"{name}.yaml") for name in (stage, *overlays)]
    flow = ConfigWorkflow(files, bundle_root="bundle", dataset_dir=cohort, logging_file=False, settings="given")
    flow.initialize()
    shared = flow.parser.get_parsed_content("shared")
    shape = _shape(stage, flow.parser, shared)
    with FakeTensorMode():
        network: nn.Module = flow.parser.get_parsed_content("network_def")
        if shared.gradient_checkpointing:
            network = checkpoint_blocks(network)
        half = "float32" if shared.precision == "float32" else "bfloat16"  # either is 16 bits
        network = set_precision(network, half, "cpu")
        weights = sum(weight.numel() for weight in network.parameters())
        return kept_for_backward(network, torch.zeros(shape)) + STATES * weights


def _shape(stage: str, parser: Any, shared: Any) -> tuple[int, ...]:
    """The shape of a step's inputs."""
    number, channels = parser.get_parsed_content, shared.image_channels
    if stage == "coarse":
        return (number("batch_size"), channels, *shared.coarse_size)
    if stage == "segment":
        return (
            number("batch_size"),
            channels,
            *(shared.segment_size if shared.segment_dims == 2 else shared.segment_patch),
        )
    queries = number("clusters_per_batch") * number("queries_per_cluster")
    sides = (shared.patch_size,) * shared.spatial_dims
    return (2 * queries, channels + 3, *sides) if stage == "pretrain" else (queries, channels + 1, *sides)


def main(cohort: str, check: bool = False) -> None:
    """Print GiB of a step by stage and preset; with ``check`` exit with 1 where a card's is more than it plans with."""
    over = []
    print("| | " + " | ".join(STAGES) + " |\n|---|" + "---|" * len(STAGES))
    for name in ("standard", *CARDS):
        overlays = ["standard"] if name == "standard" else ["standard", name]
        found = [step_bytes(stage, overlays, cohort) / GIB for stage in STAGES]
        print(f"| `{name}.yaml` | " + " | ".join(f"{size:.1f}" for size in found) + " |")
        over += [name] if max(found) > FILLED * CARDS.get(name, float("inf")) else []
    if check and over:
        raise SystemExit(f"more than {FILLED:.0%} of the card: {', '.join(over)}")


if __name__ == "__main__":
    fire.Fire(main)
