"""Numbers that are known beforehand: parameter counts of the paper's models, learning rates, parameter
groups."""

from __future__ import annotations

from math import cos, pi

from s5ref.model.config import ModelConfig
from s5ref.model.leaves import parameter_count, parameter_shapes
from s5ref.optim import OptimConfig, schedule
from s5ref.optim import adamw as optim
from s5ref.train.config import RunConfig
from s5ref.verification.report import Measured

# ListOps and the small sMNIST equal published run logs; the others follow from the paper's table of
# hyperparameters.
PARAMETERS = {
    "smnist": 138_634,
    "listops": 188_490,
    "text": 1_321_154,
    "retrieval": 772_098,
    "image": 5_133_706,
    "pathfinder": 1_113_602,
    "pathx": 694_018,
    "speech35": 283_523,
}
SMALL_SMNIST = (ModelConfig(n_layers=2, d_model=64, ssm_size=64), 26_058)

# leaf: per opt_config (standard, BandCdecay, BfastandCdecay, noBCdecay), rate and whether it decays. D and
# the rest: see below.
SSM, SSM_DECAYED, REGULAR = ("ssm_lr", False), ("ssm_lr", True), ("lr", True)
GROUPS = {
    **dict.fromkeys(("Lambda_re", "Lambda_im", "log_step"), (SSM, SSM, SSM, SSM)),
    "B": (SSM, SSM_DECAYED, REGULAR, SSM),
    **dict.fromkeys(("C1", "C2", "C", "D"), (REGULAR, REGULAR, REGULAR, SSM)),
    **dict.fromkeys(("kernel", "bias", "scale"), (REGULAR, REGULAR, REGULAR, REGULAR)),
}


def parameter_counts() -> Measured:
    """(|count − golden|, recipe)."""
    for name, golden in PARAMETERS.items():
        yield abs(parameter_count(RunConfig.recipe(name).model) - golden), name
    yield abs(parameter_count(SMALL_SMNIST[0]) - SMALL_SMNIST[1]), "smnist, 2 layers of 64"


def learning_rates() -> Measured:
    """(|factor − golden|, where) at k = 0, 1, W, W+1 and around the end, of the upstream schedule and the
    clean one."""
    spe, epochs, warm = 10, 7, 2
    W, E = spe * warm, spe * epochs
    T = E - W
    upstream = {0: 1, 1: 1 / W, W: 1, W + 1: (1 + cos(pi * W / T)) / 2, T + 1: 0, E - 1: 0}
    clean = {0: 1 / W, 1: 2 / W, W - 1: 1, W: 1}
    clean |= {k: (1 + cos(pi * (k - W) / T)) / 2 for k in (W + 1, E - 1)}
    golden = {"upstream": upstream, "warmup_cosine": clean, "constant": dict.fromkeys(upstream, 1.0)}
    for name, factors in golden.items():
        for k, want in factors.items():
            yield abs(schedule.factor(name, k, spe, epochs, warm) - want), f"{name} at k={k}"
    yield abs(schedule.factor("upstream", spe + 3, spe, 1, 1)), "upstream, nothing left after the warm-up"


def parameter_groups() -> Measured:
    """(1 where a leaf has another rate or decay than the table, which), with and without dt_global."""
    config = ModelConfig(n_layers=1, d_model=2, ssm_size=2, bidirectional=True)
    names = [*parameter_shapes(config), *parameter_shapes(config, joined_C=True)]
    for i, opt_config in enumerate(("standard", "BandCdecay", "BfastandCdecay", "noBCdecay")):
        for dt_global in (False, True):
            table = optim.group_table(
                names, OptimConfig(opt_config=opt_config, dt_global=dt_global, weight_decay=0.25)
            )
            for name in names:
                leaf = name.rpartition(".")[2]
                want = REGULAR if dt_global and leaf == "log_step" else GROUPS[leaf][i]
                got = (table[name].rate, table[name].weight_decay == 0.25)
                yield float(got != want), f"{name} with {opt_config}, dt_global={dt_global}"


GOLDEN = {
    "parameter counts": (parameter_counts, 0.0),
    "learning rates": (learning_rates, 1e-15),
    "parameter groups": (parameter_groups, 0.0),
}
