"""The share of a run in which its learning rate rises, for any number of steps."""

import pytest
import torch

from scripts.job.warm_up import warm_up_share


@pytest.mark.parametrize(("share", "steps"), [(0.2, 5), (0.01, 100), (0.5, 2), (0.2, 600), (0.2, 1), (1 / 3, 3)])
def test_a_schedule_can_be_made_of_it(share, steps):
    found = warm_up_share(share, steps)
    assert found == pytest.approx(share, rel=0.011)
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], 0.1)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=steps, pct_start=found)
    for _ in range(steps - 1):
        optimizer.step()
        schedule.step()


def test_other_shares_stay():
    assert warm_up_share(0.2, 600) == 0.2
