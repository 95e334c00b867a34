"""The embed stage: encoders with known results, files written, options refused."""

import csv
import json
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.metrics import silhouette_score
from threadpoolctl import threadpool_limits
from torch import nn

from scripts.cohort import datalist
from scripts.cohort.case import Case
from scripts.cohort.label_table import LabelTable
from scripts.commands.embed import embed as command
from scripts.embeddings import embedding as module
from scripts.embeddings.embedding import Embedding, embedding_measures
from scripts.embeddings.neighbours import chance, nearest
from scripts.errors import SemclError, root_cause
from scripts.evaluate.report import read_embeddings
from scripts.job.weights import save_weights
from scripts.networks.encoder import QueryEncoder
from scripts.networks.pooling import PatchPooling, masked_mean
from scripts.outputs import visible
from scripts.queries.grid import QueryGrid
from scripts.queries.store import QueryStore
from tests.conftest import write_nifti
from tests.embeddings.test_table import embeddings, encoder, random_embeddings
from tests.stages import NO_SETTINGS, ROOT, as_if_a_process_ended, refusal, run_here, run_small

TABLE = LabelTable.parse({"organs": {"liver": 1, "left_kidney": 2, "vena_cava": 3}, "phases": ["portal", "arterial"]})
SIDES = (3, 5, 7)  # of each organ's square, voxels
SCANS = [("a", "ann", "portal"), ("b", "bob", "arterial"), ("c", "cid", "portal"), ("d", "cid", "arterial")]
FIXED = {"queries.csv", "neighbours.csv", "neighbours.png", "map_by_organ.svg", "map_by_phase.svg", "summary.json"}
FEWER = {"queries_per_organ": 2, "organ": "spleen"}  # a sheet of which is soon made


class OfOrgan(nn.Module):
    """An encoder that sees nothing but how large the mask is, and so which organ: one direction per organ."""

    def forward(self, inputs: torch.Tensor) -> list[torch.Tensor]:
        side = inputs[:, 1].flatten(1).sum(1).sqrt().round()
        at = torch.stack([side == organ for organ in SIDES], 1).float()
        return [inputs, at[:, :, None, None].expand(-1, -1, 2, 2)]


class Constant(nn.Module):
    """An encoder that has collapsed."""

    def forward(self, inputs: torch.Tensor) -> list[torch.Tensor]:
        return [inputs, torch.ones(len(inputs), 8, 2, 2)]


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """t-SNE of a few points in one thread: where cores are busy, two that wait for each other take minutes."""
    with threadpool_limits(1, user_api="openmp"):
        yield


def toy(folder: Path, scans: list[tuple[str, str, str]]) -> tuple[QueryStore, list[Case]]:
    """Scans of noise, each with a square of another size of each organ on five slices."""
    cases = []
    for number, (case, patient, phase) in enumerate(scans):
        rng = np.random.default_rng(number)
        label = np.zeros((30, 12, 6), np.uint8)
        for organ, side in enumerate(SIDES):
            x = 10 * organ + rng.integers(0, 3)
            label[x : x + side, 2 : 2 + side, 1:] = organ + 1
        image = write_nifti(folder / "images" / f"{case}.nii.gz", rng.normal(40, 80, label.shape).astype(np.float32))
        write_nifti(folder / "attention" / f"{case}.nii.gz", label)
        cases.append(Case(case, patient, phase, image))
    grid = QueryGrid(2, 8, [0, 0, 0], [-160, 240])
    return QueryStore(str(folder / "store"), cases, str(folder / "attention"), TABLE, grid), cases


@pytest.fixture(scope="module")
def cohort_of_toys(tmp_path_factory: pytest.TempPathFactory) -> tuple[QueryStore, list[Case]]:
    return toy(tmp_path_factory.mktemp("toys"), SCANS)


def stage(given: tuple[QueryStore, list[Case]], out: Path, encoders: Mapping[str, nn.Module], **more: Any) -> Embedding:
    numbers = {"queries_per_organ": 3, "neighbours": 4, "perplexity": 5, "map_points": 30} | more
    return Embedding(*given, encoders, str(out), torch.device("cpu"), PatchPooling(), **numbers)


@pytest.fixture(scope="module")
def made(cohort_of_toys: tuple[QueryStore, list[Case]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run with one encoder that has collapsed, one of random weights and one that knows organs."""
    out = tmp_path_factory.mktemp("made")
    stage(cohort_of_toys, out, {"constant": Constant(), "random": encoder(), "of organ": OfOrgan()}).run()
    return out / "embeddings"


def strict(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


def summary_of(folder: Path) -> dict[str, Any]:
    """summary.json, which must be JSON as its standard has it: without NaN."""
    return json.loads((folder / "summary.json").read_text(), parse_constant=strict)


def measures_of(folder: Path) -> dict[str, dict[str, float | None]]:
    """Title -> encoder -> value."""
    summary = summary_of(folder)
    return {line["title"]: dict(zip(summary["encoders"], line["found"], strict=True)) for line in summary["measures"]}


def rows_of(path: Path) -> list[dict[str, str]]:
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out what takes time: the sheet and the maps."""
    monkeypatch.setattr(module, "neighbour_sheet", lambda *given: b"a sheet")
    monkeypatch.setattr(Embedding, "maps", lambda *given: {})


# what is written


def test_every_file_is_written_and_nothing_else(made: Path) -> None:
    assert {path.name for path in visible(made)} == FIXED | {"constant.npy", "random.npy", "of organ.npy"}
    assert [path.name for path in made.parent.iterdir()] == ["embeddings"]


def test_vectors_are_in_the_order_of_the_queries(made: Path) -> None:
    rows = rows_of(made / "queries.csv")
    assert len(rows) == 4 * 3 * 3
    names = {"liver": 0, "left_kidney": 1, "vena_cava": 2}
    assert np.array_equal(np.load(made / "of organ.npy"), np.eye(3)[[names[row["organ"]] for row in rows]])
    assert np.allclose(np.load(made / "constant.npy"), 8**-0.5)
    assert {(row["case"], row["patient"], row["phase"]) for row in rows} == set(SCANS)


def test_neighbours_are_those_of_the_last_encoder(made: Path) -> None:
    rows, organs = rows_of(made / "neighbours.csv"), {row["query"]: row for row in rows_of(made / "queries.csv")}
    assert len(rows) == 36 * 10
    alike = [row for row in rows if row["organ"] == organs[row["query"]]["organ"]]
    assert {row["similarity"] for row in alike} == {"1.0000"}
    assert {row["similarity"] for row in rows if row not in alike} <= {"0.0000"}
    patients = {case: patient for case, patient, _ in SCANS}
    assert not [row for row in rows if patients[row["case"]] == organs[row["query"]]["patient"]]


def test_figures_are_readable(made: Path) -> None:
    assert Image.open(made / "neighbours.png").size[0] > 300
    for label, names in {"organ": ("liver", "left kidney", "vena cava"), "phase": ("portal", "arterial")}.items():
        svg = (made / f"map_by_{label}.svg").read_text()
        titles = [f"{kind}, {name}" for kind in ("t-SNE", "PCA") for name in ("constant", "random", "of organ")]
        for text in (*titles, *names):
            assert f">{text}</text>" in svg


def test_the_same_seed_gives_the_same_bytes(
    made: Path, cohort_of_toys: tuple[QueryStore, list[Case]], tmp_path: Path
) -> None:
    stage(cohort_of_toys, tmp_path, {"constant": Constant(), "random": encoder(), "of organ": OfOrgan()}).run()
    for path in visible(made):
        assert (tmp_path / "embeddings" / path.name).read_bytes() == path.read_bytes(), path.name


def test_another_seed_gives_another_map_and_the_same_numbers(
    cohort_of_toys: tuple[QueryStore, list[Case]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "neighbour_sheet", lambda *given: b"a sheet")
    for seed in (0, 1):
        stage(cohort_of_toys, tmp_path / str(seed), {"random": encoder()}, seed=seed).run()
    first, second = (tmp_path / str(seed) / "embeddings" for seed in (0, 1))
    assert (first / "map_by_organ.svg").read_bytes() != (second / "map_by_organ.svg").read_bytes()
    assert (first / "summary.json").read_bytes() == (second / "summary.json").read_bytes()


def test_no_more_queries_than_requested_are_sampled(
    cohort_of_toys: tuple[QueryStore, list[Case]], tmp_path: Path
) -> None:
    stage(cohort_of_toys, tmp_path, {"random": encoder()}, map_points=11).run()
    svg = (tmp_path / "embeddings" / "map_by_organ.svg").read_text()
    groups = re.findall(r'<g id="PathCollection_\d+">.*?</g>\s*</g>', svg, re.S)
    assert sum(group.count("<use") for group in groups) == 2 * 11 + 3  # both kinds of map, and the legend
    assert len(rows_of(tmp_path / "embeddings" / "queries.csv")) == 36


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize(
    ("wanted", "rows"), [({}, 3), ({"organ": "liver"}, 1), ({"case": "b"}, 3), ({"organ": "liver", "case": "d"}, 1)]
)
def test_neighbours_of_the_requested_organ_and_case_are_pictured(
    wanted: dict[str, str],
    rows: int,
    cohort_of_toys: tuple[QueryStore, list[Case]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pictured = []

    def sheet(near: Any, queries: list[int], store: QueryStore, count: int) -> bytes:
        pictured.extend((near.embeddings.organs[query], near.embeddings.cases[query], count) for query in queries)
        return b"a sheet"

    monkeypatch.setattr(module, "neighbour_sheet", sheet)
    stage(cohort_of_toys, tmp_path, {"of organ": OfOrgan()}, **wanted).run()
    assert (tmp_path / "embeddings" / "neighbours.png").read_bytes() == b"a sheet"
    organs = [wanted["organ"]] if "organ" in wanted else list(TABLE.names)
    assert len(pictured) == rows
    assert pictured == [(organ, wanted.get("case", "a"), 4) for organ in organs]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [({"organ": "heart"}, "organ heart, case any"), ({"organ": "liver", "case": "z"}, "organ liver, case z")],
)
def test_an_unknown_organ_or_case_is_refused_before_anything_is_written(
    wanted: dict[str, str], found: str, cohort_of_toys: tuple[QueryStore, list[Case]], tmp_path: Path
) -> None:
    message = rf"(?s)there is no such query.*{found}.*one of liver, left_kidney, vena_cava, in one of 4 cases"
    with pytest.raises(SemclError, match=message):
        stage(cohort_of_toys, tmp_path / "out", {"of organ": OfOrgan()}, **wanted).run()
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("name", "value", "least"),
    [("neighbours", 0, 1), ("neighbours", -3, 1), ("map_points", 1, 2), ("map_points", 0, 2)],
)
def test_a_number_that_is_too_small_is_refused(
    name: str, value: int, least: int, cohort_of_toys: tuple[QueryStore, list[Case]], tmp_path: Path
) -> None:
    message = rf"{name} is too small\n  found:    {name} {value}\n  expected: {least} or more\n  do this:  raise {name}"
    with pytest.raises(SemclError, match=message):
        stage(cohort_of_toys, tmp_path / "out", {"of organ": OfOrgan()}, **{name: value}).run()
    assert not (tmp_path / "out").exists()


def test_the_smallest_allowed_numbers_are_accepted(
    cohort_of_toys: tuple[QueryStore, list[Case]], tmp_path: Path, undrawn: None
) -> None:
    stage(cohort_of_toys, tmp_path, {"of organ": OfOrgan()}, neighbours=1, map_points=2).run()
    assert "Of the 1 nearest" in summary_of(tmp_path / "embeddings")["headline"]


# what is printed


def test_measures_separate_a_good_encoder_from_a_collapsed_one(made: Path) -> None:
    found = measures_of(made)
    assert list(next(iter(found.values()))) == ["constant", "random", "of organ", "chance"]
    knows = {title: values["of organ"] for title, values in found.items()}
    assert knows["same organ among the 4 nearest of other patients"] == 1
    assert [knows[f"same organ at least once among the {count} nearest"] for count in (1, 5, 10)] == [1, 1, 1]
    assert knows["silhouette by organ"] == pytest.approx(1)
    assert knows["silhouette by phase"] < 0.1
    # six centroids along three axes: 3 of 15 pairs at cosine 1, the others at 0; (0.2 + 1) / 2
    assert knows["collapse: similarity of the clusters' centroids"] == pytest.approx(0.6, abs=1e-6)
    collapsed = {title: values["constant"] for title, values in found.items()}
    assert collapsed["collapse: similarity of the clusters' centroids"] == pytest.approx(1)
    assert collapsed["collapse: effective rank"] > 0.85
    assert knows["collapse: effective rank"] < 0.5
    assert collapsed["silhouette by organ"] == pytest.approx(0, abs=1e-6)


def test_the_summary_agrees_with_the_files(made: Path) -> None:
    rows, found = rows_of(made / "queries.csv"), measures_of(made)
    labels = {"organ": [row["organ"] for row in rows], "phase": [row["phase"] for row in rows]}
    labels["organ x phase"] = [f"{organ}, {phase}" for organ, phase in zip(*labels.values(), strict=True)]
    patients = [row["patient"] for row in rows]
    vectors = np.load(made / "random.npy").astype(float)
    cosines = vectors @ vectors.T
    for title, names in labels.items():
        alike, hits, by_chance = [], {1: [], 5: [], 10: []}, []
        for query, patient in enumerate(patients):
            others = [other for other in range(len(rows)) if patients[other] != patient]
            order = sorted(others, key=lambda other: -cosines[query, other])
            same = [names[other] == names[query] for other in order]
            alike.append(np.mean(same[:4]))
            by_chance.append(np.mean(same))
            for count, hit in hits.items():
                hit.append(any(same[:count]))
        purity = found[f"same {title} among the 4 nearest of other patients"]
        assert (purity["random"], purity["chance"]) == pytest.approx((np.mean(alike), np.mean(by_chance)))
        silhouette = silhouette_score(vectors, names, metric="cosine")
        assert found[f"silhouette by {title}"]["random"] == pytest.approx(silhouette, abs=1e-5)
        if title == "organ":
            for count, hit in hits.items():
                recall = found[f"same organ at least once among the {count} nearest"]
                assert (recall["random"], recall["chance"]) == (pytest.approx(np.mean(hit)), None)
    assert len(found) == 3 + 3 + 3 + 2


@pytest.mark.usefixtures("undrawn")
def test_the_headline_names_every_encoder_and_chance(
    made: Path, cohort_of_toys: tuple[QueryStore, list[Case]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stage(cohort_of_toys, tmp_path, {"random": encoder(), "of organ": OfOrgan()}).run()
    summary = summary_of(tmp_path / "embeddings")
    purity = measures_of(made)["same organ among the 4 nearest of other patients"]
    assert summary["headline"] == (
        "Of the 4 nearest queries of other patients this share shows the same organ: "
        f"{purity['random']:.2f} random, 1.00 of organ ({1 / 3:.2f} by chance; 36 queries of 3 patients)."
    )
    assert summary["queries"] == 36
    shown = capsys.readouterr().out
    assert summary["headline"] in shown
    assert str(tmp_path / "embeddings") in shown


@pytest.mark.usefixtures("undrawn")
def test_patients_that_pretraining_has_seen_are_counted(
    cohort_of_toys: tuple[QueryStore, list[Case]], tmp_path: Path
) -> None:
    store, cases = cohort_of_toys
    learnt = [replace(case, fold=0 if case.patient == cases[0].patient else None) for case in cases]
    stage((store, learnt), tmp_path, {"of organ": OfOrgan()}).run()
    assert summary_of(tmp_path / "embeddings")["headline"].endswith("3 patients, 1 of whom pretraining has seen).")


@pytest.mark.usefixtures("undrawn")
def test_vectors_of_an_encoder_that_is_left_out_are_removed(
    cohort_of_toys: tuple[QueryStore, list[Case]], tmp_path: Path
) -> None:
    stage(cohort_of_toys, tmp_path, {"random": encoder(), "of organ": OfOrgan()}).run()
    stage(cohort_of_toys, tmp_path, {"random": None, "of organ": OfOrgan()}).run()
    assert {path.name for path in (tmp_path / "embeddings").glob("*.npy")} == {"of organ.npy"}
    assert summary_of(tmp_path / "embeddings")["encoders"] == ["of organ", "chance"]


def test_the_report_can_read_it(made: Path) -> None:
    found = read_embeddings(made)
    assert {name: str(figure)[:4] for name, figure in found["figures"].items()} == dict.fromkeys(
        ("map_by_organ", "map_by_phase"), "<svg"
    )
    assert found["headline"] == summary_of(made)["headline"]


@pytest.mark.parametrize(
    ("organs", "patients", "phases"),
    [
        pytest.param("lllsss", "abcabc", "pppppp", id="one phase"),
        pytest.param("llllll", "abcabc", "ppaapp", id="one organ"),
        pytest.param("lsdlsd", "aabbcc", "paapap", id="as many clusters as queries"),
        pytest.param("abcdef", "abcdef", "pppaaa", id="each patient another organ"),
        pytest.param("lsdlsd", "aaaaaa", "paapap", id="one patient"),
    ],
)
def test_undefined_measures_are_left_empty(organs: str, patients: str, phases: str) -> None:
    table = embeddings(np.random.default_rng(0).normal(size=(6, 4)), list(organs), list(patients), list(phases))
    lines = embedding_measures({"one": table}, {"one": nearest(table, 10)}, 3)
    values = [value for line in lines for value in line["found"]]
    assert [value for value in values if value is not None and not np.isfinite(value)] == []
    json.dumps(lines, allow_nan=False)


def test_silhouettes_of_many_queries_use_a_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SILHOUETTE_QUERIES", 50)
    table = random_embeddings(200, 4)
    lines = {
        line["title"]: line["found"] for line in embedding_measures({"one": table}, {"one": nearest(table, 10)}, 3)
    }
    whole = silhouette_score(table.vectors.numpy(), table.label("organ"), metric="cosine")
    assert lines["silhouette by organ"][0] == pytest.approx(whole, abs=0.1)
    assert lines["silhouette by organ"][0] != pytest.approx(whole, abs=1e-6)
    assert lines["same organ among the 3 nearest of other patients"][1] == chance(table, "organ")


@pytest.mark.parametrize("queries", [None, 1], ids=["of two scans", "a single query"])
def test_queries_of_one_patient_are_refused(queries: int | None, tmp_path: Path) -> None:
    given = toy(tmp_path / "toys", [("c", "cid", "portal"), ("d", "cid", "arterial")])
    given[0].index = given[0].index[:queries]
    with pytest.raises(SemclError, match=r"(?s)searched among other patients.*queries of 1 patient\n.*set section"):
        stage(given, tmp_path, {"of organ": OfOrgan()}).run()
    assert not (tmp_path / "embeddings").exists()


# the stage, on phantoms


def prepared(folder: Path) -> Path:
    """Give a cohort what pretraining leaves behind."""
    (folder / "models").mkdir()
    shutil.copy(folder / "labels.yaml", folder / "models")
    torch.manual_seed(7)
    save_weights(folder / "models" / "encoder.pt", QueryEncoder(2, "basic", [1, 1, 1, 1], [4, 8, 8, 16]), NO_SETTINGS)
    return folder


@pytest.fixture(scope="module")
def embedded_phantoms(phantoms: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A phantom cohort after the stage was run on it as a user would."""
    folder = prepared(Path(shutil.copytree(phantoms, tmp_path_factory.mktemp("embedded") / "cohort")))
    ended = run_small("embed", dataset_dir=folder, attention_dir=folder / "labels", **FEWER)
    assert ended.returncode == 0, ended.stderr
    assert "Of the 10 nearest queries of other patients" in ended.stdout
    return folder


def test_the_stage_embeds_the_testing_cases(embedded_phantoms: Path) -> None:
    found = embedded_phantoms / "embeddings"
    assert {path.name for path in visible(found)} == FIXED | {"untrained.npy", "pretrained.npy"}
    rows, cases = rows_of(found / "queries.csv"), datalist.load(embedded_phantoms, "testing")
    assert {(row["case"], row["patient"], row["phase"]) for row in rows} == {
        (case.id, case.patient, case.phase) for case in cases
    }
    summary = summary_of(found)
    assert (summary["encoders"], summary["queries"]) == (["untrained", "pretrained", "chance"], len(rows))
    before, after = (np.load(found / f"{name}.npy") for name in ("untrained", "pretrained"))
    assert before.shape == after.shape == (len(rows), 4 + 8 + 8 + 16)  # of all levels
    assert not np.allclose(before, after, atol=0.1)
    manifest = json.loads((embedded_phantoms / "jobs" / "embed.json").read_text())
    assert (manifest["status"], manifest["seed"]) == ("completed", 0)


def test_the_pretrained_vectors_are_those_of_the_weights_in_the_file(embedded_phantoms: Path) -> None:
    network = QueryEncoder(2, "basic", [1, 1, 1, 1], [4, 8, 8, 16])
    network.load_state_dict(torch.load(embedded_phantoms / "models" / "encoder.pt"))
    network.eval()
    cases = datalist.load(embedded_phantoms, "testing")
    grid = QueryGrid(2, 32, [5, 5, 0], [-160, 240], extend=1, islands=0.1)
    table = LabelTable.load(embedded_phantoms)
    store = QueryStore(str(embedded_phantoms / "store"), cases, str(embedded_phantoms / "labels"), table, grid)
    assert store.built == []
    row = rows_of(embedded_phantoms / "embeddings" / "queries.csv")[5]
    number, _, organ, _, *start = store.index[int(row["query"])].tolist()
    assert (cases[number].id, table.names[organ - 1]) == (row["case"], row["organ"])
    image, mask = (
        grid.cut(store.volume(number, name), start, 0, out) for name, out in (("image", -1), ("attention", 0))
    )
    with torch.no_grad():
        inputs = torch.stack([image[0].float(), (mask == organ).float()])[None]
        mean = torch.cat([masked_mean(level, inputs[:, 1:])[0] for level in network(inputs)])
    vector = np.load(embedded_phantoms / "embeddings" / "pretrained.npy")[5]
    assert vector == pytest.approx((mean / mean.norm()).numpy(), abs=1e-4)


def test_what_pretraining_began_with_is_embedded_too(embedded_phantoms: Path, tmp_path: Path) -> None:
    models = Path(shutil.copytree(embedded_phantoms / "models", tmp_path / "models"))
    start = QueryEncoder(2, "basic", [1, 1, 1, 1], [4, 8, 8, 16])
    torch.save(start.state_dict(), tmp_path / "start.pt")
    given = {"ckpt_dir": models, "store_dir": embedded_phantoms / "store", "initial_weights": tmp_path / "start.pt"}
    labels = embedded_phantoms / "labels"
    run_here("embed", dataset_dir=embedded_phantoms, attention_dir=labels, output_dir=tmp_path, **FEWER, **given)
    vectors = {name: np.load(tmp_path / "embeddings" / f"{name}.npy") for name in ("untrained", "begun", "pretrained")}
    assert summary_of(tmp_path / "embeddings")["encoders"] == [*vectors, "chance"]
    assert np.array_equal(vectors["pretrained"], np.load(embedded_phantoms / "embeddings" / "pretrained.npy"))
    assert not np.allclose(vectors["begun"], vectors["untrained"], atol=0.05)
    assert not np.allclose(vectors["begun"], vectors["pretrained"], atol=0.05)


def test_the_stage_gives_the_same_bytes_again(embedded_phantoms: Path, tmp_path: Path) -> None:
    given = {name: embedded_phantoms / folder for name, folder in {"ckpt_dir": "models", "store_dir": "store"}.items()}
    labels = embedded_phantoms / "labels"
    run_here("embed", dataset_dir=embedded_phantoms, attention_dir=labels, output_dir=tmp_path, **FEWER, **given)
    for path in visible(embedded_phantoms / "embeddings"):
        assert (tmp_path / "embeddings" / path.name).read_bytes() == path.read_bytes(), path.name


def test_the_stage_requires_an_encoder(embedded_phantoms: Path, tmp_path: Path) -> None:
    shutil.copy(embedded_phantoms / "labels.yaml", tmp_path)
    printed = refusal(
        "embed",
        dataset_dir=embedded_phantoms,
        attention_dir=embedded_phantoms / "labels",
        output_dir=tmp_path / "out",
        ckpt_dir=tmp_path,
        store_dir=embedded_phantoms / "store",
    )
    assert f"no {tmp_path / 'encoder.pt'}" in printed
    assert "run pretrain.yaml first" in printed
    assert not (tmp_path / "out" / "embeddings").exists()


def test_the_stage_refuses_an_unknown_organ(embedded_phantoms: Path, tmp_path: Path) -> None:
    printed = refusal(
        "embed",
        dataset_dir=embedded_phantoms,
        attention_dir=embedded_phantoms / "labels",
        output_dir=tmp_path / "out",
        ckpt_dir=embedded_phantoms / "models",
        store_dir=embedded_phantoms / "store",
        organ="heart",
    )
    assert printed.startswith("there is no such query")
    assert "organ heart, case any" in printed


def test_the_command_passes_an_overlay_to_the_stage(embedded_phantoms: Path, tmp_path: Path) -> None:
    overlay = tmp_path / "mine.yaml"
    overlay.write_text("organ: heart\npatch_size: 32\nspacing: [5, 5, 0]\nwidths: [4, 8, 8, 16]\n")
    given = {
        "attention_dir": embedded_phantoms / "labels",
        "output_dir": tmp_path / "out",
        "ckpt_dir": embedded_phantoms / "models",
        "store_dir": embedded_phantoms / "store",
    }
    given = {name: str(folder) for name, folder in given.items()}
    with as_if_a_process_ended(), pytest.raises(Exception) as raised:  # noqa: PT011  # MONAI wraps it
        command(str(embedded_phantoms), str(ROOT / "bundle"), str(overlay), **given)
    printed = str(root_cause(raised.value))
    assert printed.startswith("there is no such query")
    assert "organ heart, case any" in printed
