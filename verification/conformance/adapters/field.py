"""The implementations that have an adapter here: where they are, which commit was tried, what came of it."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from s5ref.errors import S5Error


class Implementation(NamedTuple):
    """A row of ``s5ref check --list``.

    repository  on GitHub; a package of PyPI where ``file`` is empty
    tried       the commit, or the version, that the recorded run judged
    framework   what it computes with
    adapter     ``module:class``, from the room `conformance`
    file        a file of a checkout by which it is known; "" for a package
    call        how its SSM is called, for its authors
    verdict     what came of it, in a few words; the record of docs/scoreboard has the numbers
    """

    repository: str
    tried: str
    framework: str
    adapter: str
    file: str
    call: str
    verdict: str

    @property
    def target(self) -> str:
        """``module:object``, as the kit loads it."""
        return f"s5ref.verification.conformance.{self.adapter}"


LEAVES = "the parameters Λ, B, C, D, log Δ put in by"
APPLY, CALL, PUT = f"{LEAVES} `.apply`", f"{LEAVES} `torch.func.functional_call`", f"{LEAVES} `eqx.tree_at`"
FIELD = {
    "s5-pytorch": Implementation(
        "s5-pytorch (PyPI)", "0.2.1", "torch", "kit.s5_pytorch:S5PyTorch", "",
        f"`s5.S5(H, P)(u)`, {CALL}",
        "differs: start of B and D, float32 inside, erf GELU",
    ),
    "lindermanlab-s5": Implementation(
        "lindermanlab/S5", "3c18fdb", "jax, flax", "adapters.upstream:Upstream", "s5/ssm.py",
        f"`S5SSM(…)(u)`, {APPLY}",
        "inaccurate: the gain as it is written",
    ),
    "q-s5": Implementation(
        "stevenabreu7/Q-S5", "7d27882", "jax, flax", "adapters.upstream:Upstream", "s5/ssm.py",
        f"`S5SSM(…)(u)`, {APPLY}",
        "inaccurate: the gain as it is written",
    ),
    "j-towns-s5": Implementation(
        "j-towns/S5", "3bcfc9d", "jax, flax", "adapters.upstream:Upstream", "s5/ssm.py",
        f"`S5SSM(…)(u)`, {APPLY}",
        "inaccurate: the gain as it is written",
    ),
    "kavorite-s5": Implementation(
        "kavorite/S5", "e70e983", "jax, haiku", "adapters.kavorite:Kavorite", "s5/_src/ssm.py",
        f"`S5SSM(…)(u)` under `haiku.transform`, {APPLY}", "differs: HiPPO counted from 1; a step raises",
    ),
    "lrnnx-lti": Implementation(
        "SforAiDl/lrnnx", "b28d4ee", "torch", "adapters.lrnnx_lti:Lrnnx", "lrnnx/models/lti/s5.py",
        f"`lrnnx.models.lti.s5.S5(H, P, discretization)(u)`, {CALL}, A as log(expm1(−Re Λ)) and Im Λ",
        "differs: bilinear with its signs swapped; another start; float64 raises",
    ),
    "lrnnx-ltv": Implementation(
        "SforAiDl/lrnnx", "b28d4ee", "torch", "adapters.lrnnx_ltv:Lrnnx", "lrnnx/models/ltv/s5.py",
        f"`lrnnx.models.ltv.s5.S5(H, P, discretization, conj_sym)(u)`, {CALL}, "
        "with `simplified_scan_ref` in place of the CUDA scan",
        "differs: D begins at a tenth; float64 raises",
    ),
    "ssms-event-cameras": Implementation(
        "uzh-rpg/ssms_event_cameras", "7c871b5", "torch", "adapters.ssms_event_cameras:EventCameras",
        "RVT/models/layers/s5/s5_model.py", f'`S5(H, P, bcInit="dense")(u, state)`, {CALL}',
        "differs: the initial state is lost; zoh raises; float32 inside",
    ),
    "deep-ssm": Implementation(
        "ekellbuch/deep_ssm", "cd43f4b", "torch", "adapters.deep_ssm:DeepSSM",
        "src/deep_ssm/mixers/s5_fjax/ssm.py",
        f"`S5(d_model=H, ssm_size=2 * P, conj_sym=True, discretization=…)(u, state)`, {CALL}",
        "differs: the initial state is lost; no norm, no skip; C1 = C2",
    ),
    "recall2imagine": Implementation(
        "chandar-lab/Recall2Imagine", "6e317e7", "jax, flax", "adapters.recall2imagine:Recall2Imagine",
        "recall2imagine/ssm/mimo.py",
        f'`MIMOLayer(P, H, 1, parallel=True, reset_mode="init", …)(u, x0, init, dones)`, {APPLY}',
        "differs: resets act a step early; operator with a state not associative",
    ),
    "popjaxrl": Implementation(
        "luchris429/popjaxrl", "12e5d42", "jax, flax", "adapters.popjaxrl:PopJaxRL", "algorithms/s5.py",
        f"`S5SSM(…)(x0[None], u, resets)`, {APPLY}",
        "differs: the layer's norm twice; both directions raise; overflow before a reset",
    ),
    "purejaxrl": Implementation(
        "luchris429/purejaxrl", "31756b1", "jax, flax", "adapters.popjaxrl:PureJaxRL",
        "purejaxrl/experimental/s5/s5.py", f"`S5SSM(…)(x0[None], u, resets)`, {APPLY}",
        "differs: no norm; both directions raise; overflow before a reset",
    ),
    "discretax": Implementation(
        "camail-official/discretax", "d742812", "jax, equinox", "adapters.discretax:Discretax",
        "src/discretax/sequence_mixers/s5.py",
        f"`S5SequenceMixer(H, key, state_dim=2 * P, clip_eigs=False, …)(u, key)`, {PUT}",
        "differs: C_init=complex_normal raises",
    ),
    "event-ssm": Implementation(
        "Efficient-Scalable-Machine-Learning/event-ssm", "d9ceb07", "jax, flax",
        "adapters.event_ssm:EventSSM", "event_ssm/ssm.py",
        f"`S5SSM(H_in=H, H_out=H, P=2 * P, block_size=2 * P, …)(u, intervals)`, {APPLY}",
        "differs: pooling keeps the first of each window",
    ),
    "alf": Implementation(
        "HorizonRobotics/alf", "23aca49", "torch", "adapters.alf:Alf", "alf/networks/s5/s5.py",
        f"`S5SSM(H, 2 * P, 1)(u, state)`, {CALL}, C as a real matrix",
        "differs: start of B and C; erf GELU; clip lets its gradient through; full_glu raises",
    ),
    "ossm": Implementation(
        "b-vitamins/ossm", "277eb6f", "torch", "adapters.ossm:Ossm", "src/ossm/models/s5.py",
        f"`S5Layer(2 * P, H, …)(u)`, {CALL}",
        "differs: all layers begin equal; start of B and C; gain 0 where Λ is 0",
    ),
    "memorax": Implementation(
        "noahfarr/memorax", "8ded8fc", "jax, flax", "adapters.memorax:Memorax",
        "memorax/networks/sequence_models/s5.py",
        f"`Memoroid(cell=S5Cell(S5Config(…)))(u, done, carry)`, {APPLY}",
        "differs: float32 inside",
    ),
}  # fmt: skip


def check_repository(name: str, folder: Path) -> None:
    """S5Error where a folder is not a checkout of the implementation that is called so."""
    implementation = FIELD[name]
    if implementation.file and not (folder / implementation.file).is_file():
        raise S5Error(
            f"{name} needs a checkout of {implementation.repository}; {folder} has no {implementation.file}.",
            f"s5ref check {name} --repo PATH, with commit {implementation.tried} as it was tried.",
        )
