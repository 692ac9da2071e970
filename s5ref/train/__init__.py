"""Training. The package itself can be called: ``s5ref.train(…)`` is `s5ref.train.api.train`."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from s5ref.train.results import FitResult


class _Callable(ModuleType):
    """So that the package s5ref.train and the function s5ref.train do not shadow each other."""

    def __call__(self, *args: Any, **kwargs: Any) -> FitResult:
        from s5ref.train.api import train

        return train(*args, **kwargs)


sys.modules[__name__].__class__ = _Callable
