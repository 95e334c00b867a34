"""Contrastive pretraining of one's own network from Python, as ``pretrain.yaml`` does it with an encoder of configs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from ignite.engine import Events
from monai.data import DataLoader
from monai.engines import SupervisedTrainer
from monai.handlers import LrScheduleHandler
from monai.inferers import SimpleInferer
from monai.utils import set_determinism
from torch import nn

from ..contrast.loss import SemanticContrastiveLoss
from ..contrast.positives import PrepareViews
from ..errors import SemclError
from ..job.progress import Progress, mean_loss
from ..job.warm_up import warm_up_share
from ..networks.cluster_head import ClusterHead
from ..networks.pooling import PatchPooling, Pooling, RegionPooling
from ..queries.dataset import QueryDataset
from ..queries.sampler import ClusterSampler
from ..queries.views import Views

EMBEDDING = 256  # length of the cluster head's vectors
RISING = 0.2  # of the steps: the learning rate rises, then falls
BEYOND = 0.5  # that noise may add to intensities from -1 to 1
QUERY_KEYS = ("image", "attention", "cluster")  # of a query
Features = Callable[[torch.Tensor], Any]


def pretrain(
    network: nn.Module,
    queries: Any,
    features: Features | None = None,
    masked: bool = False,
    steps: int = 120,
    clusters_per_batch: int = 13,
    queries_per_cluster: int = 4,
    learning_rate: float = 0.004,
    temperature: float = 0.1,
    views: Views | None = None,
    device: torch.device | str | None = None,
    seed: int = 0,
) -> list[float]:
    """Pretrain a network in place by the semantic contrastive loss over two views of each query.

    Feature maps are averaged under the query's mask and over its surroundings, which form classes of their own, and a
    cluster head, thrown away afterwards, projects them; a network that returns vectors is pretrained on these.
    Parameters without a gradient, such as those of a decoder that ``features`` leaves out, stay as they are.

    Args:
        network: any; its input is the image.
        queries: a QueryDataset, or any sequence of mappings with "image" (C, P, P[, P]) in [-1, 1], "attention"
            (1, P, P[, P]), the object's mask, "cluster", its class (organ x phase), and perhaps "patient", a number.
        features: from inputs to a feature map, several, or vectors; by default the network itself. For MONAI's
            SegResNet ``lambda image: network.encode(image)[1]``.
        masked: the network's input has the mask as one more, last channel, hidden in every second view.
        steps: batches.
        clusters_per_batch: clusters in a batch, fewer where there are fewer.
        queries_per_cluster: queries of each, from different patients as far as possible.
        learning_rate: of AdamW at its peak: it rises over the first fifth, then falls to almost 0.
        temperature: of the loss.
        views: augmentation; by default that of pretrain.yaml, without flips that the label table forbids.
        device: where to train; by default a GPU, if there is one.
        seed: of everything random.

    Returns:
        the loss of each step.

    Raises:
        SemclError: for queries without these keys, and a network that cannot be run on them or returns something else.
    """
    set_determinism(seed)
    place = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    first = _first(queries)
    model = _Projected(network.to(place), features or network, first, masked, place)
    clusters, patients = _classes(queries)
    sampler = ClusterSampler(clusters, patients, clusters_per_batch, queries_per_cluster, steps, seed)
    optimizer = torch.optim.AdamW(model.parameters(), learning_rate, weight_decay=0.0001)
    rising = warm_up_share(RISING, steps)
    schedule: Any = torch.optim.lr_scheduler.OneCycleLR(optimizer, learning_rate, total_steps=steps, pct_start=rising)
    losses: list[float] = []
    trainer = SupervisedTrainer(
        device=place,
        max_epochs=1,
        train_data_loader=DataLoader(queries, batch_sampler=sampler),
        network=model,
        optimizer=optimizer,
        loss_function=SemanticContrastiveLoss(temperature),
        inferer=SimpleInferer(),
        prepare_batch=PrepareViews(views or _views(queries, first), pooling=model.pooling),
        train_handlers=[LrScheduleHandler(schedule, print_lr=False, epoch_level=False), Progress("pretrain")],
        decollate=False,
    )
    trainer.add_event_handler(Events.ITERATION_COMPLETED, lambda engine: losses.append(mean_loss(engine.state.output)))
    training = network.training
    trainer.run()
    network.train(training)
    return losses


class _Projected(nn.Module):
    """A network, pooling and cluster head: inputs of ``PrepareViews`` -> unit embeddings (R*B, D)."""

    def __init__(
        self, network: nn.Module, features: Features, query: dict[str, Any], masked: bool, device: torch.device
    ) -> None:
        super().__init__()
        self.network, self.features, self.masked = network, features, masked
        channels, vectors = self._tried(query, device)
        self.pooling: Pooling = PatchPooling() if vectors else RegionPooling()
        self.head = ClusterHead(self.pooling.width(channels), EMBEDDING).to(device)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        seen = inputs.shape[1] - self.pooling.masks
        masks = list(torch.split(inputs[:, seen:], 1, dim=1))
        maps = _maps(self.features(inputs[:, : seen - (not self.masked)]), inputs.ndim)
        embeddings: torch.Tensor = self.head(self.pooling([one.float() for one in maps], masks))
        return embeddings

    def _tried(self, query: dict[str, Any], device: torch.device) -> tuple[list[int], bool]:
        """The channels of the features of a query, and whether they are vectors."""
        shown = [query["image"], *([query["attention"]] if self.masked else [])]
        inputs = torch.cat([torch.as_tensor(part) for part in shown])[None].float().to(device)
        training = self.network.training
        self.network.eval()
        try:
            with torch.no_grad():
                found = self.features(inputs)
        except Exception as error:  # a network of the user's own raises whatever it likes
            raise SemclError(
                "the network cannot be run on a query",
                found=f"an input of shape {tuple(inputs.shape)}: {type(error).__name__}: {error}",
                expected="a network of these channels and dimensions",
                remedy="set masked=True for one with a channel for the mask, or features",
            ) from error
        finally:
            self.network.train(training)
        return [one.shape[1] for one in _maps(found, inputs.ndim)], _is_vectors(found)


def _is_vectors(features: Any) -> bool:
    return isinstance(features, torch.Tensor) and features.ndim == 2


def _maps(features: Any, axes: int) -> list[torch.Tensor]:
    """Feature maps (B, C, *map) of what a network returned; vectors (B, C) become a map of one cell."""
    if isinstance(features, torch.Tensor):
        features = [features.reshape(*features.shape, *[1] * (axes - 2)) if features.ndim == 2 else features]
    maps = list(features) if isinstance(features, Sequence) else []
    if not maps or not all(isinstance(one, torch.Tensor) and one.ndim == axes for one in maps):
        raise SemclError(
            "the network returns no feature maps",
            found=", ".join(map(_shape, maps or [features])),
            expected=f"a map (B, C, ...) of {axes} axes, a list of them, or vectors (B, C)",
            remedy="set features, a function from inputs to them",
        )
    return maps


def _shape(found: Any) -> str:
    return str(tuple(found.shape)) if isinstance(found, torch.Tensor) else f"a {type(found).__name__}"


def _first(queries: Any) -> dict[str, Any]:
    """The first query; all must have its keys and shapes."""
    return _checked(dict(queries[0]) if len(queries) else {})


def _checked(query: dict[str, Any]) -> dict[str, Any]:
    """A query, if it can be used."""
    missing = [key for key in QUERY_KEYS if key not in query]
    if not missing and not _is_count(query["cluster"]):
        raise SemclError(
            "queries cannot be used",
            found=f"cluster {query['cluster']!r}",
            expected="a whole number from 0",
            remedy="number the clusters 0, 1, ...",
        )
    shapes = [tuple(query[key].shape) for key in QUERY_KEYS[:2]] if not missing else []
    if missing or shapes[0][1:] != shapes[1][1:] or shapes[1][:1] != (1,) or len(set(shapes[0][1:])) != 1:
        raise SemclError(
            "queries cannot be used",
            found=f"a query without {', '.join(missing)}" if missing else f"image {shapes[0]}, attention {shapes[1]}",
            expected="image (C, P, P[, P]), attention (1, P, P[, P]) and cluster, an integer",
            remedy="cut a square patch around an object, with the object's mask",
        )
    low, high = (float(end) for end in torch.as_tensor(query["image"]).aminmax())
    if low < -1 - BEYOND or high > 1 + BEYOND:
        raise SemclError(
            "a query's intensities are not those of a window",
            found=f"{low:g} to {high:g}",
            expected="-1 to 1: views cut off what lies outside, and would show black and white",
            remedy="scale a window of intensities to [-1, 1], as monai.transforms.ScaleIntensityRange does",
        )
    return query


def _is_count(given: Any) -> bool:
    """Whether something is a whole number from 0, as Python, NumPy or torch have it."""
    try:
        return bool(int(given) == given >= 0)
    except (TypeError, ValueError, RuntimeError):
        return False


def _classes(queries: Any) -> tuple[Sequence[int], Sequence[int]]:
    """The cluster and the patient of each query; without patients, each is of its own."""
    if isinstance(queries, QueryDataset):
        return queries.store.clusters.tolist(), queries.store.patients.tolist()
    every = [_checked(dict(queries[number])) for number in range(len(queries))]
    shapes = [tuple(one["image"].shape) for one in every]
    for number, shape in enumerate(shapes):
        if shape != shapes[0]:
            raise SemclError(
                "queries of different sizes cannot be used",
                found=f"an image of shape {shape} at {number}, {shapes[0]} at 0",
                expected="images of one shape",
                remedy="cut patches of one size",
            )
    return [int(one["cluster"]) for one in every], [int(one.get("patient", n)) for n, one in enumerate(every)]


def _views(queries: Any, first: dict[str, Any]) -> Views:
    """The views of pretrain.yaml for these queries."""
    table = queries.store.table if isinstance(queries, QueryDataset) else None
    flips = table.flip_axes if table else ()
    side = int(first["image"].shape[-1])
    return Views(side, flip_axes=flips, contrast=0.1, brightness=0.1, noise=0.05, table=table)
