"""Candidates with one mistake each, as ports have made them; the kit is to name it."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np

from s5ref import SEQUENTIAL, Engine
from s5ref.verification.conformance.kit.engine import EngineCandidate
from s5ref.verification.conformance.mutants import MUTANTS


class Ours(EngineCandidate):  # type: ignore[misc]
    """No mistake yet."""

    def __init__(self, engine: Engine = SEQUENTIAL) -> None:
        super().__init__(engine)


class NoFactorTwo(Ours):
    """y = Re(C x) + D u with half of the states; without gradients, so values alone must do."""

    vjp = None

    def ssm(self, params: Any, u: Any, *args: Any, **further: Any) -> Any:
        half = {name: leaf / 2 if name.startswith("C") else leaf for name, leaf in params.items()}
        return Ours.ssm(self, params if further.get("conj_sym") is False else half, u, *args, **further)


class ConjugateGradient(Ours):
    """JAX's convention, not undone."""

    def vjp(self, *args: Any, **further: Any) -> Any:
        return {name: np.conj(d) for name, d in super().vjp(*args, **further).items()}


class ErfGelu(Ours):
    def __init__(self) -> None:
        super().__init__(replace(SEQUENTIAL, name="erf", gelu_tanh=SEQUENTIAL.gelu_erf))


class Unknown(Ours):
    """A mistake that is in no list: the first step's input is counted twice."""

    def ssm(self, params: Any, u: Any, *args: Any, **further: Any) -> Any:
        u = u.copy()
        u[:, 0] *= 2
        return super().ssm(params, u, *args, **further)

    def layer(self, params: Any, x: Any, *args: Any, **further: Any) -> Any:
        if "out2.bias" in params:
            params = params | {"out2.kernel": params["out2.kernel"] * 1.5}
        return super().layer(params, x, *args, **further)


class BackwardsFromOne(Ours):
    """What comes from the step after is dropped at the first step of a backward scan."""

    def scan(self, Lambda_bar: Any, Bu: Any, x0: Any, reverse: bool, **further: Any) -> Any:
        found = super().scan(Lambda_bar, Bu, x0, reverse, **further)
        x = found["x"].copy()
        if reverse:
            x[:, 0] = Bu[:, 0]
        return found | {"x": x}


class Forgetful(Ours):
    """Wrong the first time that a scan is asked, right after."""

    asked = 0

    def scan(self, *args: Any, **further: Any) -> Any:
        self.asked += 1
        found = super().scan(*args, **further)
        return found | {"x": 2 * found["x"]} if self.asked == 1 else found


class NoSingleStep(Ours):
    """Another mistake that is in no list, in what does not take sequences of one step."""

    vjp = None

    def ssm(self, params: Any, u: Any, *args: Any, **further: Any) -> Any:
        if u.shape[1] == 1:
            raise NotImplementedError
        return super().ssm(params | {"B": 1.25 * params["B"]}, u, *args, **further)


class Single(Ours):
    """float64 in and out, float32 inside."""

    def scan(self, Lambda_bar: Any, Bu: Any, x0: Any, reverse: bool) -> Any:
        found = super().scan(
            *(None if z is None else z.astype(np.complex64) for z in (Lambda_bar, Bu, x0)), reverse
        )
        return {name: z.astype(Bu.dtype) for name, z in found.items()}


class Planted(Ours):
    """Several known mistakes at once."""

    ids: tuple[str, ...] = ()

    def __init__(self) -> None:
        self.planted, engine = ExitStack(), SEQUENTIAL  # as long as the process lives
        for id_ in self.ids:
            engine = self.planted.enter_context(MUTANTS[id_].apply(engine))
        super().__init__(engine)


class ErfWithoutFactorTwo(Planted):
    ids = ("M20", "M31")


class Textbook(Planted):
    """The gain as the authors' code has it, and its gradient."""

    ids = ("M18", "M23")


class TextbookAndErf(Planted):
    ids = ("M18", "M23", "M31")


class OneCotangent(Ours):
    """The last cotangent is half as large again."""

    def vjp(self, *args: Any, **further: Any) -> Any:
        grads = super().vjp(*args, **further)
        name = list(grads)[-1]
        return grads | {name: 1.5 * grads[name]}


class Slightly(Ours):
    """Off by a factor: of the size of single precision in float64 and of TF32 in float32, but no rounding."""

    vjp = None

    def ssm(self, params: Any, u: Any, *args: Any, **further: Any) -> Any:
        size = 2.0**-24 if u.dtype == np.float64 else 2.0**-12
        return super().ssm(params, u, *args, **further) * u.dtype.type(1 + size)


class Cancels(Ours):
    """Digits are lost in both precisions."""

    vjp = None

    def ssm(self, params: Any, u: Any, *args: Any, **further: Any) -> Any:
        y, large = super().ssm(params, u, *args, **further), u.dtype.type(1 / np.finfo(u.dtype).eps ** 0.5)
        return (y + large) - large


class Half(Ours):
    """Outputs go through float16."""

    vjp = None

    def ssm(self, params: Any, u: Any, *args: Any, **further: Any) -> Any:
        return super().ssm(params, u, *args, **further).astype(np.float16).astype(u.dtype)


class _Init(Ours):
    """Some leaves are drawn with other standard deviations."""

    factors: ClassVar[dict[str, float]] = {}

    def init(self, config: Any, seed: int, dtype: str = "float32") -> Any:
        params = super().init(config, seed, dtype)
        return params | {
            f"layers_0.seq.{name}": params[f"layers_0.seq.{name}"] * np.dtype(dtype).type(factor)
            for name, factor in self.factors.items()
        }


class SmallD(_Init):
    factors: ClassVar = {"D": 0.1}


class SmallB(_Init):
    factors: ClassVar = {"B": 0.5**0.5}


class NarrowBAndC(_Init):
    """The truncated normals of M21, without its D."""

    factors: ClassVar = {"B": 0.774, "C": 0.774}


class NoBackward(Ours):
    """The values are right; the vjp raises."""

    def vjp(self, *args: Any, **further: Any) -> Any:
        raise FloatingPointError("no way back")


class NoBackwardNoFactorTwo(NoBackward):
    ssm = NoFactorTwo.ssm


class Layers(Ours):
    """A layer that is put together by `layer_of`, from the branch and what it gets; without gradients."""

    vjp = None

    def layer(self, params: Any, x: Any, *args: Any, **further: Any) -> Any:
        whole = super().layer(params, x, *args, **further)
        return whole | {"y": self.layer_of(whole["y"], x, params)}

    def layer_of(self, y: Any, x: Any, params: Any) -> Any:
        raise NotImplementedError


class NoSkip(Layers):
    def layer_of(self, y: Any, x: Any, params: Any) -> Any:
        return y - x


class HalfASkip(Layers):
    def layer_of(self, y: Any, x: Any, params: Any) -> Any:
        return y - x / 2


class NormTwice(Layers):
    def layer_of(self, y: Any, x: Any, params: Any) -> Any:
        z = y - y.mean(axis=-1, keepdims=True)
        z = z / np.sqrt((z**2).mean(axis=-1, keepdims=True) + y.dtype.type(1e-6))
        return z * params["norm.scale"] + params["norm.bias"]


class NoNorm(Ours):
    """Without mean, variance, scale and bias."""

    vjp = None

    def layer(self, params: Any, x: Any, train: Any, masks: Any, **further: Any) -> Any:
        nothing = 0 * params["norm.scale"]
        still = params | {"norm.mean": nothing, "norm.var": 1 - x.dtype.type(1e-5) + nothing}
        still |= {"norm.scale": 1 + nothing, "norm.bias": nothing}
        y = super().layer(still, x, False, masks, **{**further, "norm": "batch"})["y"]
        return {"y": y, "statistics": {}}


class Flattened(Ours):
    """All examples are one long sequence."""

    vjp = None

    def ssm(self, params: Any, u: Any, x0: Any, *args: Any, **further: Any) -> Any:
        return super().ssm(params, u.reshape(1, -1, u.shape[-1]), None, *args, **further).reshape(u.shape)

    def layer(self, params: Any, x: Any, train: Any, masks: Any, **further: Any) -> Any:
        if masks is not None or train:
            raise NotImplementedError
        whole = super().layer(params, x.reshape(1, -1, x.shape[-1]), train, None, **further)
        return whole | {"y": whole["y"].reshape(x.shape)}


class Unclipped(Ours):
    vjp = None

    def ssm(self, params: Any, u: Any, *args: Any, **further: Any) -> Any:
        return super().ssm(params, u, *args, **{**further, "clip_eigs": False})


class Pieces(Ours):
    """Half of the initial state, squared intervals, twice the backward states."""

    vjp = None

    def ssm(self, params: Any, u: Any, x0: Any, bi: Any, rescale: Any, intervals: Any, **further: Any) -> Any:
        params = {name: 2 * leaf if name == "C2" else leaf for name, leaf in params.items()}
        x0 = None if x0 is None else x0 / 2
        intervals = None if intervals is None else intervals * intervals
        return super().ssm(params, u, x0, bi, rescale, intervals, **further)


class Pools(Ours):
    """The mean of all steps but the last."""

    vjp = None

    def model(self, params: Any, x: Any, lengths: Any, **further: Any) -> Any:
        short = np.full(len(x), max(x.shape[1] - 1, 1))
        return super().model(params, x, short if lengths is None else lengths, **further)


class _AllStatesWith(Ours):
    """Keeps all states and says so, with a known mistake."""

    options: ClassVar = {"conj_sym": False}
    mistake = ""

    def __init__(self) -> None:
        self._planted = ExitStack()
        super().__init__(self._planted.enter_context(MUTANTS[self.mistake].apply(SEQUENTIAL)))

    def answer(self, stage: str, args: tuple[Any, ...], further: Any) -> Any:
        return super().answer(stage, args, {**further, "conj_sym": False})


class AllStatesWithM36(_AllStatesWith):
    mistake = "M36"


class AllStatesWithM41(_AllStatesWith):
    mistake = "M41"


class AllStatesWithM45(_AllStatesWith):
    mistake = "M45"
