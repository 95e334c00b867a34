"""What the bundle's configs use beyond the public names, as ``scripts.components.NAME``; it may change at any time."""

from __future__ import annotations

from .lazy import imported_on_demand

_COMPONENTS = {  # name: module that defines it, and its name there if that is another
    "AsSamples": "job.progress",
    "ToStoredLabels": "refine.volumes",
    "bundle_root": "bundle_folder",
    "Calibrate": "refine.calibration_fit",
    "Checkpoint": "job.checkpoint",
    "CoarseInferer": "coarse.inferer",
    "CoarseModel": "coarse.inferer",
    "cross_fit": "coarse.cross_fitting",
    "digest": "cohort.case",
    "Embedding": "embeddings.embedding",
    "Ensemble": "refine.ensemble",
    "Evaluation": "evaluate.evaluation",
    "FoldSampler": "coarse.fold_sampler",
    "IgnoringLoss": "networks.segmentation_loss",
    "in_training": "networks.device",
    "Job": "job.job",
    "join_ranks": "ranks",
    "leave_out": "cohort.selection",
    "leave_ranks": "ranks",
    "load_scales": "refine.calibration",
    "LoadMembers": "refine.ensemble",
    "LoadWeights": "job.weights",
    "LossCurve": "job.progress",
    "make_pooling": "networks.pooling",
    "models_dir": "bundle_folder",
    "on_device": "networks.device",
    "plain_errors": "job.plain_errors",
    "Predictions": "refine.predictions",
    "PrepareQueries": "refine.refiner",
    "PrepareViews": "contrast.positives",
    "PrepareVolume": "refine.volumes",
    "Progress": "job.progress",
    "provenance": "cohort.provenance",
    "ReadCoarse": "coarse.samples",
    "ReadVolume": "refine.volumes",
    "require_split": "cohort.provenance",
    "require_unseen": "cohort.provenance",
    "SaveWeights": "job.weights",
    "share_batch": "ranks:share",
    "share_of_patients": "cohort.selection",
    "shared": "job.shared",
    "trained": "job.weights",
    "AugmentedInference": "refine.test_time_augmentation",
    "VolumeDataset": "refine.volumes",
    "with_pseudo_labels": "cohort.selection",
    "write_maps": "coarse.maps",
    "WriteDicomSeg": "refine.dicom_seg",
    "WriteLabelMap": "refine.volumes",
}

__all__ = list(_COMPONENTS)
__getattr__, __dir__ = imported_on_demand(__name__, _COMPONENTS)
