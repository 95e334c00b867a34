"""``python -m scripts export-encoder``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from .options import Count, NewPath, checked

if TYPE_CHECKING:
    import torch

    from ..cohort.label_table import LabelTable

TOLD = ("window", "spacing", "patch_size", "pooling", "show_attention")  # that users of an encoder need to know
COMPARED, AVERAGED = 4, 64  # on which features are compared, and over which attention is averaged


@checked
def export_encoder(
    to: str,
    out: NewPath,
    dataset_dir: str,
    mask: str | None = None,
    weights: str | None = None,
    outputs: Count | None = None,
    bundle_root: str | None = None,
    overlay: str | None = None,
    **overrides: Any,
) -> None:
    """Write pretrained weights for an ordinary network of MONAI or nnU-Net, and a README beside them.

    Args:
        to: segresnet, segresnetds, dynunet, swinunetr, flexibleunet, unet, resnet or nnunet.
        out: the file of weights to write.
        dataset_dir: the cohort, after pretraining.
        mask: constant attention that is folded in: zeros, ones, mean (of the cohort) or keep, for the input channel;
            zeros unless given, but mean where pretraining showed the mask in every view.
        weights: the encoder's; models/encoder.pt of the cohort unless given.
        outputs: classes of the network, background too; those of the cohort unless given.
        bundle_root: folder of the bundle, by default that of this installation.
        overlay: the config file given to pretraining, where it names another encoder; by default the cohort's, kept by
            run.
        overrides: settings: given, for weights that do not note their settings; then also the numbers of pretraining.
    """
    from ..cohort.provenance import BEFORE, note_of
    from ..export.export import check_kind, checked_fold, mask_value, usual_mask, write_export
    from ..export.readme import Facts
    from ..job.weights import load_weights
    from .stages import components_of

    used = {"settings_of": [weights] if weights else "$[@shared.ckpt_dir + '/encoder.pt']"}
    parser = components_of("pretrain", dataset_dir, bundle_root, overlay, overrides | used)
    encoder, shared = parser.get_parsed_content("encoder"), parser.get_parsed_content("shared")
    check_kind(encoder, to)
    path = Path(weights) if weights else Path(shared.ckpt_dir) / "encoder.pt"
    load_weights(path, encoder, "pretrain.yaml")
    empty = not shared.show_attention or parser.get_parsed_content("pool").hides
    mask = mask or usual_mask(empty)
    value = mask_value(mask, _shares(shared) if mask == "mean" else [], shared.show_attention)
    images, classes = _images(shared), outputs or len(shared.labels) + 1
    folded, differs, from_zeros = checked_fold(encoder, images, classes, value)
    note = note_of(path)
    facts = Facts(
        cohort=note.get("cohort"),
        organs=_table_of(path, shared.labels).names,
        cases=note.get("cases"),
        patients=note.get("patients"),
        before=note.get(BEFORE, []),
        meaning=note.get("meaning"),
        numbers={key: getattr(shared, key) for key in TOLD},
        in_channels=images.shape[1] + (value is None),
        out_channels=classes,
        mask=mask,
        value=value,
        empty_mask_shown=empty,
        measured_on=len(images),
        differs=differs,
        differs_from_zeros=from_zeros,
    )
    for made in write_export(Path(out), folded, to, facts):
        print(made)


def _table_of(weights: Path, own: LabelTable) -> LabelTable:
    """The label table beside weights, that they were made with; the cohort's ``own`` where none is there."""
    from ..cohort.label_table import LabelTable

    return LabelTable.load(weights.parent) if (weights.parent / "labels.yaml").is_file() else own


def _images(shared: Any) -> torch.Tensor:
    """The middles of a few training scans, as an ordinary network sees them: windowed, on the grid."""
    import torch
    from monai.transforms import ResizeWithPadOrCrop

    from ..cohort.volume import read
    from ..multiclass.grid import SegmentGrid

    dims, side = shared.spatial_dims, shared.patch_size
    grid = SegmentGrid(dims, [side] * dims, shared.spacing, shared.window)
    crop = ResizeWithPadOrCrop(grid.box, mode="edge")
    training = [case for case in shared.cases if case.fold is not None][:COMPARED]
    crops = [torch.as_tensor(crop(grid.image(read(case.image, case.id, shared.image_channels)))) for case in training]
    return torch.stack([one if dims == 3 else one[..., 0] for one in crops])


def _shares(shared: Any) -> list[float]:
    """The shares of some queries that their attention covers."""
    import torch

    from ..queries.dataset import QueryDataset

    dataset = QueryDataset(shared.store)
    chosen = torch.linspace(0, len(dataset) - 1, min(AVERAGED, len(dataset))).long().tolist()
    return [float(dataset[index]["attention"].float().mean()) for index in chosen]
