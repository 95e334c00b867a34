"""SemCL: semantic-aware contrastive learning for multi-object segmentation, as an extension of MONAI.

Imported as ``scripts`` by the bundle's configs and as ``semcl`` where the package is installed. The names below are
public; see CHANGELOG.md for what that means. What only the configs need is in ``components``. All names are imported
on first use, so that importing the package, and the command line's help, take no time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import components
from .lazy import imported_on_demand

if TYPE_CHECKING:  # for editors and type checkers; a test compares it with the table
    from .cohort.case import Case
    from .cohort.datalist import load as load_cases
    from .cohort.label_table import LabelTable
    from .contrast.loss import SemanticContrastiveLoss
    from .contrast.memory import QueryMemory
    from .errors import SemclError
    from .library.pretraining import pretrain
    from .library.segmenting import segment
    from .networks.cluster_head import ClusterHead
    from .networks.contrast_net import ContrastNet
    from .networks.decoder import AsppDecoder
    from .networks.encoder import QueryEncoder, check_encoder
    from .networks.pooling import PatchPooling, PointPooling, RegionPooling
    from .queries.dataset import QueryDataset
    from .queries.grid import QueryGrid
    from .queries.sampler import ClusterSampler
    from .queries.store import QueryStore
    from .queries.views import Views
    from .refine.inferer import QueryInferer
    from .refine.refiner import Refiner
    from .version import __version__

_PUBLIC = {  # name: module that defines it, and its name there if that is another
    "__version__": "version",
    "AsppDecoder": "networks.decoder",
    "Case": "cohort.case",
    "check_encoder": "networks.encoder",
    "ClusterHead": "networks.cluster_head",
    "ClusterSampler": "queries.sampler",
    "ContrastNet": "networks.contrast_net",
    "LabelTable": "cohort.label_table",
    "load_cases": "cohort.datalist:load",
    "PatchPooling": "networks.pooling",
    "PointPooling": "networks.pooling",
    "pretrain": "library.pretraining",
    "QueryDataset": "queries.dataset",
    "QueryEncoder": "networks.encoder",
    "QueryGrid": "queries.grid",
    "QueryInferer": "refine.inferer",
    "QueryMemory": "contrast.memory",
    "QueryStore": "queries.store",
    "Refiner": "refine.refiner",
    "RegionPooling": "networks.pooling",
    "segment": "library.segmenting",
    "SemanticContrastiveLoss": "contrast.loss",
    "SemclError": "errors",
    "Views": "queries.views",
}

__all__ = list(_PUBLIC)
__getattr__, __dir__ = imported_on_demand(__name__, _PUBLIC)
