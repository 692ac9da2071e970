"""s5ref: the S5 state-space layer with hand-derived gradients, as a reference for other implementations.

``import s5ref`` loads NumPy only. The NUMBA engine is compiled on first use, and the packages at the end of
``__all__`` are loaded on first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from s5ref import engine_names  # noqa: F401 - so that engines have names
from s5ref.engine import Call, Conditions, Engine, Implementation, Pair, Settings, Vjp, as_engine
from s5ref.engines import NUMPY, SEQUENTIAL
from s5ref.errors import ConfigError, DataError, MissingDependency, NumericalError, S5Error, ShapeError
from s5ref.model.batch import Batch
from s5ref.model.chunks import chunked_loss_and_grad
from s5ref.model.config import LayerConfig, ModelConfig
from s5ref.model.layer import SequenceLayer
from s5ref.model.model import Model
from s5ref.model.packing import pack, unpack
from s5ref.model.streaming import Streaming, streaming
from s5ref.segments import Segments
from s5ref.ssm import hippo
from s5ref.ssm.config import SSMConfig
from s5ref.ssm.discretize import (
    asynchronous,
    asynchronous_vjp,
    bilinear,
    bilinear_vjp,
    dirac,
    dirac_vjp,
    first_order_hold,
    first_order_hold_vjp,
    zoh,
    zoh_vjp,
)
from s5ref.ssm.intervals import intervals_from_times
from s5ref.ssm.module import SSM, scan, scan_and_vjp
from s5ref.ssm.scan import blocked_scan, blocked_scan_vjp, sequential_scan, sequential_scan_vjp
from s5ref.ssm.state_space import StateSpace, from_state_space
from s5ref.ssm.step import Stepper

if TYPE_CHECKING:
    from s5ref import bench, data, gpu, interop, optim, recipes, train, verification
    from s5ref.cpu import NUMBA
    from s5ref.estimators import (
        S5Classifier,
        S5FeatureClassifier,
        S5FeatureRegressor,
        S5Features,
        S5Regressor,
    )
    from s5ref.gpu import CUDA
    from s5ref.train.runs import load

__version__ = "0.2.0"

# In the order in which a user meets them.
__all__ = [  # noqa: RUF022
    # models
    "Model",
    "ModelConfig",
    "Batch",
    "pack",
    "unpack",
    "Segments",
    "load",
    "streaming",
    "Streaming",
    "chunked_loss_and_grad",
    # estimators of scikit-learn
    "S5FeatureClassifier",
    "S5FeatureRegressor",
    "S5Features",
    "S5Classifier",
    "S5Regressor",
    # the layer and its parts
    "SequenceLayer",
    "LayerConfig",
    "SSM",
    "SSMConfig",
    "Stepper",
    "scan",
    "scan_and_vjp",
    "sequential_scan",
    "sequential_scan_vjp",
    "blocked_scan",
    "blocked_scan_vjp",
    "zoh",
    "zoh_vjp",
    "bilinear",
    "bilinear_vjp",
    "dirac",
    "dirac_vjp",
    "asynchronous",
    "asynchronous_vjp",
    "first_order_hold",
    "first_order_hold_vjp",
    "intervals_from_times",
    "hippo",
    "StateSpace",
    "from_state_space",
    # engines
    "SEQUENTIAL",
    "NUMPY",
    "NUMBA",
    "CUDA",
    "Engine",
    "as_engine",
    "Pair",
    "Implementation",
    "Conditions",
    "Settings",
    "Call",
    "Vjp",
    # errors
    "S5Error",
    "ShapeError",
    "DataError",
    "ConfigError",
    "NumericalError",
    "MissingDependency",
    # packages
    "optim",
    "data",
    "train",
    "recipes",
    "interop",
    "verification",
    "bench",
    "gpu",
]

_ON_FIRST_USE = {
    "NUMBA": "s5ref.cpu",
    "CUDA": "s5ref.gpu",
    "load": "s5ref.train.runs",
    "S5FeatureClassifier": "s5ref.estimators",
    "S5FeatureRegressor": "s5ref.estimators",
    "S5Features": "s5ref.estimators",
    "S5Classifier": "s5ref.estimators",
    "S5Regressor": "s5ref.estimators",
}
_PACKAGES = ("optim", "data", "train", "recipes", "interop", "verification", "bench", "gpu")


def __getattr__(name: str) -> Any:
    if name in _PACKAGES:
        return import_module(f"s5ref.{name}")
    if name in _ON_FIRST_USE:
        return getattr(import_module(_ON_FIRST_USE[name]), name)
    raise AttributeError(f"module 's5ref' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
