"""What the filters of S5 features are, and which of them a fitted estimator rests on."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from s5ref.arrays import Array
from s5ref.features.channels import views

BINS = 16  # of time constants


class Seen(NamedTuple):
    """A part of a filter's input: the weight of one view of one channel."""

    channel: int
    view: str
    weight: float


class FilterTable(NamedTuple):
    """F filters, in the unit of the times of the training series, or in steps where they had none.

    tau, period    (F,): 1/−Re Λ and 2π/Im Λ
    backward       (F,) booleans
    share          (F,): of the importance of all filters, 1 in the sum
    mix            (channels, F): the input of each filter, see `s5ref.features.channels.channels`
    unit           the time that the filters take as 1
    views          what the filters see of a channel, see `s5ref.features.channels.views`
    names          C: of the channels of the series; their numbers where they had none
    """

    tau: Array
    period: Array
    backward: Array
    share: Array
    mix: Array
    unit: float
    views: list[str]
    names: tuple[str, ...]

    @property
    def order(self) -> Array:
        """(F,) the filters, the most important first."""
        return np.argsort(-self.share, kind="stable")

    @property
    def tenth(self) -> int:
        """The number of filters that are a tenth of them."""
        return -(-len(self.share) // 10)

    @property
    def top_share(self) -> float:
        """The share that the most important tenth of the filters has together."""
        return float(np.sum(self.share[self.order[: self.tenth]]))

    @property
    def words(self) -> str:
        """What times are measured in."""
        return "steps" if self.unit == 1 else "the unit of the times"

    def sees(self, f: int) -> list[Seen]:
        """What a filter sees, the largest weights first."""
        C = len(self.names)
        found = np.flatnonzero(self.mix[:, f])
        found = found[np.argsort(-np.abs(self.mix[found, f]), kind="stable")]
        return [Seen(int(k % C), self.views[k // C], float(self.mix[k, f])) for k in found]

    def scales(self) -> tuple[Array, Array, Array]:
        """Edges (B + 1,) of time constants, equal factors apart; between them the share of the importance
        (B,) and that of the filters (B,).
        """
        edges = np.geomspace(self.tau.min(), self.tau.max() * (1 + 1e-9), BINS + 1)
        place = np.clip(np.searchsorted(edges, self.tau, side="right") - 1, 0, BINS - 1)
        importance = np.bincount(place, self.share, BINS)
        return edges, importance, np.bincount(place, minlength=BINS) / len(place)


def channel_names(estimator: Any) -> tuple[str, ...]:
    """Of the C channels that an estimator was fitted to; their numbers where they had no names."""
    names = estimator.channel_names_
    return tuple(map(str, range(estimator.n_channels_in_) if names is None else names))


def filter_table(estimator: Any) -> FilterTable | None:
    """The filters of an `S5FeatureClassifier` or `S5FeatureRegressor`; None of another estimator."""
    if not hasattr(estimator, "importance_"):
        return None
    features = estimator.features_
    filters, unit = features.filters_, float(features.unit_)
    with np.errstate(divide="ignore"):
        period = 2 * np.pi / filters.Lambda.imag
    share = estimator.importance_ / max(estimator.importance_.sum(), np.finfo(float).tiny)
    backward = np.arange(len(share)) >= filters.forward
    return FilterTable(
        -unit / filters.Lambda.real, unit * period, backward, share, filters.mix, unit,
        views(features.standard_, features.online), channel_names(estimator),
    )  # fmt: skip
