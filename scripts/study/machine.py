"""The device that a study runs on, by its model."""

from __future__ import annotations

import platform
from pathlib import Path

import torch

CPU_INFO = Path("/proc/cpuinfo")


def machine() -> str:
    """The device that costs hold for: the model of the GPU, else of the processor."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    lines = CPU_INFO.read_text().splitlines() if CPU_INFO.is_file() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()
