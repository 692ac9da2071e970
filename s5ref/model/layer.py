"""A sequence layer as an object: its parameters, its value and vjp."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Unpack

import numpy as np

from s5ref.arrays import Array, Leaves, check_finite, check_shape
from s5ref.engine import Call, Settings, Vjp
from s5ref.model.block import BlockOut
from s5ref.model.checks import check_lengths
from s5ref.model.config import LayerConfig
from s5ref.model.heads import init_dense
from s5ref.model.leaves import GATES
from s5ref.model.stack import draw_masks
from s5ref.ssm.intervals import check_intervals
from s5ref.ssm.module import init_ssm
from s5ref.ssm.resets import of_every_step
from s5ref.tree import prefixed


@dataclass(frozen=True)
class SequenceLayer(LayerConfig):
    """The sequence layer of a `LayerConfig`: out = x + mix(ssm(norm(x))). Holds no arrays.

    Notes
    -----
    Upstream's SequenceLayer; docs/derivations/block.md.

    Examples
    --------
    >>> import numpy as np, s5ref
    >>> layer = s5ref.SequenceLayer(d_model=4, ssm_size=8, norm="layer")
    >>> params, statistics = layer.init(seed=0)
    >>> out, vjp = layer.forward_and_vjp(params, statistics, np.ones((2, 10, 4)))
    >>> dparams, dx, dinitial_state = vjp(np.ones_like(out.y))
    """

    def init(self, seed: int = 0, dtype: Any = "float32") -> tuple[dict[str, Array], dict[str, Array]]:
        """Initial parameters and running statistics: a function of the options and the seed, computed in
        float64 and rounded once.

        Parameters
        ----------
        seed : int
        dtype : dtype-like
            Real: float32, float64 or longdouble.

        Returns
        -------
        params : dict of leaf names to arrays
            seq.*, norm.scale, norm.bias (H,), and out1.*, out2.* where the activation has gates.
        statistics : dict
            norm.mean, norm.var (H,); {} with LayerNorm.
        """
        params, statistics = init_layer(seed, "layer", self)
        return as_dtype(params, dtype), as_dtype(statistics, dtype)

    def forward(
        self,
        params: Leaves,
        statistics: Leaves,
        x: Array,
        lengths: Array | None = None,
        intervals: Array | None = None,
        resets: Array | None = None,
        **settings: Unpack[Settings],
    ) -> BlockOut:
        """The layer of x.

        Parameters
        ----------
        params, statistics : dict
            As from `init`.
        x : (N, L, H) real
        lengths : (N,) integer or None
            Valid steps; what lies behind them counts nowhere. None: all L.
        intervals : (N, L) or None
            Sampling interval before each step, in units of the regular one.
        resets : (N, L) or (N,) bool, or None
            True where an episode begins: the state does not cross it; (N,): at the first step.
        **settings
            engine, training, key, step_rescale: `s5ref.Settings`; initial_state: (N, S) complex, S as of
            `s5ref.ssm.ssm.ssm`.

        Returns
        -------
        BlockOut
            y (N, L, H), state (N, S) after the last step, statistics.

        Raises
        ------
        S5Error
            On shapes that do not fit, an empty sequence, NaN or infinity in x.
        """
        return self._value_and_vjp(False, params, statistics, x, lengths, intervals, resets, settings)[0]

    def forward_and_vjp(
        self,
        params: Leaves,
        statistics: Leaves,
        x: Array,
        lengths: Array | None = None,
        intervals: Array | None = None,
        resets: Array | None = None,
        **settings: Unpack[Settings],
    ) -> tuple[BlockOut, Vjp]:
        """`forward`, and ``vjp(dy, dstate=None) -> (dparams, dx, dinitial_state)``."""
        return self._value_and_vjp(True, params, statistics, x, lengths, intervals, resets, settings)

    def _value_and_vjp(
        self, keep_residuals: bool, params: Leaves, statistics: Leaves, x: Array,
        lengths: Array | None, intervals: Array | None, resets: Array | None, settings: Settings,
    ) -> tuple[BlockOut, Vjp]:  # fmt: skip
        D = params["seq.D"]
        x = check_finite("layer", "x", check_shape("layer", "x", x, "N L H", {"H": self.d_model}))
        x = x.astype(D.dtype, copy=False)
        sizes, valid = {"N": x.shape[0], "L": x.shape[1]}, None
        if lengths is not None:
            lengths = check_lengths("layer", lengths, "N L", sizes)
            valid = (np.arange(sizes["L"], like=lengths)[None, :] < lengths[:, None])[:, :, None]
        if intervals is not None:
            intervals = check_intervals("layer", intervals, "N L", sizes, D.dtype)
        if resets is not None:
            resets = of_every_step("layer", resets, "N L", sizes)
        call = replace(Call.of(keep_residuals, settings), intervals=intervals, valid=valid, resets=resets)
        options = self.block_options()
        [masks] = draw_masks(1, x.shape[0], self.d_model, self.dropout, call, D)
        layer = call.engine.layer(options, call.conditions(x.dtype))
        initial: Any = call.initial_state
        out, residuals = layer.value(params, x, options, call, statistics, masks, initial)

        def vjp(residuals: Any, dy: Array, dstate: Array | None = None) -> Any:
            return layer.vjp(residuals, (dy, dstate), options, call)

        return out, Vjp("sequence layer", vjp, residuals)


def init_layer(seed: int, name: str, config: LayerConfig) -> tuple[dict[str, Array], dict[str, Array]]:
    """Initial parameters and running statistics of the layer called ``name``, in float64."""
    H = config.d_model
    params = prefixed("seq", init_ssm(seed, name, config))
    params |= {"norm.scale": np.ones(H), "norm.bias": np.zeros(H)}
    for gate in GATES[config.activation]:
        params |= prefixed(gate, init_dense(seed, f"{name}.{gate}", H, H))
    return params, {"norm.mean": np.zeros(H), "norm.var": np.ones(H)} if config.norm == "batch" else {}


def as_dtype(tree: dict[str, Array], dtype: Any) -> dict[str, Array]:
    """Each leaf, rounded to ``dtype``."""
    return {name: leaf.astype(dtype) for name, leaf in tree.items()}
