"""The published results of the tasks: each figure once, with its source."""

from __future__ import annotations

from typing import NamedTuple

PAPER = "Smith et al.: Simplified state space layers for sequence modeling, ICLR 2023"
S4 = "Gu et al.: Efficiently modeling long sequences with structured state spaces, ICLR 2022"
S4D = "Gu et al.: On the parameterization and initialization of diagonal state space models, NeurIPS 2022"
LIQUID = "Hasani et al.: Liquid structural state-space models, ICLR 2023"
MEGA = "Ma et al.: Mega: moving average equipped gated attention, ICLR 2023"
LRU = "Orvieto et al.: Resurrecting recurrent neural networks for long sequences, ICML 2023"
USER = "reported by a user of the authors' code"
MEMORY = "quoted from memory, not checked against a copy"


class Published(NamedTuple):
    """A figure that somebody else published.

    model    what was trained
    figure   accuracy on the test set in %, or mean squared error
    source   where it stands, or why it is uncertain
    spread   standard deviation over seeds; None where it is not given
    seeds    how many; None where it is not given
    """

    model: str
    figure: float
    source: str
    spread: float | None = None
    seeds: int | None = None


_LRA = ("listops", "text", "retrieval", "image", "pathfinder", "pathx")
_ON_LRA: tuple[tuple[str, str, tuple[float | None, ...]], ...] = (
    ("S5, paper", PAPER, (62.15, 89.31, 91.40, 88.00, 95.33, 98.58)),
    ("S5, rerun by LRU's authors", LRU, (58.5, 86.2, 88.9, None, 95.7, 96.0)),
    ("S4-LegS", S4, (59.60, 86.82, 90.90, 88.65, 94.20, 96.35)),
    ("S4D-LegS", S4D, (60.47, 86.18, 89.46, 88.19, 93.06, 91.95)),
    ("Liquid-S4", LIQUID, (62.75, 89.02, 91.20, 89.50, 94.8, 96.66)),
    ("Mega", MEGA, (63.14, 90.43, 91.25, 90.44, 96.01, 97.98)),
    ("LRU", LRU, (60.2, 89.4, 89.9, None, 95.1, 94.2)),
)

_OTHERS: dict[str, tuple[Published, ...]] = {
    "listops": (Published("S5, eight seeds of a user", 60.89, USER, 0.53, 8),),
    "smnist": (
        Published("S5, paper", 99.65, MEMORY),
        Published("S5, original code rerun", 99.54, USER),
    ),
    "psmnist": (Published("S5, paper", 98.67, MEMORY),),
    "scifar": (Published("S5, paper", 90.10, MEMORY),),
    "speech35": (Published("S5, paper", 96.52, MEMORY),),
    "pendulum": (
        Published("S5, paper", 3.41e-3, PAPER, 0.27e-3, 20),
        Published("CRU", 3.94e-3, PAPER, 0.21e-3),
        Published("RKN-Δt", 5.09e-3, PAPER, 0.40e-3),
        Published("ODE-RNN", 7.26e-3, PAPER, 0.41e-3),
    ),
}  # fmt: skip
NOTES: dict[str, str] = {
    "listops": "The majority class has 17 %, not 10 %.",
    "pathx": "Users report that 4 of 10 seeds never leave chance.",
    "image": "LRU reports 89.0 % on colour images, which is another task.",
}
"""What one must know beside the figures."""


def published(task: str) -> list[Published]:
    """The figures of a task, the paper's first, then reruns and other models; none for data of one's own."""
    lra = []
    if task in _LRA:
        each = ((model, source, figures[_LRA.index(task)]) for model, source, figures in _ON_LRA)
        lra = [Published(model, figure, source) for model, source, figure in each if figure is not None]
    return [*lra[:1], *_OTHERS.get(task, ()), *lra[1:]]
