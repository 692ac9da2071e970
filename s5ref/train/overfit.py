"""Can the model learn one batch by heart? If not, something more basic than generalisation is wrong."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np

from s5ref.data.batches import Dataset, order
from s5ref.engine import Engine, as_engine
from s5ref.model.model import Model
from s5ref.optim.adamw import init_moments
from s5ref.train.config import RunConfig
from s5ref.train.evaluate import score
from s5ref.train.results import OverfitResult, Progress, Report
from s5ref.train.signals import stop_request
from s5ref.train.update import Updates, Weights

SMALL_LOSS = 0.05  # nats; with every answer right
SMALL_ERROR = 0.05  # of a regression: MSE as a fraction of the targets' variance


def overfit(
    config: RunConfig,
    dataset: Dataset,
    *,
    engine: Engine | str | None = None,
    seed: int = 0,
    max_steps: int = 500,
    report: Report | None = None,
) -> OverfitResult:
    """Train on the first batch of epoch 0 until it is learned: constant rates, no dropout, no weight decay.

    Parameters
    ----------
    config, dataset, engine, seed, report
        As in `s5ref.train.loop.fit`.
    max_steps : int
        Updates after which it gives up.

    Returns
    -------
    OverfitResult
        Learned: accuracy 1 and loss < 0.05 nats in training mode; regression: MSE < 5 % of the targets'
        variance. ``interrupted``: the signal that stopped it. Nothing is written.

    Raises
    ------
    NonFinite
        Where a loss or a gradient is not finite.
    """
    config = config.fitted(len(dataset.train))
    model = Model(replace(config.model, dropout=0.0))
    params, statistics = model.init(seed, config.train.dtype)
    weights = Weights(params, init_moments(params), statistics, 0)
    optimizer = replace(config.optim, weight_decay=0.0, schedule="constant").optimizer(1, 1)
    groups, rates = optimizer.groups(params), optimizer.rates(0)
    n = min(config.train.batch, len(dataset.train))
    batch = dataset.train.batch(order(seed, 0, len(dataset.train))[:n], config.train.dtype)
    assert batch.targets is not None
    classes, valid = model.head.classifies, model.valid_steps(batch)
    targets = batch.targets if valid is None else batch.targets[valid[..., 0]]
    small = SMALL_LOSS if classes else SMALL_ERROR * float(np.var(targets))
    given = model, weights, groups, as_engine(engine), lambda _: batch, seed
    own = Updates(*given, config.train.chunk, config.train.truncate).on_engine()
    start, loss, accuracy, mse, learned = time.monotonic(), float("inf"), None, None, False
    with stop_request() as stop:
        while not learned and own.count < max_steps and stop.number is None:
            loss, output = own.step(rates)
            scored = score(model.head, output, batch.targets, valid)
            accuracy, mse = (scored.right / n, None) if classes else (None, scored.mse)
            learned = loss < small and accuracy == 1.0 if classes else scored.mse < small
            if report is not None:
                pace = own.count / (time.monotonic() - start)
                left = (max_steps - own.count) / pace
                report(Progress("train", own.count, max_steps, 1, 1, loss, 1.0, pace, left, accuracy))
    return OverfitResult(learned, own.count, loss, accuracy, n, time.monotonic() - start, stop.number, mse)
