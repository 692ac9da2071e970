"""The configurations of a sequence layer and of a model, and the one place where their words become
functions.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from operator import attrgetter

from s5ref.engine import Pair
from s5ref.model import mix
from s5ref.model.block import BlockOptions
from s5ref.nn.pool import POOLS
from s5ref.nn.windows import MODES, Window
from s5ref.settings import check, check_count, check_words
from s5ref.ssm.config import SSMConfig

ACTIVATIONS = {
    "gelu": Pair(mix.gelu_only, mix.gelu_only_vjp),
    "half_glu1": Pair(mix.half_glu1, mix.half_glu1_vjp),
    "half_glu2": Pair(mix.half_glu2, mix.half_glu2_vjp),
    "full_glu": Pair(mix.full_glu, mix.full_glu_vjp),
}
STEPWISE = ("regression", "gaussian_regression")  # heads that answer every step
GELUS = {"tanh": attrgetter("gelu_tanh"), "erf": attrgetter("gelu_erf")}  # which kernel of the engine


@dataclass(frozen=True)
class LayerConfig(SSMConfig):
    """One sequence layer: norm, SSM, activation and gate, skip.

    Parameters
    ----------
    d_model, ssm_size, … : see `SSMConfig`
    activation : {"gelu", "half_glu1", "half_glu2", "full_glu"}
        What follows the SSM. With g = drop(gelu(y)): g, g ∘ σ(W g), y ∘ σ(W g) or (W₁ g) ∘ σ(W₂ g).
    gelu : {"tanh", "erf"}
        The GELU of Flax and of upstream, or that of PyTorch.
    norm : {"batch", "layer"}
        BatchNorm over (batch, time), or LayerNorm over the features.
    prenorm : bool
        Normalise before the SSM (True) or after the skip connection.
    bn_momentum : float
        Weight of the old running statistics of BatchNorm at an update, in [0, 1].
    dropout : float
        Probability that a feature of an example is zero for all time steps, in [0, 1).
    """

    activation: str = "half_glu1"
    gelu: str = "tanh"
    norm: str = "batch"
    prenorm: bool = True
    bn_momentum: float = 0.95
    dropout: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_words("model", self, activation=[*ACTIVATIONS], gelu=[*GELUS], norm=["batch", "layer"])
        check("model.dropout", self.dropout, "in [0, 1)", 0 <= self.dropout < 1)
        check("model.bn_momentum", self.bn_momentum, "in [0, 1]", 0 <= self.bn_momentum <= 1)

    def block_options(self) -> BlockOptions:
        """The functions that the words name."""
        return BlockOptions(
            ssm=self.ssm_options(),
            mix=ACTIVATIONS[self.activation],
            gelu=GELUS[self.gelu],
            batch_norm=self.norm == "batch",
            prenorm=self.prenorm,
            bn_momentum=self.bn_momentum,
        )


@dataclass(frozen=True)
class ModelConfig(LayerConfig):
    """A deep S5 model: encoder, sequence layers, head.

    Parameters
    ----------
    d_model, ssm_size, … : see `SSMConfig`
    activation, norm, … : see `LayerConfig`
    n_layers : int
        Sequence layers, ≥ 1.
    in_dim : int
        Channels of real inputs, or the number of tokens.
    n_classes : int
        K: classes, or values of a regression.
    pooling : {"mean", "last", "max", "mean+max"}
        From a sequence to one vector, channel by channel: the mean over its valid steps, the last of them,
        the largest, or mean + largest.
    padding : {"upstream", "masked"}
        What a sequence shorter than its row does at the steps behind its end: run on, as upstream has it, or
        count nowhere.
    head : {"classifier", "retrieval", "regression", "pooled_regression", "gaussian_regression"}
        Log-probabilities of classes; of two documents; real values at every step; of the whole sequence; at
        every step a mean and a variance of each value, fitted by the normal likelihood.
    encoder : {"linear", "image"}
        What makes features of an input: one matrix; or a small convolutional network, for which ``in_dim`` is
        the pixels of a square grey image, whose side is a multiple of 8.
    intervals : {"used", "ignored", "appended"}
        What sampling intervals are for: the steps of the layers; nothing; or one more input of the last
        matrix of an image encoder, while the layers take all steps as equally long.
    event_stride : int
        So many steps become one behind every ``event_every``-th layer but the last, so that deeper layers run
        on fewer steps; the intervals between them add up. 1: none do.
    event_every : int
        How many layers stand between two such poolings.
    event_pooling : {"mean", "last"}
        What a window of steps becomes: the mean of its valid steps, or the last of them.
    """

    n_layers: int = 4
    in_dim: int = 1
    n_classes: int = 10
    pooling: str = "mean"
    padding: str = "upstream"
    head: str = "classifier"
    event_stride: int = 1
    event_every: int = 1
    event_pooling: str = "mean"
    encoder: str = "linear"
    intervals: str = "used"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_words("model", self, pooling=[*POOLS], padding=["upstream", "masked"])
        check_words("model", self, head=["classifier", "retrieval", "pooled_regression", *STEPWISE])
        check_words("model", self, encoder=["linear", "image"], intervals=["used", "ignored", "appended"])
        for key in ("n_layers", "in_dim", "n_classes", "event_stride", "event_every"):
            check_count(f"model.{key}", getattr(self, key))
        check_words("model", self, event_pooling=MODES)
        if self.event_stride > 1:
            stride, every, layers = self.event_stride, self.event_every, self.n_layers
            own = f"1 with the head {self.head}, which answers every step"
            check("model.event_stride", stride, own, self.head not in STEPWISE)
            check("model.event_every", every, f"less than n_layers = {layers}", every < layers)
        if self.encoder == "image":
            side = math.isqrt(self.in_dim)
            own = "the square of a multiple of 8 with the encoder image: 64, 256, 576, …"
            check("model.in_dim", self.in_dim, own, side * side == self.in_dim and side % 8 == 0)
        elif self.intervals == "appended":
            own = "used or ignored with the encoder linear"
            check("model.intervals", self.intervals, own, False)

    @property
    def windows(self) -> list[Window | None]:
        """For each layer what its output is pooled by."""
        window = Window(self.event_stride, self.event_pooling) if self.event_stride > 1 else None
        last = self.n_layers - 1
        return [None if (i + 1) % self.event_every or i == last else window for i in range(self.n_layers)]

    @property
    def total_stride(self) -> int:
        """The steps of the input that one step of the last layer stands for."""
        return int(self.event_stride ** sum(window is not None for window in self.windows))
