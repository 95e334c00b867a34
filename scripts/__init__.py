"""SemCL: semantic-aware contrastive learning for multi-object segmentation, as an extension of MONAI.

Imported as ``scripts`` by the bundle's configs and as ``semcl`` where the package is installed.
"""

from . import ranks
from .cohort.attention import require_attention
from .cohort.coarse import CoarseInferer, CoarseModel, FoldSampler, ReadCoarse, cross_fit, write_maps
from .cohort.datalist import Case, digest, leave_out
from .cohort.datalist import load as load_cases
from .cohort.labels import LabelTable
from .contrast.dataset import QueryDataset
from .contrast.encoder import ContrastNet, QueryEncoder
from .contrast.head import ClusterHead
from .contrast.loss import SemanticContrastiveLoss
from .contrast.memory import QueryMemory
from .contrast.query import QueryGrid
from .contrast.sampler import ClusterSampler
from .contrast.store import QueryStore
from .contrast.views import PrepareViews, Views
from .decode.aspp import AsppDecoder
from .decode.calibration import Calibrate, Calibration, LoadCalibration
from .decode.dicom_seg import WriteDicomSeg
from .decode.ensemble import Ensemble, LoadMembers
from .decode.inferer import QueryInferer
from .decode.islands import RemoveIslands
from .decode.predictions import Predictions
from .decode.refiner import PrepareQueries, Refiner
from .decode.turns import Turns
from .decode.volumes import PrepareVolume, ReadVolume, WriteLabelMap
from .device import in_training, on_device
from .errors import SemclError
from .handover import LoadWeights, SaveWeights, trained
from .job.checkpoint import Checkpoint
from .job.job import Job
from .job.trouble import plain_errors
from .progress import LossCurve, Progress
from .settings import load_common
from .version import __version__

__all__ = [
    "AsppDecoder",
    "Calibrate",
    "Calibration",
    "Case",
    "Checkpoint",
    "ClusterHead",
    "ClusterSampler",
    "CoarseInferer",
    "CoarseModel",
    "ContrastNet",
    "Ensemble",
    "FoldSampler",
    "Job",
    "LabelTable",
    "LoadCalibration",
    "LoadMembers",
    "LoadWeights",
    "LossCurve",
    "Predictions",
    "PrepareQueries",
    "PrepareViews",
    "PrepareVolume",
    "Progress",
    "QueryDataset",
    "QueryEncoder",
    "QueryGrid",
    "QueryInferer",
    "QueryMemory",
    "QueryStore",
    "ReadCoarse",
    "ReadVolume",
    "Refiner",
    "RemoveIslands",
    "SaveWeights",
    "SemanticContrastiveLoss",
    "SemclError",
    "Turns",
    "Views",
    "WriteDicomSeg",
    "WriteLabelMap",
    "__version__",
    "cross_fit",
    "digest",
    "in_training",
    "leave_out",
    "load_cases",
    "load_common",
    "on_device",
    "plain_errors",
    "ranks",
    "require_attention",
    "trained",
    "write_maps",
]
