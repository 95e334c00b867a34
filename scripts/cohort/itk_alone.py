"""ITK without torch, which takes seconds to import."""

from __future__ import annotations

import sys
from threading import Lock
from typing import Any

_ONE_AT_A_TIME = Lock()


def itk_alone() -> Any:
    """Return the module ``itk``, which is slow to import itself, and does not import torch unless it is there already.

    ITK imports torch wherever it is installed, to accept tensors as images. Nothing here passes it a tensor; to filters
    of a process that had not imported torch, one is then an array like any other. Of several threads one imports it:
    the others would get a part of it.
    """
    with _ONE_AT_A_TIME:
        import itk
        from itk.support import helpers

        if "torch" not in sys.modules and hasattr(helpers, "_HAVE_TORCH"):
            helpers._HAVE_TORCH = False
        return itk
