"""The benchmarks run, at sizes too small to measure speed."""

import io
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from monai.losses import DiceCELoss
from pytorch_metric_learning.losses import SupConLoss

from bench import alternatives, files, gpu, inference, loss, plan, scale, scene, step, store, timing, views
from bench import costs as of_one
from bench.__main__ import main
from scripts.contrast.loss import SemanticContrastiveLoss
from tests.conftest import write_nifti


def test_candidates_are_timed_in_turn_and_compared_round_by_round(monkeypatch):
    clock = iter([0, 2, 2, 4, 0, 2, 10, 14, 20, 21, 30, 36])  # to warm up, then two rounds: 2, 4 and 1, 6
    monkeypatch.setattr(timing.time, "perf_counter", lambda: next(clock))
    ran = []
    found = timing.compare({"a": lambda: ran.append("a"), "b": lambda: ran.append("b")}, 2)
    assert ran == ["a", "b"] * 3  # once to warm up
    assert found == {"a": (1.5, 1.0), "b": (5.0, 4.0)}


def test_a_slow_first_run_does_not_make_a_quick_candidate_run_once_a_round(monkeypatch):
    clock = iter([0.0, 0.9, 0.0, 0.0099, 2.0, 2.05])  # the first run, the second, and five of a round
    monkeypatch.setattr(timing.time, "perf_counter", lambda: next(clock))
    ran = []
    found = timing.compare({"a": lambda: ran.append("a")}, 1)
    assert found["a"] == (pytest.approx(0.01), 1.0)
    assert len(ran) == 2 + 1 + 5  # before a round's five, one that is not timed


def test_a_table_is_markdown():
    assert timing.table(["a", "b"], [[1, "x"]]) == "| a | b |\n| --- | --- |\n| 1 | x |"


def test_the_loss_is_compared_with_its_peers(monkeypatch):
    monkeypatch.setattr(loss, "in_new_process", lambda module, name, count: [count**1.5])
    text = loss.report(sizes=((48, 8),), memory=(64, 128, 256), rounds=1, compiled=False)
    for name in ("three dense products", "pytorch-metric-learning", "MONAI ContrastiveLoss", "with pair weights"):
        assert name in text
    assert "Ours grows as N^1.50 from 128 to 256" in text
    assert text.count("one run each") == text.count("medians of 101 interleaved rounds") == 1


def test_peak_memory_is_measured_in_a_process_of_its_own():
    assert 0 <= timing.in_new_process("bench.peak", "ours", 600)[0] < 1000


def test_all_compared_implementations_compute_the_same_loss():
    embeddings, labels = torch.randn(48, 8), torch.arange(48) % loss.CLASSES
    ours = SemanticContrastiveLoss(loss.TEMPERATURE)(embeddings, labels)
    assert torch.allclose(ours, loss.dense(embeddings, labels), rtol=1e-5)
    assert torch.allclose(ours, SupConLoss(loss.TEMPERATURE)(embeddings, labels), rtol=1e-5)


def test_alternatives_are_measured_beside_what_is_used():
    text = alternatives.report(rounds=1, scale=0.2)
    found = [line.split("|")[2].strip() for line in text.splitlines() if "| 1.00 |" in line]
    assert {"DiceCELoss", "channels_last", "grid made each time", "get_surface_distance"} <= set(found)


def test_an_alternative_computes_the_same():
    logits, label = torch.randn(2, 4, 6, 7), torch.randint(0, 4, (2, 1, 6, 7))
    monai = {key: value for key, value in alternatives.SEGMENT["segmentation_loss"].items() if key != "_target_"}
    ours = DiceCELoss(**monai)(logits, label)
    assert torch.allclose(alternatives.DiceCEOnce()(logits, label), ours, atol=1e-4)
    by_monai, by_tree = (run() for run in alternatives.trees(12.0).values())
    assert by_monai == pytest.approx(by_tree)


def test_views_are_compared_with_their_peers():
    text = views.report(cases=((2, 2, 16), (3, 2, 12)), rounds=1)
    assert text.count("MONAI transforms |") == 4
    assert text.count("kornia |") == 2
    assert text.count(views.LOADER) == 2
    assert "medians of 1 interleaved rounds" in text


def test_a_run_of_the_loader_is_an_epoch_of_batches_by_workers_that_stay(monkeypatch):
    made = []

    class Loader(views.DataLoader):
        def __init__(self, *given, **options):
            super().__init__(*given, **options)
            made.append(self)

    monkeypatch.setattr(views, "DataLoader", Loader)
    run = views.loader(2, torch.rand(3, 1, 8, 8), torch.ones(3, 1, 8, 8))
    (loader,) = made
    workers = [worker.pid for worker in loader._iterator._workers]
    run()
    assert [worker.pid for worker in loader._iterator._workers] == workers
    assert len(workers) == views.WORKERS
    batches = list(loader)
    assert len(batches) == views.EPOCH
    assert batches[0]["image"].shape == (3, 1, 8, 8)


def test_the_store_is_compared_with_whole_volumes_and_its_memory_measured(tmp_path):
    text = store.reading(tmp_path / "read", count=2, shape=(160, 150, 6), rounds=1)
    assert [line.split("|")[1].strip() for line in text.splitlines()[-3:]] == [
        "QueryStore",
        "PersistentDataset and crop",
        "CacheDataset, all volumes in memory, and crop",
    ]
    text = store.memory(tmp_path / "many", cohorts=(3,), shape=(40, 40, 8))
    assert "| 3 |" in text
    assert "one run each" in text


def test_a_step_is_timed_by_part(phantoms, monkeypatch):
    monkeypatch.setattr(step, "phantom", lambda out, **given: shutil.copytree(phantoms, out))
    tiny = {"clusters_per_batch": 2, "queries_per_cluster": 2}
    text = step.report({"tiny": (tiny, 4, [{}, {"channels_last": False}])}, rounds=1)
    row = next(line for line in text.splitlines() if line.startswith("| tiny"))
    shares = [float(cell.strip(" %")) for cell in row.split("|")[3:8]]
    assert sum(shares) == pytest.approx(100, abs=1)
    assert "channels_last: false" in text


def test_inference_is_compared_with_a_loop_and_with_sliding_windows():
    sizes = {"organs": (1, 13), "paddings": (40,), "spacing": (6, 6, 40), "slices": (8,)}
    text = inference.report(["QueryInferer"], rounds=1, **sizes, larger_numbers=scene.NUMBERS)
    assert text.count("plain loop |") == text.count("| coarse map, slice by slice |") == 2
    bare, ours = (line.split("|") for line in text.split("standard.yaml")[1].splitlines()[4:6])
    assert (bare[1].strip(), ours[1].strip()) == ("forward passes alone", "QueryInferer")
    assert float(bare[3]) == 1
    assert text.count("medians of 1 interleaved rounds") == 4  # of each table but that of processes, which says its own
    assert 0.5 < float(ours[3]) < 10
    grown = [line.split("|")[2:4] for line in text.splitlines() if line.startswith(("| 1 | ", "| 13 | "))][-3:]
    (_, few), (small, many), (large, as_many) = grown
    assert " x 8 |" in text  # slices
    assert int(few) < int(many) == int(as_many)
    assert small != large


def test_the_loop_predicts_what_the_inferer_predicts():
    volume = scene.Scene(spacing=(4, 4, 20))
    assert (volume.ours() == volume.loop()).float().mean() > 0.99
    assert set(volume.ours().unique().tolist()) == set(volume.attention.unique().tolist())


def test_a_sliding_window_gives_a_map_of_the_whole_volume(monkeypatch):
    monkeypatch.setattr(scene, "USUAL", (8, 8, 20))
    monkeypatch.setattr(scene, "WINDOW", (32, 32, 16))
    volume = scene.Scene(spacing=(6, 6, 40))
    assert volume.run("SegResNet, sliding window")().shape == volume.image.shape[2:]


def test_both_coarse_maps_show_the_organs_where_they_are():
    volume = scene.Scene(spacing=(4, 4, 20))
    for coarse in (volume.coarse(), volume.coarse_volume()):
        assert (coarse() == volume.attention).float().mean() > 0.97
    assert torch.equal(volume.coarse()(), volume.coarse()())


def test_time_within_a_part_is_not_that_of_the_part_around_it(monkeypatch):
    clock_of = iter([0, 1, 3, 7, 8, 10])  # begins, post-processing, writing in it, its end, the other end, the rest
    monkeypatch.setattr(files.time, "process_time", lambda: next(clock_of))
    clock = files.Clock()
    clock.timed(files.POST, clock.timed(files.WRITE, lambda: None))()
    clock.switch(files.READ)
    found = {part: seconds for part, seconds in clock.seconds.items() if seconds}
    assert found == {files.REST: 1 + 2, files.POST: 2 + 1, files.WRITE: 4}


def test_a_scan_is_timed_from_file_to_file(tmp_path):
    files.write_folder(tmp_path, (64, 64, 8))
    flow = files.stage(tmp_path, str(tmp_path / "made"))
    assert flow.parser.get_parsed_content("inferer").grid.box == (*[files.GRID["patch_size"]] * 2, 1)
    found = dict(zip(files.NAMES, timing.in_new_process("bench.files", tmp_path), strict=True))
    assert all(found[part] > 0 for part in files.PARTS)
    assert found[files.QUERIES] > files.ORGANS


def test_of_a_scan_the_quickest_process_and_the_most_memory_are_reported(monkeypatch):
    runs = iter([[5, 5, 5, 5, 5, 5, 5, 900, 7], [1, 2, 30, 4, 5, 6, 7, 800, 7], [1, 2, 3, 4, 5, 6, 7, 700, 7]])
    monkeypatch.setattr(
        files, "write_folder", lambda folder, shape: write_nifti(folder / "images" / "a.nii.gz", voxels)
    )
    monkeypatch.setattr(files, "in_new_process", lambda *given: next(runs))
    voxels = np.zeros((2, 2, 2), np.int16)
    text = files.report([(8, 8, 4)], rounds=3)
    lines = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")]
    cells = dict(line for line in lines if len(line) == 2)
    assert cells["in all, s"] == "28.0"
    assert cells["the network, s"] == "3.0"
    assert cells["everything else, s"] == "25.0"
    assert cells["of it writing, s"] == "6.0"
    assert cells[files.MEMORY] == "900"
    assert "quickest of 3 processes" in text
    assert "under 25 s and 2 GiB" in text


@pytest.fixture(scope="module")
def costs():
    return of_one.measured(spacing=(6, 6, 40), count=3, patients=50)


def test_every_cost_of_a_scan_and_a_query_is_measured(costs):
    assert min(costs.values()) > 0
    assert costs["inference network"] < costs["inference"]


def test_the_page_on_scale_is_computed_from_what_was_measured(costs):
    text = scale.report(costs, {})
    rows = [line for line in text.splitlines() if line.startswith("| 1,000,000 | 64 |")]
    assert len(rows) == 2
    slower = scale.report({name: cost * 10 for name, cost in costs.items()}, {})
    assert slower != text
    counts = [int(row[1].replace(",", "")) for row in plan.limits(costs, plan.Assumed())]
    assert counts == sorted(counts)


def test_scans_of_more_slices_are_measured_beside_the_usual_ones(costs):
    longer = of_one.of_longer_scans(spacing=(6, 6, 40), slices=(12,))
    assert longer[12].keys() < costs.keys()
    assert min(longer[12].values()) > 0
    text = scale.report(costs, {12: dict.fromkeys(longer[12], 1.234)})
    assert f"| a scan of | {costs['slices']:.0f} slices | 12 slices |" in text
    assert text.count(" | 1,234 ms |") == len(longer[12])


def test_more_scans_take_longer_and_more_gpus_shorter_until_the_disk_is_the_limit(costs):
    def hours(scans, gpus):
        return plan.Plan(costs, scans, gpus).hours()

    small, large = hours(100, 8), hours(10_000, 8)
    assert all(large[stage] == pytest.approx(100 * small[stage]) for stage in small)
    assert hours(10_000, 8)["evaluate"] < hours(10_000, 1)["evaluate"]
    slow = plan.Assumed(disk=1.0)
    ends = [plan.Plan(costs, 100, gpus, slow).over_cases(1, 1, 5) for gpus in (1, 64)]
    assert ends == [500, 500]


def test_the_time_of_a_step_is_the_sum_of_its_parts():
    one = plan.Plan({}, 10, 16, plan.Assumed(gpu_over_core=2, cores_a_gpu=4, network=8, latency=0.5, metadata=32))
    assert one.step(network=8, wire=2, calls=3) == 8 / 2 + 3 * 0.5 + 2 * 8 / 8
    assert one.step(network=1, wire=0, calls=0, read=12, files=4, draw=7) == max(12 / 4, 4 * 16 / 32) + 7


def test_the_gpu_benchmark_runs_on_a_cpu_too(phantoms, capfd, monkeypatch):
    monkeypatch.setattr(gpu, "phantom", lambda out, **given: shutil.copytree(phantoms, out, dirs_exist_ok=True))
    for section in gpu.SECTIONS:
        gpu.main([section, "--smoke"])
    printed = capfd.readouterr().out
    lines = [json.loads(line) for line in printed.splitlines()]
    assert {line["section"] for line in lines} == set(gpu.SECTIONS)
    assert all(line["ms"] > 0 and (line["kernels"] or line["section"] == "study") for line in lines)
    monkeypatch.setattr("sys.stdin", io.StringIO(printed))
    gpu.main(["table"])
    assert capfd.readouterr().out.count("\n") == len(lines) + 2


SCRIPT = Path(gpu.__file__).with_name("gpu.sh")


def test_the_gpu_script_goes_on_after_a_section_that_is_late_prints_the_table_and_fails(tmp_path):
    out = tmp_path / "gpu.jsonl"
    given = {"OUT": str(out), "PYTHON": sys.executable, "SECTIONS": "views 0.1\nloss 300"}
    command = ["bash", str(SCRIPT), "--smoke"]
    done = subprocess.run(command, env=os.environ | given, capture_output=True, text=True, check=False)
    (line,) = map(json.loads, out.read_text().splitlines())
    assert line["section"] == "loss"
    assert done.stdout.splitlines()[2].startswith("| loss | 48 rows |")
    assert "views: exit code 124" in done.stderr
    assert done.returncode == 124


def test_the_deadlines_of_the_gpu_script_leave_half_a_minute_of_eight():
    text = SCRIPT.read_text()
    table = int(re.search(r"timeout -k 2 (\d+) .* table", text)[1])
    deadlines = dict(re.findall(r"\b(" + "|".join(gpu.SECTIONS) + r") (\d+)\b", text))
    assert deadlines.keys() == gpu.SECTIONS.keys()
    assert sum(map(int, deadlines.values())) + table == 450


def test_an_unknown_benchmark_is_refused():
    with pytest.raises(SystemExit, match="there are loss, views, store, step, inference, files, scale"):
        main(["los"])
