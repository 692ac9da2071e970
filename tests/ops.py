"""One table of every differentiable operation; tests/test_ops.py and tests/test_fake_device.py run their properties over it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from s5ref import Call, Kernels
from s5ref.call import Pair
from s5ref.model import heads, mix
from s5ref.model.block import BlockOptions, block, block_vjp
from s5ref.model.config import GELUS
from s5ref.nn import dense, dropout, loss, pool
from s5ref.nn.norm import Running
from s5ref.random import generator
from s5ref.ssm import discretize, project
from s5ref.ssm.ssm import DISCRETIZATIONS, SSMOptions, ssm, ssm_vjp

N, L, H, P, K = 3, 9, 4, 5, 3
Args = dict[str, Any]


@dataclass(frozen=True)
class Op:
    """One operation.

    make    float64 arguments by name
    value   (kernels, args) -> (y, saved)
    vjp     (kernels, saved, dy) -> cotangents by the names of the differentiable arguments
    linear  the arguments in which y is jointly linear, up to a constant
    wide    whether it runs in longdouble
    """

    name: str
    make: Callable[[np.random.Generator], Args]
    value: Callable[[Kernels, Args], tuple[Any, Any]]
    vjp: Callable[[Kernels, Any, Any], Args]
    linear: tuple[str, ...] = ()
    wide: bool = True

    def args(self) -> Args:
        """The arguments, always the same."""
        return self.make(generator("op", self.name))


def op(name: str, pair: Callable[[Kernels], Pair], make: Any, wrt: str, linear: str = "", wide: bool = True) -> Op:
    """An op whose function takes the arguments in order, and whose vjp returns the cotangents of those in ``wrt``."""
    names = wrt.split()

    def vjp(kernels: Kernels, saved: Any, dy: Any) -> Args:
        d = pair(kernels).vjp(saved, dy)
        return dict(zip(names, d if isinstance(d, tuple) else (d,), strict=True))

    return Op(name, make, lambda kernels, a: pair(kernels).value(*a.values()), vjp, tuple(linear.split()), wide)


def called(
    name: str, pair: Pair, make: Any, wrt: str, linear: str = "", extra: Callable[[Kernels], tuple[Any, ...]] = lambda k: ()
) -> Op:
    """An op whose function and vjp take the call, and before it ``extra``, behind their arguments."""
    names = wrt.split()

    def vjp(kernels: Kernels, saved: Any, dy: Any) -> Args:
        return dict(zip(names, pair.vjp(saved, dy, *extra(kernels), Call(kernels)), strict=True))

    return Op(name, make, lambda k, a: pair.value(*a.values(), *extra(k), Call(k)), vjp, tuple(linear.split()))


def normal(rng: np.random.Generator, *shape: int) -> Any:
    return rng.standard_normal(shape)


def complex_normal(rng: np.random.Generator, *shape: int) -> Any:
    return rng.standard_normal(shape) + 1j * rng.standard_normal(shape)


def _decaying(rng: np.random.Generator, *shape: int) -> Any:
    return -rng.uniform(0.1, 1, shape) + 3j * rng.standard_normal(shape)


def _inside(rng: np.random.Generator, *shape: int) -> Any:
    return np.exp(_decaying(rng, *shape) * 0.3)


def _lengths() -> Any:
    return np.array([L, 4, 1])


def _valid() -> Any:
    return (np.arange(L) < _lengths()[:, None])[:, :, None]


def _discretization(name: str, shape: tuple[int, ...]) -> Op:
    return op(
        f"{name}, Δ {shape}", lambda k: DISCRETIZATIONS[name],
        lambda rng: {"Lambda": _decaying(rng, P), "Delta": np.asarray(rng.uniform(0.05, 0.8, shape))}, "Lambda Delta",
    )


def _scan(varying: bool, start: bool, reverse: bool) -> Op:
    def make(rng: np.random.Generator) -> Args:
        shape = (N, L, P) if varying else (P,)
        x0 = {"x0": complex_normal(rng, N, P)} if start else {}
        return {"Lambda_bar": _inside(rng, *shape), "Bu": complex_normal(rng, N, L, P), **x0}

    def vjp(kernels: Kernels, saved: Any, dy: Any) -> Args:
        dLambda_bar, dBu, dx0 = kernels.scan.vjp(saved, dy)
        return {"Lambda_bar": dLambda_bar, "Bu": dBu, **({"x0": dx0} if start else {})}

    return Op(
        f"scan, {'varying' if varying else 'constant'}{', x0' if start else ''}{', reverse' if reverse else ''}", make,
        lambda k, a: k.scan.value(a["Lambda_bar"], a["Bu"], a.get("x0"), reverse), vjp, ("Bu", "x0") if start else ("Bu",),
    )


def _batch_norm(training: bool, masked: bool) -> Op:
    def make(rng: np.random.Generator) -> Args:
        return {"x": normal(rng, N, L, H) + 1, "scale": normal(rng, H), "bias": normal(rng, H)}

    def value(k: Kernels, a: Args) -> Any:
        running = Running(np.full_like(a["scale"], 0.25), np.full_like(a["scale"], 2))
        valid = np.asarray(_valid(), like=a["x"]) if masked else None
        (y, _), saved = k.batch_norm.value(*a.values(), running, 0.75, training, valid)
        return y, saved

    def vjp(k: Kernels, saved: Any, dy: Any) -> Args:
        return dict(zip(("x", "scale", "bias"), k.batch_norm.vjp(saved, dy), strict=True))

    name = f"batch_norm, {'training' if training else 'evaluation'}{', masked' if masked else ''}"
    return Op(name, make, value, vjp, ("scale", "bias") if training else ("x", "bias"))


def _pool(name: str, fn: Any, ragged: bool) -> Op:
    def value(k: Kernels, a: Args) -> Any:
        return fn(a["x"], np.asarray(_lengths(), like=a["x"]) if ragged else None)

    return Op(
        f"{name}{', ragged' if ragged else ''}", lambda rng: {"x": normal(rng, N, L, H)}, value,
        lambda k, saved, dy: {"x": pool.pool_vjp(saved, dy)}, ("x",),
    )


def _mse(masked: bool) -> Op:
    def make(rng: np.random.Generator) -> Args:
        return {"y": normal(rng, N, L, K), "target": normal(rng, N, L, K)}

    def value(k: Kernels, a: Args) -> Any:
        return loss.mse(a["y"], a["target"], np.asarray(_valid(), like=a["y"]) if masked else None)

    def vjp(k: Kernels, saved: Any, dy: Any) -> Args:
        return {"y": loss.mse_vjp(saved, dy)}

    return Op(f"mse{', masked' if masked else ''}", make, value, vjp)


def _dropout() -> Op:
    def value(k: Kernels, a: Args) -> Any:
        mask = dropout.dropout_mask((0, 1), N, H, 0.4, a["x"])
        return dropout.dropout(a["x"], mask), mask

    return Op(
        "dropout", lambda rng: {"x": normal(rng, N, L, H)}, value,
        lambda k, mask, dy: {"x": dropout.dropout(dy, mask)}, ("x",),
    )


def _cross_entropy() -> Op:
    def value(k: Kernels, a: Args) -> Any:
        return loss.cross_entropy(a["log_probabilities"], np.asarray(np.array([2, 0, 1]), like=a["log_probabilities"]))

    return Op(
        "cross_entropy", lambda rng: {"log_probabilities": normal(rng, N, K)}, value,
        lambda k, saved, dy: {"log_probabilities": loss.cross_entropy_vjp(saved, dy)}, ("log_probabilities",),
    )


def _embed() -> Op:
    tokens = np.array([[0, 3, 1, 1], [4, 4, 0, 2]])

    def value(k: Kernels, a: Args) -> Any:
        return dense.embed(np.asarray(tokens, like=a["kernel"]), a["kernel"], a["bias"])

    return Op(
        "embed", lambda rng: {"kernel": normal(rng, 5, H), "bias": normal(rng, H)}, value,
        lambda k, saved, dy: dict(zip(("kernel", "bias"), dense.embed_vjp(saved, dy), strict=True)), ("kernel", "bias"),
    )


def _mix(name: str, pair: Pair, gates: tuple[str, ...]) -> Op:
    def make(rng: np.random.Generator) -> Args:
        leaves = {f"{g}.kernel": normal(rng, H, H) for g in gates} | {f"{g}.bias": normal(rng, H) for g in gates}
        return {"y": normal(rng, N, L, H), "params": leaves}

    def value(k: Kernels, a: Args) -> Any:
        masks = tuple(dropout.dropout_mask((i,), N, H, 0.3, a["y"]) for i in range(2))
        return pair.value(a["params"], a["y"], masks, k.gelu_tanh, Call(k))

    def vjp(k: Kernels, saved: Any, dy: Any) -> Args:
        dparams, d = pair.vjp(saved, dy, k.gelu_tanh, Call(k))
        return {"params": dparams, "y": d}

    return Op(name, make, value, vjp)


def ssm_params(rng: np.random.Generator, bidirectional: bool) -> Args:
    names = ("C1", "C2") if bidirectional else ("C",)
    return {
        "Lambda_re": -rng.uniform(0.1, 1, P), "Lambda_im": normal(rng, P), "log_step": normal(rng, P) * 0.3 - 1,
        "B": normal(rng, P, H, 2), "D": normal(rng, H), **{name: normal(rng, H, P, 2) for name in names},
    }


def _ssm(name: str, options: SSMOptions, irregular: bool = False, masked: bool = False) -> Op:
    start = not options.bidirectional

    def call(kernels: Kernels, like: Any) -> Call:
        intervals = 0.5 + (np.arange(N * L).reshape(N, L) % 4) / 4
        return Call(
            kernels, intervals=np.asarray(intervals.astype(like.dtype), like=like) if irregular else None,
            valid=np.asarray(_valid(), like=like) if masked else None,
        )

    def make(rng: np.random.Generator) -> Args:
        x0 = {"x0": complex_normal(rng, N, P)} if start else {}
        return {"params": ssm_params(rng, options.bidirectional), "u": normal(rng, N, L, H), **x0}

    def value(k: Kernels, a: Args) -> Any:
        (y, x_last), saved = ssm(a["params"], a["u"], options, call(k, a["u"]), a.get("x0"))
        return ((y, x_last) if start else y), saved

    def vjp(k: Kernels, saved: Any, dy: Any) -> Args:
        d = ssm_vjp(saved, dy if start else (dy, None), options, call(k, saved.u))
        return {"params": d[0], "u": d[1], **({"x0": d[2]} if start else {})}

    return Op(f"ssm, {name}", make, value, vjp, ("u", "x0") if start else ("u",))


def _block(prenorm: bool, batch: bool) -> Op:
    options = BlockOptions(
        SSMOptions(), Pair(mix.half_glu2, mix.half_glu2_vjp), GELUS["tanh"], batch_norm=batch, prenorm=prenorm, bn_momentum=0.9
    )

    def make(rng: np.random.Generator) -> Args:
        params = {f"seq.{name}": leaf for name, leaf in ssm_params(rng, False).items()}
        params |= {"norm.scale": normal(rng, H), "norm.bias": normal(rng, H)}
        params |= {"out2.kernel": normal(rng, H, H), "out2.bias": normal(rng, H)}
        return {"params": params, "x": normal(rng, N, L, H), "x0": complex_normal(rng, N, P)}

    def value(k: Kernels, a: Args) -> Any:
        one = np.ones_like(a["params"]["norm.scale"])
        statistics = {"norm.mean": one, "norm.var": one}
        out, saved = block(a["params"], a["x"], options, Call(k, training=True), statistics, (None, None), a["x0"])
        return (out.y, out.state), saved

    def vjp(k: Kernels, saved: Any, dy: Any) -> Args:
        return dict(zip(("params", "x", "x0"), block_vjp(saved, dy, options, Call(k)), strict=True))

    return Op(f"block, {'pre' if prenorm else 'post'}norm, {'batch' if batch else 'layer'}", make, value, vjp)


def _head(name: str, batch: int, shapes: dict[str, tuple[int, ...]]) -> Op:
    head = heads.HEADS[name].apply

    def make(rng: np.random.Generator) -> Args:
        return {"params": {leaf: normal(rng, *shape) for leaf, shape in shapes.items()}, "x": normal(rng, batch, L, H)}

    def value(k: Kernels, a: Args) -> Any:
        return head.value(a["params"], a["x"], None, pool.pool_mean, Call(k))

    return Op(
        f"head, {name}", make, value, lambda k, s, dy: dict(zip(("params", "x"), head.vjp(s, dy, Call(k)), strict=True))
    )


def _features(rng: np.random.Generator) -> Args:
    return {"x": 2 * normal(rng, N, L, H)}


_dense = {"kernel": (H, K), "bias": (K,)}
_two = {"layer1.kernel": (4 * H, H), "layer1.bias": (H,), "layer2.kernel": (H, 2), "layer2.bias": (2,)}

OPS: list[Op] = [
    *(_discretization(name, shape) for name in DISCRETIZATIONS for shape in ((P,), (), (N, L, P))),
    op(
        "timescale", lambda k: Pair(discretize.timescale, discretize.timescale_vjp),
        lambda rng: {"log_step": normal(rng, P), "rescale": 2.0, "intervals": None}, "log_step",
    ),
    op(
        "timescale, irregular", lambda k: Pair(discretize.timescale, discretize.timescale_vjp),
        lambda rng: {"log_step": normal(rng, P), "rescale": 2.0, "intervals": rng.uniform(0.5, 2, (N, L))}, "log_step",
    ),
    Op(
        "clip_eigs", lambda rng: {"Lambda_re": normal(rng, 20)},
        lambda k, a: (discretize.clip_eigs(a["Lambda_re"]), a["Lambda_re"]),
        lambda k, saved, dy: {"Lambda_re": discretize.clip_eigs_vjp(saved, dy)},
    ),
    called(
        "project", Pair(project.project, project.project_vjp),
        lambda rng: {"u": normal(rng, N, L, H), "B": complex_normal(rng, P, H), "gain": complex_normal(rng, P)},
        "u B gain", "u",
    ),
    called(
        "project, varying gain", Pair(project.project, project.project_vjp),
        lambda rng: {"u": normal(rng, N, L, H), "B": complex_normal(rng, P, H), "gain": complex_normal(rng, N, L, P)},
        "u B gain", "gain",
    ),
    Op(
        "readout", lambda rng: {"x": complex_normal(rng, N, L, P), "C": complex_normal(rng, H, P)},
        lambda k, a: project.readout(a["x"], a["C"], 2, Call(k)),
        lambda k, s, dy: dict(zip(("x", "C"), project.readout_vjp(s, dy, Call(k)), strict=True)), ("x",),
    ),
    *(_scan(varying, start, back) for varying in (False, True) for start in (False, True) for back in (False, True)),
    op(
        "linear", lambda k: k.linear,
        lambda rng: {"x": normal(rng, N, L, H), "W": normal(rng, H, K), "bias": normal(rng, K)}, "x W bias", "x bias",
    ),
    op("gelu_tanh", lambda k: k.gelu_tanh, _features, "x"),
    op("gelu_erf", lambda k: k.gelu_erf, _features, "x", wide=False),
    op("glu", lambda k: k.glu, lambda rng: {"h": normal(rng, N, L, H), "z": 3 * normal(rng, N, L, H)}, "h z", "h"),
    op(
        "layer_norm", lambda k: k.layer_norm,
        lambda rng: {"x": normal(rng, N, L, H) + 1, "scale": normal(rng, H), "bias": normal(rng, H)}, "x scale bias",
        "scale bias",
    ),
    _batch_norm(True, False), _batch_norm(True, True), _batch_norm(False, False),
    _embed(), _dropout(),
    op("log_softmax", lambda k: Pair(loss.log_softmax, loss.log_softmax_vjp), lambda rng: {"z": 3 * normal(rng, N, K)}, "z"),
    _cross_entropy(), _mse(False), _mse(True),
    op(
        "gaussian_nll", lambda k: Pair(loss.gaussian_nll, loss.gaussian_nll_vjp),
        lambda rng: {"mean": normal(rng, N, K), "var": rng.uniform(0.5, 2, (N, K)), "target": normal(rng, N, K)}, "mean var",
    ),
    *(_pool(name, fn, ragged) for name, fn in (("mean", pool.pool_mean), ("last", pool.pool_last)) for ragged in (False, True)),
    _mix("gelu only", Pair(mix.gelu_only, mix.gelu_only_vjp), ()),
    _mix("half_glu1", Pair(mix.half_glu1, mix.half_glu1_vjp), ("out2",)),
    _mix("half_glu2", Pair(mix.half_glu2, mix.half_glu2_vjp), ("out2",)),
    _mix("full_glu", Pair(mix.full_glu, mix.full_glu_vjp), ("out1", "out2")),
    _ssm("conj_sym", SSMOptions()), _ssm("full spectrum, bilinear", SSMOptions(False, False, False, DISCRETIZATIONS["bilinear"])),
    _ssm("bidirectional", SSMOptions(bidirectional=True)), _ssm("irregular", SSMOptions(), irregular=True),
    _ssm("bidirectional, irregular, masked", SSMOptions(bidirectional=True), irregular=True, masked=True),
    _block(True, True), _block(False, False),
    _head("classifier", N, _dense), _head("regression", N, _dense), _head("retrieval", 4, _two),
]
