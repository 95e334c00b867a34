"""SemCL as an algorithm of MONAI's Auto3DSeg: docs/auto3dseg.md."""

from .algo import SemclAlgo, template_path
from .chain import train
from .infer import InferClass

__all__ = ["InferClass", "SemclAlgo", "template_path", "train"]
