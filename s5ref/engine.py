"""What travels with a call: the kernels that carry it out, and how it is to be carried out.

A *kernel* is a pair (value, vjp), overridden together. Each field of `Engine` stands in for one reference
pair: the same signature, the same NamedTuple of saved values, the same numbers in every leaf it fills (within
the budget of `s5ref.verification.budget`); a leaf that its own vjp recomputes may be None. The reference
pairs are `s5ref.engines.SEQUENTIAL`; every other engine is ``dataclasses.replace`` of it, so that a kernel
which an engine does not have is the reference and never a wrong answer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from typing import Any, NamedTuple

from s5ref.arrays import Array
from s5ref.errors import S5Error


class Pair(NamedTuple):
    """A function and its vector-Jacobian product: ``value(…) -> (y, saved)``, ``vjp(saved, dy) -> (d…)``."""

    value: Callable[..., Any]
    vjp: Callable[..., Any]


def as_is(tree: Any) -> Any:
    """The tree itself: the host is where the CPU's engines compute."""
    return tree


@dataclass(frozen=True)
class Engine:
    """One engine: how each operation that matters for speed is carried out."""

    name: str
    embed: Pair  # rows of W by token, + b: s5ref.nn.dense.embed
    linear: Pair  # x W + b, the only matrix product in the layer text: s5ref.nn.dense.linear
    scan: Pair  # x_k = Λ̄_k x_{k−1} + Bu_k: s5ref.ssm.scan.sequential_scan
    batch_norm: Pair  # normalise over (batch, time): s5ref.nn.norm.batch_norm
    layer_norm: Pair  # normalise over features: s5ref.nn.norm.layer_norm
    gelu_tanh: Pair  # x σ(2c(x + 0.044715 x³)): s5ref.nn.activation.gelu_tanh
    gelu_erf: Pair  # x Φ(x): s5ref.nn.activation.gelu_erf
    glu: Pair  # h σ(z): s5ref.nn.activation.glu
    block: Pair  # a whole sequence layer, composed through the fields: s5ref.model.block.block
    stream: Callable[..., Any]  # a model one step at a time, no vjp: s5ref.model.streaming.Streaming
    to_device: Callable[[Any], Any] = as_is  # a tree of host arrays → where the engine computes
    to_host: Callable[[Any], Any] = as_is  # … and back
    updates: Callable[..., Any] | None = (
        None  # a run's weights; None: on the host, s5ref.train.update.Updates
    )


@dataclass(frozen=True)
class Call:
    """Everything per call, in one frozen value: one extra argument through model → stack → block → op.

    kernels       the engine
    training      batch statistics and dropout (True), or running statistics (False)
    gradient      whether a backward pass may follow; False saves nothing: the memory of one layer
    key           (seed, step): the key of the dropout masks; needed only when training with dropout > 0
    step_rescale  multiplies Δ: zero-shot change of the sampling rate
    intervals     (N, L) sampling intervals before each step, in units of the regular one; None: all 1
    valid         (N, L, 1) True at valid steps, False at padding; None: all valid

    A model sets the last two from its batch.
    """

    engine: Engine
    training: bool = False
    keep_residuals: bool = True
    key: tuple[int, int] | None = None
    step_rescale: float = 1.0
    intervals: Array | None = None
    valid: Array | None = None

    def __post_init__(self) -> None:
        if not 0 < self.step_rescale < inf:
            raise S5Error(
                f"Call: step_rescale multiplies the step and must be positive; got {self.step_rescale}.",
                "Use 1.0 for the sampling rate of training, 2.0 for half of it.",
            )
