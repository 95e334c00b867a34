"""SemCL: semantic-aware contrastive learning for multi-object segmentation, as an extension of MONAI.

Imported as ``scripts`` by the bundle's configs and as ``semcl`` where the package is installed.
"""

from .cohort.attention import require_attention
from .cohort.coarse import CoarseInferer, CoarseModel, FoldSampler, ReadCoarse, cross_fit
from .cohort.datalist import Case, digest
from .cohort.datalist import load as load_cases
from .cohort.labels import LabelTable
from .contrast.encoder import ContrastNet, QueryEncoder
from .contrast.head import ClusterHead
from .contrast.loss import SemanticContrastiveLoss
from .contrast.query import QueryGrid
from .contrast.sampler import ClusterSampler
from .contrast.store import QueryDataset, QueryStore
from .contrast.views import PrepareViews, Views
from .decode.aspp import AsppDecoder
from .decode.inferer import QueryInferer
from .decode.refiner import PrepareQueries, Refiner
from .decode.volumes import PrepareVolume, ReadVolume, WriteLabelMap
from .device import on_device
from .errors import SemclError, plain_errors
from .handover import LoadWeights, SaveWeights
from .progress import LossCurve, Progress
from .settings import load_common
from .version import __version__

__all__ = [
    "AsppDecoder",
    "Case",
    "ClusterHead",
    "ClusterSampler",
    "CoarseInferer",
    "CoarseModel",
    "ContrastNet",
    "FoldSampler",
    "LabelTable",
    "LoadWeights",
    "LossCurve",
    "PrepareQueries",
    "PrepareViews",
    "PrepareVolume",
    "Progress",
    "QueryDataset",
    "QueryEncoder",
    "QueryGrid",
    "QueryInferer",
    "QueryStore",
    "ReadCoarse",
    "ReadVolume",
    "Refiner",
    "SaveWeights",
    "SemanticContrastiveLoss",
    "SemclError",
    "Views",
    "WriteLabelMap",
    "__version__",
    "cross_fit",
    "digest",
    "load_cases",
    "load_common",
    "on_device",
    "plain_errors",
    "require_attention",
]
