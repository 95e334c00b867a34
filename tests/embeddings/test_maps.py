"""Maps of embeddings: reproducible points, and every query plotted in the colour of its label."""

import re
from collections import Counter
from collections.abc import Iterator
from xml.etree import ElementTree

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_hex
from sklearn.manifold import TSNE
from threadpoolctl import threadpool_limits

from scripts.embeddings import maps as module
from scripts.embeddings.maps import Points, coordinates, map_figure
from scripts.embeddings.table import Embeddings
from scripts.evaluate.slices import object_colours
from tests.embeddings.test_table import embeddings, random_embeddings

SVG = "{http://www.w3.org/2000/svg}"
NAMES = ["left_kidney", "liver", "left_kidney", "a$b$c", "liver", "left_kidney"]
ORGANS = ("liver", "spleen", "left_kidney", "a$b$c")  # of the label table, one of which is not plotted
PHASES = ("late_portal", "arterial", "b$1$", "late", "portal")


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """t-SNE of a few points in one thread: where cores are busy, two that wait for each other take minutes."""
    with threadpool_limits(1, user_api="openmp"):
        yield


def texts(svg: str) -> list[str]:
    return [element.text or "" for element in ElementTree.fromstring(svg).iter(f"{SVG}text")]


def marks(svg: str) -> list[Counter[str]]:
    """How many marks of each colour there are on each panel, from left to right and from top to bottom."""
    panels = [part for part in ElementTree.fromstring(svg).iter(f"{SVG}g") if part.get("id", "").startswith("axes_")]
    counted = []
    for panel in panels:
        count: Counter[str] = Counter()
        for group in panel:
            if group.get("id", "").startswith("PathCollection"):
                count.update(re.search(r"fill: (#\w+)", use.get("style", ""))[1] for use in group.iter(f"{SVG}use"))
        counted.append(count)
    return counted


def named(organs: list[str] = NAMES, phases: list[str] | tuple[str, ...] = ()) -> Embeddings:
    return embeddings(np.random.default_rng(0).normal(size=(len(organs), 4)), organs, ["ann"] * len(organs), phases)


def placed(of: Embeddings, *encoders: str) -> dict[str, dict[str, Points]]:
    """Points of each encoder, as far from each other as their numbers."""
    points = np.stack([np.arange(len(of)), np.arange(len(of)) ** 2], 1).astype(float)
    return {encoder: {"t-SNE": points, "PCA": -points} for encoder in encoders}


# coordinates


def test_the_same_seed_gives_the_same_points() -> None:
    table = random_embeddings(40, 3)
    first, again, other = (coordinates(table, 5, seed) for seed in (0, 0, 1))
    assert list(first) == list(again) == ["t-SNE", "PCA"]
    for kind, points in first.items():
        assert points.shape == (40, 2)
        assert np.isfinite(points).all()
        assert np.array_equal(points, again[kind])
    assert not np.allclose(first["t-SNE"], other["t-SNE"])


@pytest.mark.parametrize("queries", [2, 3, 4, 5, 10])
def test_a_map_of_few_queries_can_be_plotted(queries: int) -> None:
    for points in coordinates(random_embeddings(queries, 2), 30, 0).values():
        assert points.shape == (queries, 2)
        assert np.isfinite(points).all()


def test_a_map_of_identical_vectors_can_be_plotted() -> None:
    for points in coordinates(embeddings(np.ones((8, 4)), ["liver"] * 8, ["ann"] * 8), 30, 0).values():
        assert np.isfinite(points).all()


@pytest.mark.parametrize(
    ("queries", "asked", "used"), [(200, 30, 30), (91, 30, 30), (61, 30, 20), (10, 30, 3), (10, 2.5, 2.5), (3, 30, 1)]
)
def test_perplexity_is_less_than_a_third_of_the_queries(
    queries: int, asked: float, used: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = []

    class Recorded(TSNE):
        def fit_transform(self, vectors: np.ndarray) -> np.ndarray:
            given.append((self.perplexity, self.metric))
            return vectors[:, :2]

    monkeypatch.setattr(module, "TSNE", Recorded)
    coordinates(random_embeddings(queries, 3), asked, 0)
    assert given == [(used, "cosine")]


def test_principal_components_are_those_of_a_singular_value_decomposition() -> None:
    table = random_embeddings(30, 3, width=6)
    vectors = table.vectors.double().numpy()
    left, sizes, _ = np.linalg.svd(vectors - vectors.mean(0), full_matrices=False)
    found = coordinates(table, 5, 0)["PCA"]
    for axis in range(2):
        assert np.abs(found[:, axis]) == pytest.approx(np.abs(left[:, axis] * sizes[axis]), abs=1e-6)


@pytest.mark.parametrize("kind", ["t-SNE", "PCA"])
def test_groups_of_directions_are_groups_on_the_map(kind: str) -> None:
    rng = np.random.default_rng(0)
    group = np.repeat(np.arange(3), 12)
    points = coordinates(
        embeddings(np.eye(3)[group] + rng.normal(0, 0.02, (36, 3)), ["liver"] * 36, ["ann"] * 36), 8, 0
    )[kind]
    distances = np.linalg.norm(points[:, None] - points, axis=2)
    np.fill_diagonal(distances, np.inf)
    assert np.array_equal(group[distances.argmin(1)], group)


# the figure


def test_the_same_points_give_the_same_bytes() -> None:
    table = named()
    figures = [map_figure(placed(table, "untrained", "pretrained"), table, "organ", ORGANS) for _ in range(2)]
    assert figures[0].encode() == figures[1].encode()
    assert figures[0].startswith("<svg")
    assert plt.get_fignums() == []


def test_each_kind_and_encoder_has_its_panel() -> None:
    table = named()
    found = texts(map_figure(placed(table, "untrained", "pretrained"), table, "organ", ORGANS))
    titles = [text for text in found if text.startswith(("t-SNE", "PCA"))]
    assert titles == ["t-SNE, untrained", "t-SNE, pretrained", "PCA, untrained", "PCA, pretrained"]


def test_names_of_the_legend_are_plain() -> None:
    table = named()
    found = texts(map_figure(placed(table, "untrained", "pretrained"), table, "organ", ORGANS))
    assert found[-3:] == ["liver", "left kidney", "a$b$c"]  # in the label table's order
    assert "spleen" not in found
    assert [text for text in found if "_" in text] == []


def test_names_of_phases_are_those_of_the_map_by_phase() -> None:
    table = named(phases=["b$1$", "late_portal", "late_portal", "b$1$", "b$1$", "late_portal"])
    assert texts(map_figure(placed(table, "one"), table, "phase", PHASES))[-2:] == ["late portal", "b$1$"]


def test_names_of_encoders_are_plain() -> None:
    table = named()
    found = texts(map_figure(placed(table, "lr$1$", "run_2"), table, "organ", ORGANS))
    assert "t-SNE, lr$1$" in found
    assert {"t-SNE, run_2", "t-SNE, run 2"} & set(found)


@pytest.mark.parametrize(("label", "names"), [("organ", ORGANS), ("phase", PHASES)])
def test_every_query_is_plotted_in_the_colour_of_its_name(label: str, names: tuple[str, ...]) -> None:
    table = named(phases=["portal", "portal", "arterial", "arterial", "late", "portal"])
    colours = dict(zip(names, map(to_hex, object_colours(len(names))), strict=True))
    expected = Counter(colours[name] for name in table.label(label).tolist())
    found = marks(map_figure(placed(table, "untrained", "pretrained"), table, label, names))
    assert found[:4] == [expected] * 4


@pytest.mark.parametrize("shown", [("spleen",), ("a$b$c", "liver"), ("left_kidney", "spleen", "liver")])
def test_colours_do_not_depend_on_which_organs_are_shown(shown: tuple[str, ...]) -> None:
    """Each organ has as many queries as its place in the list, so that its colour is known from their number."""
    table = named([organ for number, organ in enumerate(shown, start=1) for _ in range(number)])
    palette = [to_hex(colour) for colour in object_colours(len(ORGANS))]  # as in pictures
    expected = {palette[ORGANS.index(organ)]: number for number, organ in enumerate(shown, start=1)}
    assert marks(map_figure(placed(table, "one"), table, "organ", ORGANS))[0] == expected


def test_points_are_those_of_the_encoder_and_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    table, figures = named(["liver"] * 3), []
    monkeypatch.setattr(module, "svg", figures.append)
    maps = {
        encoder: {kind: np.arange(6.0).reshape(3, 2) + 10 * row + 100 * column for row, kind in enumerate("TP")}
        for column, encoder in enumerate("ab")
    }
    map_figure(maps, table, "organ", ORGANS)
    for panel in figures[0].axes:
        kind, encoder = panel.get_title().split(", ")
        assert np.array_equal(panel.collections[0].get_offsets(), maps[encoder][kind])
    plt.close(figures[0])


def test_more_organs_than_colours_can_be_plotted() -> None:
    table = named([f"organ {number}" for number in range(25)])
    svg = map_figure(placed(table, "one"), table, "organ", table.label("organ").tolist())
    assert texts(svg)[-25:] == [f"organ {number}" for number in range(25)]
    assert sum(marks(svg)[0].values()) == 25
