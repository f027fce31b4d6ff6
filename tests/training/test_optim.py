import math
from itertools import pairwise

import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import CosineAnnealingLR, MultiStepLR

from samecar.config import OptimizerSettings, ScheduleSettings, load_recipe
from samecar.training import build_optimizer, learning_rate
from samecar.training.rates import scheduled_rate


def rates_of(schedule, epochs=60, rate=1e-4):
    return [learning_rate(schedule, rate, epoch, epochs) for epoch in range(epochs)]


def torch_rates(make, epochs=60, rate=1e-4):
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], rate)
    scheduler = make(optimizer)
    rates = []
    for _ in range(epochs):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return rates


def test_multi_step_equals_torch():
    ours = rates_of(ScheduleSettings())
    assert ours == pytest.approx(torch_rates(lambda optimizer: MultiStepLR(optimizer, [20, 40], 0.1)))


def test_cosine_equals_torch_and_is_not_a_multi_step():
    ours = rates_of(ScheduleSettings(decay="cosine"))
    assert ours == pytest.approx(torch_rates(lambda optimizer: CosineAnnealingLR(optimizer, 60)), rel=1e-6)
    assert len(set(ours)) == 60


def test_warm_up_is_linear_from_a_hundredth_over_ten_epochs():
    rates = rates_of(ScheduleSettings(warmup_epochs=10))
    assert rates[0] == pytest.approx(1e-6)
    assert rates[5] == pytest.approx((1e-6 + 1e-4) / 2)
    steps = [later - earlier for earlier, later in pairwise(rates[:11])]
    assert steps == pytest.approx([steps[0]] * 10)
    assert rates[10] == rates[19] == 1e-4
    assert rates[20] == pytest.approx(1e-5)
    assert rates[40] == pytest.approx(1e-6)


def test_warm_up_then_cosine_falls_to_zero_at_the_last_epoch():
    schedule = ScheduleSettings(warmup_epochs=10, decay="cosine")
    assert learning_rate(schedule, 1.0, 10, 60) == 1.0
    assert learning_rate(schedule, 1.0, 35, 60) == pytest.approx(0.5)
    assert learning_rate(schedule, 1.0, 60, 60) == pytest.approx(0, abs=1e-12)


def test_no_decay_keeps_the_rate():
    assert set(rates_of(ScheduleSettings(decay="none"))) == {1e-4}


@pytest.mark.parametrize(
    ("settings", "kind", "options"),
    [
        ({"name": "adam"}, torch.optim.Adam, {"betas": (0.9, 0.999), "amsgrad": False}),
        ({"name": "amsgrad"}, torch.optim.Adam, {"betas": (0.9, 0.999), "amsgrad": True}),
        ({"name": "adamw"}, torch.optim.AdamW, {"betas": (0.9, 0.999), "amsgrad": False}),
        ({"name": "adamw", "amsgrad": True}, torch.optim.AdamW, {"amsgrad": True}),
        ({"name": "rmsprop"}, torch.optim.RMSprop, {"alpha": 0.99, "momentum": 0.9}),
        ({"name": "sgd"}, torch.optim.SGD, {"momentum": 0.9, "nesterov": False}),
        ({"name": "sgd", "momentum": 0.5}, torch.optim.SGD, {"momentum": 0.5, "nesterov": False}),
        ({"name": "rmsprop", "alpha": 0.9, "momentum": 0.0}, torch.optim.RMSprop, {"alpha": 0.9, "momentum": 0.0}),
        ({"name": "adam", "betas": (0.5, 0.9)}, torch.optim.Adam, {"betas": (0.5, 0.9)}),
        ({"name": "amsgrad", "betas": (0.5, 0.9)}, torch.optim.Adam, {"betas": (0.5, 0.9), "amsgrad": True}),
        ({"name": "adamw", "betas": (0.5, 0.9)}, torch.optim.AdamW, {"betas": (0.5, 0.9)}),
    ],
)
def test_optimisers_are_the_reports(settings, kind, options):
    optimizer = build_optimizer([nn.Parameter(torch.ones(2))], OptimizerSettings(learning_rate=0.01, **settings))
    assert type(optimizer) is kind
    group = optimizer.param_groups[0]
    assert {name: group[name] for name in options} == options
    assert (group["lr"], group["weight_decay"]) == (0.01, 5e-4)


def test_weight_decay_pulls_every_parameter():
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    optimizer = build_optimizer(model.parameters(), OptimizerSettings(name="sgd", learning_rate=1.0, weight_decay=0.5))
    before = [parameter.detach().clone() for parameter in model.parameters()]
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    for old, new in zip(before, model.parameters(), strict=True):
        assert torch.allclose(new, old / 2)
    assert math.isclose(float(before[2][0]), 1)  # the norm's weight is among them


def test_a_rate_per_step_is_the_same_formula_with_fractions_of_epochs():
    """Two epochs of warm-up from a tenth, then half a cosine over four; four steps an epoch, by hand."""
    changes = ["warmup_epochs=2", "warmup_start=0.1", "decay=cosine", "per_step=true", "minimum=0.2"]
    recipe = load_recipe(
        "report-baseline",
        ["training.epochs=6", "optimizer.learning_rate=1.0", *(f"schedule.{change}" for change in changes)],
    )
    rates = [scheduled_rate(recipe, epoch, step / 4) for epoch in range(6) for step in range(4)]
    assert rates[:8] == pytest.approx([0.1, 0.2125, 0.325, 0.4375, 0.55, 0.6625, 0.775, 0.8875])
    falling = [0.2 + 0.8 * (1 + math.cos(math.pi * step / 16)) / 2 for step in range(16)]
    assert rates[8:] == pytest.approx(falling)
    assert rates[16] == pytest.approx(0.6)


def test_a_rate_per_epoch_knows_no_fractions():
    recipe = load_recipe("report-baseline", ["schedule.decay=cosine", "schedule.warmup_epochs=3"])
    for epoch in (0, 2, 3, 30):
        assert scheduled_rate(recipe, epoch, 0.9) == scheduled_rate(recipe, epoch)


def test_cosine_ends_at_its_minimum():
    schedule = ScheduleSettings(decay="cosine", minimum=0.01)
    assert learning_rate(schedule, 2.0, 0, 10) == 2
    assert learning_rate(schedule, 2.0, 5, 10) == pytest.approx(1.01)
    assert learning_rate(schedule, 2.0, 10, 10) == pytest.approx(0.02)
