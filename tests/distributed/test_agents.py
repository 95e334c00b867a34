"""Real torchrun: two nodes with an agent each, and a rank that is killed."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import torch

from tests.stages import ROOT, SMALL

from . import PATIENCE, free_port, logs, run_ranks

NUMBERS = {"max_epochs": 12, "epoch_length": 3, "clusters_per_batch": 4, "queries_per_cluster": 2}


def ip(*words):
    return subprocess.run(["ip", *words], capture_output=True, text=True, check=True)


@contextmanager
def namespaces():
    """Two network namespaces with a cable between them; for each a command prefix, its address and its interface."""
    names = [f"semcl{os.getpid()}{end}" for end in "ab"]
    try:
        for name in names:
            ip("netns", "add", name)
        ip("link", "add", names[0], "netns", names[0], "type", "veth", "peer", "name", names[1], "netns", names[1])
        for number, name in enumerate(names, start=1):
            ip("-n", name, "addr", "add", f"10.213.0.{number}/24", "dev", name)
            for card in ("lo", name):
                ip("-n", name, "link", "set", card, "up")
        yield [(["ip", "netns", "exec", name], "10.213.0.1", name) for name in names]
    finally:
        for name in names:
            with suppress(subprocess.CalledProcessError):
                ip("netns", "del", name)


@contextmanager
def loopback():
    yield [([], "127.0.0.1", "lo")] * 2


def allowed():
    """Whether this machine lets us make network namespaces."""
    try:
        with namespaces():
            return True
    except (OSError, subprocess.CalledProcessError):
        return False


NETWORKS = [namespaces if allowed() else loopback]  # the other test here starts an agent on loopback


@contextmanager
def agents(stage, out, nodes, ranks_a_node, **overrides):
    """Start torchrun on every node; all of their processes end with the block."""
    out.mkdir(parents=True, exist_ok=True)
    port, processes = free_port(), []
    given = {"output_dir": out, "bundle_root": ROOT / "bundle"} | SMALL[stage] | overrides
    configs = [str(ROOT / "bundle" / "configs" / f"{name}.yaml") for name in (stage, "multi_gpu_train")]
    for number, (prefix, address, card) in enumerate(nodes):
        launch = {"nnodes": len(nodes), "node_rank": number, "nproc_per_node": ranks_a_node}
        launch |= {"master_addr": address, "master_port": port}
        command = [*prefix, sys.executable, "-m", "torch.distributed.run"]
        command += [f"--{name}={value}" for name, value in launch.items()]
        command += ["-m", "monai.bundle", "run", "--config_file", str(configs)]
        command += [word for name, value in given.items() for word in (f"--{name}", str(value))]
        with open(out / f"rank{number}.log", "w") as log:
            own = {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": card}
            processes.append(
                subprocess.Popen(
                    command, stdout=log, stderr=log, cwd=ROOT, env=os.environ | own, start_new_session=True
                )
            )
    try:
        yield processes
    finally:
        for process in processes:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def worker(agent, rank):
    """The process of a rank, by the variables its agent set."""
    children = Path(f"/proc/{agent.pid}/task/{agent.pid}/children").read_text().split()
    for child in children:
        with suppress(OSError):
            if f"RANK={rank}".encode() in Path(f"/proc/{child}/environ").read_bytes().split(b"\0"):
                return int(child)
    raise AssertionError(f"no rank {rank} among {children}")


def wait_for(path):
    end = time.monotonic() + PATIENCE
    while not path.exists():
        assert time.monotonic() < end, f"no {path.name}: {logs(path.parent.parent)}"
        time.sleep(0.01)


@pytest.fixture(scope="module")
def folders(phantoms, tmp_path_factory):
    store = tmp_path_factory.mktemp("store") / "store"
    return {"dataset_dir": phantoms, "attention_dir": phantoms / "labels", "store_dir": store, **NUMBERS}


@pytest.fixture(scope="module")
def whole(folders, tmp_path_factory):
    """The results of two ranks that were not interrupted."""
    out = tmp_path_factory.mktemp("whole")
    assert run_ranks("pretrain", 2, out, **folders) == [0, 0], logs(out)
    return out


def same(one, other):
    weights = [torch.load(out / "models" / "encoder.pt", weights_only=True) for out in (one, other)]
    curves = [(out / "curves" / "pretrain.csv").read_text() for out in (one, other)]
    return curves[0] == curves[1] and all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


@pytest.mark.parametrize("network", NETWORKS, ids=lambda network: network.__name__)
def test_two_nodes_with_an_agent_each_give_the_result_of_one_node_with_two_ranks(network, folders, whole, tmp_path):
    with network() as nodes, agents("pretrain", tmp_path, nodes, 1, **folders) as started:
        codes = [agent.wait(PATIENCE) for agent in started]
    assert codes == [0, 0], logs(tmp_path)
    assert same(whole, tmp_path)


def test_a_killed_rank_ends_the_job_which_then_resumes_exactly(folders, whole, tmp_path):
    with loopback() as nodes, agents("pretrain", tmp_path, nodes[:1], 2, **folders) as (agent,):
        wait_for(tmp_path / "jobs" / "pretrain.checkpoint.pt")
        os.kill(worker(agent, 1), signal.SIGKILL)
        assert agent.wait(PATIENCE) != 0
    log = (tmp_path / "rank0.log").read_text()
    assert "another rank was lost" in log or "stopped by SIGTERM" in log, log
    assert "go on with --resume True" in log
    assert "[rank0]: Traceback" not in log, log
    assert json.loads((tmp_path / "jobs" / "pretrain.json").read_text())["status"] in ("failed", "interrupted")
    assert not (tmp_path / "models" / "encoder.pt").exists()
    copy = shutil.copytree(tmp_path, tmp_path / "copy")
    assert run_ranks("pretrain", 2, tmp_path, resume=True, **folders) == [0, 0], logs(tmp_path)
    assert same(whole, tmp_path)
    assert run_ranks("pretrain", 1, copy, resume=True, **folders) == [0], logs(copy)
