"""The weights of a run on a device: what `s5ref.train.update.Updates` is on the host, with the same numbers.

All parameters lie in one buffer, as do the moments; an update is one function of fixed arrays (batch, masks,
rates, weights) that can be recorded and replayed. The next batch and its masks are made while one computes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import NamedTuple

import numpy as np

from s5ref.arrays import Array
from s5ref.engine import Call, Engine
from s5ref.engines import NUMPY
from s5ref.errors import S5Error
from s5ref.gpu.adamw import Flat, adamw_flat, flatten, layout, settings, unflatten
from s5ref.gpu.cupy_device import out_of_memory_explained
from s5ref.gpu.launch import Launcher
from s5ref.model.batch import Batch
from s5ref.model.checks import check_batch
from s5ref.model.mix import Masks
from s5ref.model.model import LossAndGrad, Model
from s5ref.model.stack import draw_masks
from s5ref.train.optim import Group, Moments
from s5ref.train.update import Weights, update
from s5ref.tree import leaves, map_leaves

ROOM = 1.05  # what is asked for, over what is measured: pools hand out blocks, not bytes


class Feed(NamedTuple):
    """What is new in an update: its batch, and the masks of all layers (layers, 2, n, 1, H) or None."""

    batch: Batch
    masks: Array | None


class Updates:
    """Arguments, methods and refusals of `s5ref.train.update.Updates`."""

    def __init__(
        self,
        on: Launcher,
        graphs: bool,
        model: Model,
        weights: Weights,
        groups: Mapping[str, Group],
        engine: Engine,
        source: Callable[[int], Batch],
        seed: int = 0,
    ) -> None:
        self.on, self.graphs, self.model, self.engine, self.source = on, graphs, model, engine, source
        self.groups, self.seed, self.count = groups, seed, weights.updates
        self.at = layout(weights.params)
        self.like = weights.params["encoder.kernel"]
        trees = weights.params, weights.moments.first, weights.moments.second
        self.flat = Flat(*(engine.to_device(flatten(self.at, tree)) for tree in trees))
        self.params = unflatten(self.at, self.flat.params)
        self.statistics = engine.to_device(dict(weights.statistics))
        self.grads = engine.to_device(np.zeros(int(self.at.ends[-1]), self.like.dtype))
        self.ends = engine.to_device(self.at.ends)
        self.settings = on.empty((2 + 2 * len(self.at.names),), self.like.dtype)
        self.found = engine.to_device(
            np.zeros(2, self.like.dtype)
        )  # loss; NaN where a gradient is not finite
        self.feed: Feed | None = None  # what the update reads
        self.output: Array | None = None
        self.run: Callable[[], None] | None = None  # body, recorded; bound methods here would keep all memory
        self.ahead = ThreadPoolExecutor(1, "s5ref batches")
        self.next: Future[Feed] = self.ahead.submit(self._prepare, self.count)
        self.coming: Feed | None = None  # the next one, on its way to the device

    @property
    def weights(self) -> Weights:
        """Host copies."""
        trees = [unflatten(self.at, self.engine.to_host(buffer)) for buffer in self.flat]
        params, first, second = ({name: leaf.copy() for name, leaf in tree.items()} for tree in trees)
        return Weights(params, Moments(first, second), self.engine.to_host(self.statistics), self.count)

    def step(self, rates: Mapping[str, float]) -> tuple[float, Array]:
        """One more update: the loss and the output of its batch before it, on the host."""
        host, coming = self.next.result(), self.coming
        self.next, self.coming = self.ahead.submit(self._prepare, self.count + 1), None
        now = settings(self.at, self.count + 1, self.groups, rates).astype(self.like.dtype)
        with out_of_memory_explained("Lower train.batch, or use a device with more memory."):
            self.settings[...] = self.engine.to_device(now)
            self._receive(coming or self.engine.to_device(host))
            (self.run or self.body)()
            if self.next.exception() is None:  # while the device computes
                self.coming = self.engine.to_device(self.next.result())
            loss, flag = (float(x) for x in self.engine.to_host(self.found))
        if not math.isfinite(loss + flag):
            self._refuse(host.batch, rates)
        self.count += 1
        return loss, self.engine.to_host(self.output)

    def _prepare(self, k: int) -> Feed:
        """The batch of update k and its masks, on the host."""
        config = self.model.config
        batch = check_batch(config, {"encoder.kernel": self.like}, self.source(k))
        n = len(batch.inputs) * self.model.head.documents
        call = Call(NUMPY, training=True, key=(self.seed, k))
        masks = draw_masks(config.n_layers, n, config.d_model, config.dropout, call, self.like)
        return Feed(batch, np.array(masks) if config.dropout else None)

    def _receive(self, there: Feed) -> None:
        """Into the arrays that the update reads; the first one is these arrays."""
        if self.feed is not None:
            for (_, mine), (_, new) in zip(leaves(self.feed), leaves(there), strict=True):
                mine[...] = new
            return
        self.feed = there
        self._must_fit()
        if self.graphs:
            state = [*self.flat, *self.statistics.values()]
            before = [x.copy() for x in state]
            self.run = self.on.device.capture(self.body)
            for x, kept in zip(state, before, strict=True):  # recording ran it once
                x[...] = kept

    def body(self) -> None:
        """One update, from arrays to arrays that stay where they are."""
        assert self.feed is not None
        result = self.gradient()
        for name, leaf in unflatten(self.at, self.grads).items():
            leaf[...] = result.grads[name]
        self.found[0] = result.loss
        self.found[1] = np.sum(self.grads - self.grads)
        adamw_flat(self.on, self.flat, self.grads, self.ends, self.settings, self.found)
        for name, new in result.statistics.items():
            self.statistics[name][...] = new
        if self.output is None:
            self.output = result.output.copy()
        self.output[...] = result.output

    def gradient(self, examples: int | None = None) -> LossAndGrad:
        """Of the batch, or of its first ``examples``; changes nothing."""
        assert self.feed is not None
        rows = examples and examples * self.model.head.documents
        batch, masks = map_leaves(lambda x: x[:examples], self.feed.batch), self.feed.masks
        pairs: list[Masks] = [(None, None)] * self.model.config.n_layers
        if masks is not None:
            pairs = [(masks[i, 0, :rows], masks[i, 1, :rows]) for i in range(len(pairs))]
        call = Call(self.engine, training=True)
        return self.model.loss_and_grad(self.params, self.statistics, batch, call, masks=pairs)

    def _must_fit(self) -> None:
        """S5Error where the whole batch will not fit: by what a quarter and half of it take."""
        assert self.feed is not None
        device, N = self.on.device, len(self.feed.batch.inputs)
        few, some = N // 4, N // 2
        if few == 0:
            return
        small, large = (device.used_by(partial(self.gradient, n)) for n in (few, some))
        each, free = max(1.0, (large - small) / (some - few)), device.available()
        whole = int(ROOM * (large + each * (N - some)))
        if whole > free:
            fit = max(0, some + int((free / ROOM - large) / each))
            raise S5Error(
                f"A step on {N} examples needs about {whole / 2**30:.3g} GiB of {device.name}, which has "
                f"{free / 2**30:.3g} GiB free; about {fit} would fit.",
                "Lower train.batch, or use a device with more memory.",
            )

    def _refuse(self, batch: Batch, rates: Mapping[str, float]) -> None:
        """The same update on the host finds the leaf: nothing has been changed on the device."""
        call = Call(NUMPY, training=True, key=(self.seed, self.count))
        update(self.model, self.weights, batch, call, self.groups, rates)
        raise S5Error(
            f"Step {self.count + 1}: loss or gradient are not finite on {self.on.device.name}, and finite on "
            "the host.",
            "This is a fault of the device or of its kernels: run `s5ref verify --engine cuda`.",
        )
