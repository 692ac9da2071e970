"""What is timed: a recipe's model on synthetic data of its shape, and how many operations that is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from s5ref.arrays import Array
from s5ref.data.tasks import get_task
from s5ref.model.batch import Batch
from s5ref.model.config import ModelConfig
from s5ref.model.heads import HEADS
from s5ref.model.leaves import GATES, HIDDEN, MAPS
from s5ref.model.packing import packed
from s5ref.random import generator
from s5ref.train.config import RunConfig

DEFAULT = ("smnist", "listops", "pathx")
BATCHES = {"pathx": 1}  # of the default cases; any other recipe comes with its own batch
LAYER = "smnist layer"
GROWTH = "growth"
QUICK_BATCH, QUICK_LENGTH = 4, 256  # at most, with --quick
CHECK_BATCH, CHECK_LENGTH = 4, 1024  # at most, where two peers are compared


class Sizes(NamedTuple):
    """sequences = B, or 2 B of two documents; rows = their time steps; H features, P = P' kept states."""

    sequences: int
    rows: int
    H: int
    P: int
    directions: int
    gates: int
    layers: int


@dataclass(frozen=True)
class Case:
    """The model of ``config`` on ``batch`` random sequences of ``length`` steps; ``bare``: only the SSM of
    its first layer, on random features. ``padded``: the sequences end between the half and the whole of it;
    ``packed``: they end anywhere, and are packed; ``irregular``: with intervals between 0.5 and 2.
    """

    name: str
    config: RunConfig
    batch: int
    length: int
    bare: bool = False
    padded: bool = False
    packed: bool = False
    irregular: bool = False

    @property
    def model(self) -> ModelConfig:
        return self.config.model

    @property
    def sizes(self) -> Sizes:
        m = self.model
        sequences = (2 if m.head == "retrieval" else 1) * self.batch
        directions, gates = 2 if m.bidirectional else 1, len(GATES[m.activation])
        return Sizes(sequences, sequences * self.length, m.d_model, m.kept, directions, gates, m.n_layers)

    def whats(self) -> list[str]:
        """train_step, forward, and step (one time step of a stream) where the model has one."""
        streams = not self.bare and not self.model.bidirectional and self.model.head != "retrieval"
        return ["train_step", "forward", *(["step"] if streams else [])]

    def small(self, batch: int = CHECK_BATCH, length: int = CHECK_LENGTH) -> Case:
        """The same model on fewer and shorter sequences; by default for comparing what two peers compute."""
        return replace(self, batch=min(self.batch, batch), length=min(self.length, length))

    def quick(self) -> Case:
        """The case of ``--quick``."""
        return self.small(QUICK_BATCH, QUICK_LENGTH)

    def data(self) -> Batch:
        """Random tokens, or numbers uniform on [0, 1), and random targets; the same at every call."""
        rng, m = generator("bench", self.name), self.model
        documents = (2,) if m.head == "retrieval" else ()
        shape, dtype = (self.batch, *documents, self.length), self.config.train.dtype
        tokens = get_task(self.config.task).kind == "tokens"
        inputs: Array = (
            rng.integers(0, m.in_dim, shape) if tokens else rng.random((*shape, m.in_dim)).astype(dtype)
        )
        head = HEADS[m.head]
        shape = head.target_shape(N=self.batch, L=self.length, K=m.n_classes)
        targets = rng.integers(0, m.n_classes, shape) if head.classifies else rng.random(shape).astype(dtype)
        steps = inputs.shape[: 2 + len(documents)]
        lengths = None
        if self.padded or self.packed:
            lengths = rng.integers(0 if self.packed else self.length // 2, self.length, steps[:-1]) + 1
        intervals = rng.uniform(0.5, 2, steps).astype(dtype) if self.irregular else None
        batch = Batch(inputs, targets, lengths, intervals)
        return packed(batch) if self.packed else batch

    def features(self) -> tuple[Array, Array]:
        """For the bare SSM: its input u and the cotangent of its output, both (N, L, H) and N(0, 1)."""
        rng = generator("bench", self.name)
        shape, dtype = (self.batch, self.length, self.model.d_model), self.config.train.dtype
        return rng.standard_normal(shape).astype(dtype), rng.standard_normal(shape).astype(dtype)

    def flops(self, what: str) -> int:
        """Operations of the matrix products alone, of one repetition; everything else is left out.

        Backward is twice forward: each product has one for its input and one for its matrix.
        """
        rows = 1 if what == "step" else self.sizes.rows
        return rows * self._row_flops() * (3 if what.startswith("train_step") else 1)

    def _row_flops(self) -> int:
        """Forward, of one time step of one sequence: B̃ u, C̃ x per direction, the gates, the encoder."""
        s = self.sizes
        ssm = 2 * s.H * 2 * s.P * (1 + s.directions)  # real by complex
        if self.bare:
            return ssm
        return s.layers * (ssm + s.gates * 2 * s.H**2) + self._encoder_flops()

    def _encoder_flops(self) -> int:
        """Of a matrix, or of the convolutions and matrices of an image encoder."""
        m = self.model
        if m.encoder == "image":
            convolutions = m.in_dim * (25 * MAPS + 9 * MAPS**2 // 16)
            return 2 * (convolutions + MAPS * m.in_dim // 64 * HIDDEN + HIDDEN * m.d_model)
        return 0 if get_task(self.config.task).kind == "tokens" else 2 * m.in_dim * m.d_model

    def message(self) -> dict[str, Any]:
        """The case in JSON's terms."""
        return vars(self) | {"config": self.config.to_toml()}

    @classmethod
    def of_message(cls, message: Mapping[str, Any]) -> Case:
        """The inverse of `message`."""
        return cls(**{**message, "config": RunConfig.from_toml_text(message["config"], "case")})


def recipe_case(name: str, quick: bool = False) -> Case:
    """The case of a recipe, with its task's length.

    Raises
    ------
    S5Error
        On a name that is no recipe.
    """
    config = RunConfig.recipe(name)
    config = replace(config, train=replace(config.train, dtype="float32"))
    case = Case(name, config, BATCHES.get(name, config.train.batch), get_task(config.task).length)
    return case.quick() if quick else case


def layer_case(quick: bool = False) -> Case:
    """The SSM of an sMNIST layer with every state kept, as s5-pytorch counts: 128 states, no pairs."""
    case = recipe_case("smnist", quick)
    config = replace(case.config, model=replace(case.model, conj_sym=False))
    return replace(case, name=LAYER, config=config, bare=True)
