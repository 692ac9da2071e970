"""The a-priori bound of AdamW's update, in units of eps, leaf by leaf and part by part."""

from __future__ import annotations

import numpy as np

from s5ref.arrays import Array
from s5ref.optim import OptimConfig
from s5ref.optim.adamw import B1, B2, EPS, group_table
from s5ref.tree import prefixed, subtree
from s5ref.verification.budget import UNIT
from s5ref.verification.stages.forms import joined, stored
from s5ref.verification.stages.stage import Arrays, Case


def update_bound(case: Case) -> Arrays:
    """m and v are sums of two rounded products, of coefficients that may be rounded as well; 1 − bᵗ may
    be computed in the working precision, which costs
    (t + 1) u bᵗ/(1 − bᵗ). The decay may be a factor (1 − rate λ) of the parameter: three roundings of its
    size."""
    o, t = case.options, case.options["k"] + 1
    p, g = stored(case.inputs["params"]), stored(case.inputs["grads"])
    moments = case.inputs["moments"]
    first, second = stored(subtree(moments, "first")), stored(subtree(moments, "second"))
    config = OptimConfig(**{k: o[k] for k in ("opt_config", "dt_global", "ssm_lr", "lr", "weight_decay")})
    groups, rates = group_table(p, config), {"ssm_lr": config.ssm_lr, "lr": config.lr}
    e_correct = [UNIT * (t + 1) * (1 + b**t / (1 - b**t)) for b in (B1, B2)]
    found: dict[str, dict[str, Array]] = {"params": {}, "moments.first": {}, "moments.second": {}}
    for name, leaf in p.items():
        m_size = B1 * np.abs(first[name]) + (1 - B1) * np.abs(g[name])
        v = B2 * second[name] + (1 - B2) * g[name] ** 2
        e_m, e_v = 5 * UNIT * m_size, 6 * UNIT * v
        root = np.sqrt(v / (1 - B2**t)) + EPS
        step = m_size / (1 - B1**t) / root
        e_step = step * (5 * UNIT + e_correct[0] + (6 * UNIT + e_correct[1]) / 2 + 5 * UNIT)
        decayed = groups[name].weight_decay * np.abs(leaf)
        rate = rates[groups[name].rate]
        e = rate * (e_step + 3 * UNIT * decayed + 3 * UNIT * (step + decayed))
        found["params"][name] = e + 3 * UNIT * (np.abs(leaf) + rate * (step + decayed))
        found["moments.first"][name], found["moments.second"][name] = e_m, e_v
    whole: Arrays = {}
    for kind, leaves in found.items():
        size = {n: np.abs(z.real) + np.abs(z.imag) for n, z in joined(leaves).items()}
        whole |= prefixed(kind, size)
    return whole
