"""The weights of a run on a device: what `s5ref.train.update.Updates` is on the host, with the same numbers.

All parameters lie in one buffer, and so do the moments. An update is one function of arrays that stay in
place (batch, masks, rates, weights), so it can be recorded and replayed. While the device computes an update,
the host prepares the batch and the masks of the next one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import numpy as np

from s5ref.arrays import Array
from s5ref.engine import Call
from s5ref.engines import NUMPY
from s5ref.errors import S5Error
from s5ref.gpu.adamw import Flat, adamw_flat, flatten, layout, settings, unflatten
from s5ref.gpu.cupy_device import out_of_memory_explained
from s5ref.gpu.launch import Launcher
from s5ref.model.batch import Batch
from s5ref.model.checks import check_batch
from s5ref.model.chunks import value_and_grad
from s5ref.model.mix import Masks
from s5ref.model.model import LossAndGrad
from s5ref.model.stack import draw_masks
from s5ref.optim.adamw import Moments
from s5ref.train.update import Updates as HostUpdates
from s5ref.train.update import Weights
from s5ref.tree import leaves, map_leaves

MEMORY_MARGIN = 1.05  # required over measured memory: pools hand out blocks, not bytes


class Feed(NamedTuple):
    """The inputs of an update: its batch, and the masks of all layers (layers, 2, n, 1, H) or None."""

    batch: Batch
    masks: Array | None


class Updates:
    """The updates ``host`` on a device: the same methods and refusals."""

    def __init__(self, on: Launcher, graphs: bool, host: HostUpdates) -> None:
        self.on, self.graphs, self.host, self.model, self.engine = on, graphs, host, host.model, host.engine
        weights, engine = host.weights, host.engine
        self.count = host.count
        self.at = layout(weights.params)
        self.like = weights.params["encoder.kernel"]
        trees = weights.params, weights.moments.first, weights.moments.second
        self.flat = Flat(*(engine.to_device(flatten(self.at, tree)) for tree in trees))
        self.params = unflatten(self.at, self.flat.params)
        self.statistics = engine.to_device(dict(weights.statistics))
        self.grads = engine.to_device(np.zeros(int(self.at.ends[-1]), self.like.dtype))
        self.ends = engine.to_device(self.at.ends)
        self.settings = on.empty((2 + 2 * len(self.at.names),), self.like.dtype)
        self.result = engine.to_device(np.zeros(2, self.like.dtype))  # loss; NaN if a gradient is not finite
        self.feed: Feed | None = None  # the arrays that the update reads
        self.output: Array | None = None
        self.run: Callable[[], None] | None = None  # the recorded body; a bound method here would be a cycle
        self.loader = ThreadPoolExecutor(1, "s5ref batches")
        self.next: Future[Feed] = self.loader.submit(self._prepare, self.count)  # on the host
        self.next_on_device: Feed | None = None  # the same, once it is copied

    @property
    def weights(self) -> Weights:
        """Host copies."""
        trees = [unflatten(self.at, self.engine.to_host(buffer)) for buffer in self.flat]
        params, first, second = ({name: leaf.copy() for name, leaf in tree.items()} for tree in trees)
        return Weights(params, Moments(first, second), self.engine.to_host(self.statistics), self.count)

    def step(self, rates: Mapping[str, float]) -> tuple[float, Array]:
        """One more update: the loss and the output of its batch before it, on the host."""
        host, feed = self.next.result(), self.next_on_device
        self.next, self.next_on_device = self.loader.submit(self._prepare, self.count + 1), None
        now = settings(self.at, self.count + 1, self.host.groups, rates).astype(self.like.dtype)
        with out_of_memory_explained("Lower train.batch, or use a device with more memory."):
            self.settings[...] = self.engine.to_device(now)
            self._receive(feed or self.engine.to_device(host))
            (self.run or self.body)()
            if self.next.exception() is None:  # while the device computes
                self.next_on_device = self.engine.to_device(self.next.result())
            loss, flag = (float(x) for x in self.engine.to_host(self.result))
        if not math.isfinite(loss + flag):
            self._refuse(host.batch, rates)
        self.count += 1
        return loss, self.engine.to_host(self.output)

    def _prepare(self, k: int) -> Feed:
        """The batch of update k and its masks, on the host."""
        config = self.model.config
        batch = check_batch(config, {"encoder.kernel": self.like}, self.host.source(k))
        n = len(batch.inputs) * self.model.head.documents
        call = Call(NUMPY, training=True, key=(self.host.seed, k))
        masks = draw_masks(config.n_layers, n, config.d_model, config.dropout, call, self.like)
        return Feed(batch, np.array(masks) if config.dropout else None)

    def _receive(self, new: Feed) -> None:
        """Copies a feed into the arrays that the update reads. The first feed itself becomes these arrays."""
        if self.feed is not None:
            for (_, fixed), (_, leaf) in zip(leaves(self.feed), leaves(new), strict=True):
                fixed[...] = leaf
            return
        self.feed = new
        self._must_fit()
        if self.graphs:
            state = [*self.flat, *self.statistics.values()]
            before = [x.copy() for x in state]
            self.run = self.on.device.capture(self.body)
            for x, kept in zip(state, before, strict=True):  # recording ran it once
                x[...] = kept

    def body(self) -> None:
        """One update. It reads and writes arrays that stay in place."""
        assert self.feed is not None
        result = self.gradient()
        for name, leaf in unflatten(self.at, self.grads).items():
            leaf[...] = result.grads[name]
        self.result[0] = result.loss
        self.result[1] = np.sum(self.grads - self.grads)
        adamw_flat(self.on, self.flat, self.grads, self.ends, self.settings, self.result)
        for name, new in result.statistics.items():
            self.statistics[name][...] = new
        if self.output is None:
            self.output = result.output.copy()
        self.output[...] = result.output

    def gradient(self, examples: int | None = None) -> LossAndGrad:
        """Loss and gradient of the batch, or of its first ``examples``; changes nothing."""
        assert self.feed is not None
        rows = examples and examples * self.model.head.documents
        batch, masks = map_leaves(lambda x: x[:examples], self.feed.batch), self.feed.masks
        pairs: list[Masks] = [(None, None)] * self.model.config.n_layers
        if masks is not None:
            pairs = [(masks[i, 0, :rows], masks[i, 1, :rows]) for i in range(len(pairs))]
        call = Call(self.engine, training=True, masks=pairs)
        given = self.model, self.params, self.statistics, batch, call
        return value_and_grad(*given, self.host.chunk, self.host.truncate)

    def _must_fit(self) -> None:
        """S5Error if the batch will not fit in memory, estimated from what a quarter and half of it take."""
        assert self.feed is not None
        device, N = self.on.device, len(self.feed.batch.inputs)
        few, some = N // 4, N // 2
        if few == 0:
            return
        small, large = (device.used_by(partial(self.gradient, n)) for n in (few, some))
        each, free = max(1.0, (large - small) / (some - few)), device.available()
        whole = int(MEMORY_MARGIN * (large + each * (N - some)))
        if whole > free:
            fit = max(0, some + int((free / MEMORY_MARGIN - large) / each))
            raise S5Error(
                f"A step on {N} examples needs about {whole / 2**30:.3g} GiB of {device.name}, which has "
                f"{free / 2**30:.3g} GiB free; about {fit} would fit.",
                "Lower train.batch, or use a device with more memory.",
            )

    def _refuse(self, batch: Batch, rates: Mapping[str, float]) -> None:
        """Repeats the update on the host, which names the leaf; the device has changed nothing."""
        replace(self.host, weights=self.weights, engine=NUMPY, source=lambda _: batch).step(rates)
        raise S5Error(
            f"Step {self.count + 1}: loss or gradient are not finite on {self.on.device.name}, and finite on "
            "the host.",
            "This is a fault of the device or of its kernels: run `s5ref verify --engine cuda`.",
        )
