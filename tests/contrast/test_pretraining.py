"""A step of pretraining never synchronises host and device: views, network, loss, optimizer."""

from collections import Counter
from typing import Any

import pytest
import torch
from ignite.engine import Engine
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from scripts.contrast import loss as loss_module
from scripts.contrast import terms as terms_module
from scripts.contrast.loss import SemanticContrastiveLoss
from scripts.contrast.memory import QueryMemory
from scripts.contrast.positives import PrepareViews
from scripts.job.progress import LossCurve
from scripts.networks.contrast_net import ContrastNet
from scripts.networks.encoder import QueryEncoder
from scripts.queries.views import Views

# what has to know a value, or how many there are, before the host can go on
WAITING = {
    "_local_scalar_dense",
    "_unique2",
    "allclose",
    "bincount",
    "count_nonzero",
    "equal",
    "histc",
    "is_nonzero",
    "item",
    "masked_select",
    "nonzero",
    "nonzero_numpy",
    "unique_consecutive",
    "unique_dim",
}
CHANGES = {"contrast": 0.1, "brightness": 0.1, "gamma": 0.2, "blur": 1.0, "noise": 0.05, "elastic": 0.4}


class Recorded(TorchDispatchMode):
    """Counts the operators that are called, and keeps the inputs of those that wait."""

    def __init__(self) -> None:
        super().__init__()
        self.count: Counter[str] = Counter()
        self.looked_at: list[torch.Tensor] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        self.count[name] += 1
        indices = args[1] if name in ("index", "index_put", "index_put_") else ()
        by_mask = any(index is not None and index.dtype in (torch.bool, torch.uint8) for index in indices)
        uneven = name == "repeat_interleave" and (kwargs or {}).get("output_size") is None
        if name in WAITING or by_mask or uneven:
            self.count["waiting"] += 1
            self.looked_at.append(args[0])
        return func(*args, **(kwargs or {}))


class Pretraining:
    """A tiny pretraining stage."""

    def __init__(self, dims: int, settings: dict[str, object], optimizer: str = "AdamW") -> None:
        torch.manual_seed(0)
        side = 16 if dims == 2 else 12
        self.network = ContrastNet(QueryEncoder(dims, widths=(4, 4, 8, 8), layers=(1, 1, 1, 1)), embedding=16)
        self.prepare = PrepareViews(Views(side, rotation=30, flip_axes=[0], **CHANGES), count=2)
        self.loss = SemanticContrastiveLoss(gather=True, **settings)
        weights = [*self.network.parameters(), *self.loss.parameters()]
        self.optimizer = getattr(torch.optim, optimizer)(weights, lr=1e-3)
        mask = (torch.rand(6, 1, *[side + 4] * dims) > 0.5).float()
        cluster = torch.tensor([0, 0, 1, 1, 2, 5])
        self.batch = {"image": torch.rand_like(mask) * 2 - 1, "attention": mask, "cluster": cluster}

    def views(self) -> tuple[torch.Tensor, torch.Tensor]:
        return self.prepare(self.batch, torch.device("cpu"), non_blocking=True)

    def backward(self) -> torch.Tensor:
        inputs, labels = self.views()
        loss = self.loss(self.network(inputs), labels)
        loss.backward()
        return loss.detach()


SETTINGS: dict[str, dict[str, object]] = {
    "of the stage": {},
    "with a sharp temperature": {"temperature": 0.01},
    "with a learnt temperature": {"learnable": True},
    "with the mean inside the log": {"summation": "in"},
    "loss by loss": {"reduction": "sum"},
}


@pytest.fixture
def on_a_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the loss skip its check for NaN, as it does on devices where that would synchronise."""
    for module in (loss_module, terms_module):
        monkeypatch.setattr(module, "readable_without_sync", lambda tensor: False)


@pytest.mark.usefixtures("on_a_device")
@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS.keys())
@pytest.mark.parametrize("dims", [2, 3])
def test_views_network_loss_and_gradients_never_synchronise_with_the_device(dims, settings):
    stage = Pretraining(dims, settings)
    for _ in range(2):
        stage.optimizer.zero_grad()
        with Recorded() as recorded:
            loss = stage.backward()
        assert recorded.count["waiting"] == 0
        assert recorded.count.total() > 100
        assert {"grid_sampler_2d", "grid_sampler_3d"} & set(recorded.count)
        assert {"convolution_backward", "mm"} <= set(recorded.count)  # backward was seen too
        assert loss.isfinite()
        assert all(weight.grad.isfinite().all() for weight in stage.network.parameters())


@pytest.mark.usefixtures("on_a_device")
@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS.keys())
@pytest.mark.parametrize("dims", [2, 3])
def test_a_step_is_the_same_whatever_its_tensors_hold(dims, settings):
    with FakeTensorMode():  # of tensors that have a shape and no values
        stage = Pretraining(dims, settings)
        stage.batch = {name: torch.empty_like(held) for name, held in stage.batch.items()}
        assert stage.backward().shape == ()
        assert all(weight.grad.shape == weight.shape for weight in stage.network.parameters())


@pytest.mark.usefixtures("on_a_device")
def test_a_memory_never_synchronises_with_the_device():
    stage = Pretraining(2, {"memory": QueryMemory(20, 16)})
    for _ in range(3):
        with Recorded() as recorded:
            stage.backward()
        assert recorded.count["waiting"] == 0


@pytest.mark.usefixtures("on_a_device")
@pytest.mark.parametrize("optimizer", ["AdamW", "SGD"])
def test_the_optimizer_reads_only_its_own_step_count(optimizer):
    stage = Pretraining(2, {}, optimizer)
    for _ in range(2):
        stage.optimizer.zero_grad()
        with Recorded() as recorded:
            stage.backward()
            stage.optimizer.step()
        # AdamW of torch keeps these on the host, whatever the device of the weights
        steps = [state["step"] for state in stage.optimizer.state.values() if "step" in state]
        assert all(any(tensor is step for step in steps) for tensor in recorded.looked_at)
        assert (recorded.count["waiting"] > 0) == (optimizer == "AdamW")


def test_the_loss_checks_for_nan_only_where_that_does_not_synchronise():
    stage = Pretraining(2, {})
    with Recorded() as recorded:
        stage.backward()
    assert recorded.count["waiting"] > 0


# how a value may be looked at; whether the recorder notices, and whether a tensor without values refuses
LOOKS = {
    "item": (lambda x: x.sum().item(), True, True),
    "float": (lambda x: float(x[0]), True, True),
    "if": (lambda x: 1 if x.sum() > 0 else 0, True, True),
    "equal": (lambda x: torch.equal(x, x), True, True),
    "nonzero": (lambda x: x.nonzero(), True, True),
    "where": (lambda x: torch.where(x > 0), True, True),
    "unique": (lambda x: x.unique(), True, True),
    "a mask": (lambda x: x[x > 0], True, True),
    "masked_select": (lambda x: x.masked_select(x > 0), True, True),
    "repeat_interleave": (lambda x: x.repeat_interleave(torch.ones(3, dtype=torch.int64)), True, True),
    "assigning to a mask": (lambda x: x.index_put_((x > 0,), torch.zeros(())), True, False),
    "tolist": (lambda x: x.tolist(), False, True),
    "numpy": (lambda x: x.numpy(), False, True),
}


@pytest.mark.parametrize(("look", "recorded", "refused"), LOOKS.values(), ids=LOOKS.keys())
def test_a_synchronisation_in_forward_is_detected(look, recorded, refused):
    with Recorded() as recorder:
        look(torch.tensor([1.0, -2.0, 3.0]))
    assert (recorder.count["waiting"] > 0) == recorded
    with FakeTensorMode():
        if refused:
            with pytest.raises(RuntimeError, match=r"aten|numpy"):
                look(torch.empty(3))
        else:
            look(torch.empty(3))
    assert recorded or refused


def test_a_synchronisation_in_backward_is_detected():
    class Waits(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

        @staticmethod
        def backward(ctx, gradient):
            return gradient * gradient.sum().item()

    x = torch.ones(3, requires_grad=True)
    with Recorded() as recorded:
        Waits.apply(x).sum().backward()
    assert recorded.count["waiting"] == 1


def test_the_curve_reads_the_loss_once_per_epoch(tmp_path):
    engine = Engine(lambda engine, batch: {"loss": batch})
    LossCurve(str(tmp_path / "curve.csv"), "pretrain").attach(engine)
    with Recorded() as recorded:
        engine.run([torch.tensor(float(step)) for step in range(5)], max_epochs=3)
    assert recorded.count["add"] >= 15
    assert recorded.count["waiting"] <= 3  # reading several values at once is not counted here
