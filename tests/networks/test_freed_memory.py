"""Memory that a training frees stays with its process."""

import subprocess
import sys

import pytest

from tests.stages import ROOT

STEPS = """
import ctypes, resource, sys
import torch
from scripts.networks.freed_memory import MMAP_THRESHOLD, TRIM_THRESHOLD, keep_freed_memory
for threshold in (MMAP_THRESHOLD, TRIM_THRESHOLD):
    ctypes.CDLL(None).mallopt(threshold, 2**17)  # glibc begins with that, and may raise it as it goes
keeps = keep_freed_memory() if sys.argv[1] == "keep" else None
def step():
    blocks = [torch.ones(2**20) for _ in range(30)]  # of 4 MiB
for _ in range(3):
    step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    step()
print(keeps, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def steps(how, **environment):
    """Whether memory is kept, and the pages that ten steps were given anew."""
    done = subprocess.run(
        [sys.executable, "-c", STEPS, how], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    keeps, faults = done.stdout.split()
    return keeps, int(faults)


@pytest.mark.skipif(sys.platform != "linux", reason="glibc alone has these settings")
def test_later_steps_are_given_no_pages_anew():
    given_back, (keeps, kept) = steps("leave")[1], steps("keep")
    assert keeps == "True"
    assert given_back > 10_000  # 300 blocks of 1,024 pages
    assert kept < given_back / 20


def test_settings_of_the_environment_stay():
    assert steps("keep", MALLOC_TRIM_THRESHOLD_="131072")[0] == "False"
