"""What computes: an engine. And how one call of it is to be carried out.

A *kernel* is a pair (value, vjp), overridden together. Each pair of an `Engine` stands in for one reference
pair: the same signature, the same residuals, the same numbers in every leaf that it fills (within the budget
of `s5ref.verification.rounding.budget`); a leaf that its own vjp recomputes may be None. The reference
pairs are those of `s5ref.engines.SEQUENTIAL`; every other engine is ``dataclasses.replace`` of it, so that
a kernel which an engine does not have is the reference and never a wrong answer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf
from typing import Any, NamedTuple, TypedDict

from s5ref.arrays import Array
from s5ref.errors import ConfigError, suggest
from s5ref.ranks import GRID, Grid
from s5ref.segments import Segments

DEFAULT = "numba"  # the engine of every entry point that is given none
NAMES: dict[str, Callable[[], Engine]] = {}  # name → the engine; filled by s5ref.engine_names


class Pair(NamedTuple):
    """A function and its vector-Jacobian product.

    ``value(…) -> (y, residuals)``, ``vjp(residuals, dy) -> (d…)``.
    """

    value: Callable[..., Any]
    vjp: Callable[..., Any]


class Conditions(NamedTuple):
    """What an engine must know of a call, besides the options of a layer, to choose how to compute it.

    dtype      the dtype of the model, such as "float32"
    irregular  sampling intervals are given
    masked     padding is masked
    resets     episodes begin within the sequences
    packed     rows hold several sequences
    shared     other processes have other steps of the sequences
    """

    dtype: str
    irregular: bool = False
    masked: bool = False
    resets: bool = False
    packed: bool = False
    shared: bool = False


@dataclass(frozen=True)
class Implementation:
    """How an engine computes the sequence layers of a model.

    name   "composed": one kernel after the other; "fused": several in one pass over memory
    why    why this one, as a sentence
    value  (params, x, options, call, statistics, masks, x0) -> (BlockOut, residuals)
    vjp    (residuals, (dy, dstate or None), options, call) -> (dparams, dx, dx0); the call is that of value
    """

    name: str
    why: str
    value: Callable[..., Any]
    vjp: Callable[..., Any]


@dataclass(frozen=True, repr=False)
class Vjp:
    """A vjp with the residuals that it needs: ``vjp(*cotangents)``. Residuals belong to the pair that made
    them.
    """

    of: str
    function: Callable[..., Any]
    residuals: Any

    def __call__(self, *cotangents: Any) -> Any:
        return self.function(self.residuals, *cotangents)

    def __repr__(self) -> str:
        return f"<vjp of {self.of}>"


def as_is(tree: Any) -> Any:
    """The tree itself: the host is where the CPU's engines compute."""
    return tree


@dataclass(frozen=True)
class Engine:
    """How each operation that matters for speed is carried out."""

    name: str
    embed: Pair  # rows of W by token, + b: s5ref.nn.dense.embed
    linear: Pair  # x W + b, the only matrix product in the layer text: s5ref.nn.dense.linear
    scan: Pair  # x_k = Λ̄_k x_{k−1} + Bu_k: s5ref.ssm.scan.sequential_scan
    batch_norm: Pair  # normalise over (batch, time): s5ref.nn.norm.batch_norm
    layer_norm: Pair  # normalise over features: s5ref.nn.norm.layer_norm
    gelu_tanh: Pair  # x σ(2c(x + 0.044715 x³)): s5ref.nn.activation.gelu_tanh
    gelu_erf: Pair  # x Φ(x): s5ref.nn.activation.gelu_erf
    glu: Pair  # h σ(z): s5ref.nn.activation.glu
    layer: Callable[[Any, Conditions], Implementation]  # for a layer's options: s5ref.model.block.composed
    stream: Callable[..., Any]  # a model one step at a time, no vjp: s5ref.model.streaming.Streaming
    conv_pool: Pair  # max(0, of 2 × 2 pixels the largest of a convolution): s5ref.nn.conv.conv_pool
    features: Callable[..., Any]  # of random filters, no vjp: s5ref.features.responses.features
    to_device: Callable[[Any], Any] = as_is  # a tree of host arrays → where the engine computes
    to_host: Callable[[Any], Any] = as_is  # … and back
    updates: Callable[..., Any] | None = None  # (train.update.Updates) -> their form on the engine

    def __repr__(self) -> str:
        return f"<engine {self.name}>"


def as_engine(engine: Engine | str | None) -> Engine:
    """The engine itself, the one of that name, or the default one for None.

    Raises
    ------
    S5Error
        If no engine has the name.
    """
    if isinstance(engine, Engine):
        return engine
    name = DEFAULT if engine is None else engine
    if name not in NAMES:
        raise ConfigError(
            f"engine must be an Engine or one of {', '.join(NAMES)}; got {engine!r}.",
            suggest(str(name), NAMES) or "Pass a name, or an engine such as s5ref.NUMPY.",
        )
    return NAMES[name]()


class Settings(TypedDict, total=False):
    """The keywords that every call of a model takes.

    engine         what computes: an `Engine` or its name; default: `DEFAULT`
    training       True: statistics of the batch, and dropout; False (default): running statistics, no dropout
    key            (seed, step): the key of the dropout masks; needed only when training with dropout > 0
    step_rescale   multiplies Δ: zero-shot change of the sampling rate; default 1
    initial_state  of each layer the state (N, S) that it starts from, or None; default: zero. S = P', under
    first-order hold 2P'
    grid           where several processes share the batch: which; every array of the batch is then this
    process's part, but for lengths, which are those of whole sequences
    """

    engine: Engine | str | None
    training: bool
    key: tuple[int, int] | None
    step_rescale: float
    initial_state: Sequence[Array | None] | None
    grid: Grid


@dataclass(frozen=True)
class Call:
    """How one call is carried out, in one frozen value that goes from model to layer to operation.

    The first six are `Settings`; a model adds the rest for its layers.

    keep_residuals  whether a vjp follows; False keeps nothing: the memory of one layer
    input_cotangent whether the vjp is asked for the cotangent of the inputs, which may be expensive
    masks           the dropout masks of each layer; None: drawn by ``key``
    intervals       (N, L) sampling intervals before each step, in units of the regular one; None: all 1
    valid           (N, L, 1) True at valid steps, False at padding; None: all valid
    resets          (N, L) True at steps that start from the model's initial state; None: none does
    segments        the sequences of packed rows, to each of which a dropout mask belongs; None: a row is a
    sequence
    start           which step of the sequence the first one is, where other processes have those before it
    """

    engine: Engine
    training: bool = False
    key: tuple[int, int] | None = None
    step_rescale: float = 1.0
    initial_state: Sequence[Array | None] | None = None
    grid: Grid = GRID
    keep_residuals: bool = True
    input_cotangent: bool = True
    masks: Sequence[Any] | None = None
    intervals: Array | None = None
    valid: Array | None = None
    resets: Array | None = None
    segments: Segments | None = None
    start: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.step_rescale < inf:
            raise ConfigError(
                f"step_rescale multiplies the step and must be positive; got {self.step_rescale}.",
                "Use 1.0 for the sampling rate of training, 2.0 for half of it.",
            )

    @classmethod
    def of(cls, keep_residuals: bool, settings: Settings) -> Call:
        """The call that ``settings`` describe.

        Raises
        ------
        S5Error
            On a keyword that is none of `Settings`, an unknown engine, or a step_rescale ≤ 0.
        """
        unknown = [name for name in settings if name not in Settings.__annotations__]
        if unknown:
            raise ConfigError(
                f"A call takes the keywords {', '.join(Settings.__annotations__)}; got {unknown[0]}.",
                "What belongs to the examples (lengths, intervals, resets) is part of the Batch.",
            )
        engine = as_engine(settings.get("engine"))
        given: dict[str, Any] = {**settings, "engine": engine, "keep_residuals": keep_residuals}
        return cls(**given)

    def conditions(self, dtype: Any) -> Conditions:
        """What an engine chooses a layer's implementation by."""
        given = [x is not None for x in (self.intervals, self.valid, self.resets, self.segments)]
        given.append(self.grid.sequence.size > 1)
        return Conditions(str(dtype), *given)
