"""A callback that writes the curves of a run for TensorBoard."""

from __future__ import annotations

from pathlib import Path

from s5ref.errors import optional
from s5ref.train.results import Progress


class TensorBoard:
    """Losses, rates and validation results as scalars; look at them with ``tensorboard --logdir FOLDER``.

    Parameters
    ----------
    folder : path
        Of the event files; a resumed run adds to them.

    Raises
    ------
    MissingDependency
        Without tensorboardX.

    Examples
    --------
    ::

        s5ref.train.train(model, arrays, callbacks=[s5ref.train.TensorBoard("runs/mine/tensorboard")])
    """

    def __init__(self, folder: str | Path) -> None:
        self._writer = optional("tensorboardX", "tensorboard").SummaryWriter(str(folder))

    def __call__(self, progress: Progress) -> None:
        """Write what an update or the end of an epoch brought."""
        if progress.phase == "train":
            scalars = {"loss": progress.loss, **(progress.rates or {})}
        elif progress.phase == "epoch":
            scalars = {
                key: x for key, x in (progress.record or {}).items() if key not in ("epoch", "seconds")
            }
        else:
            return
        for name, value in scalars.items():
            if value is not None:
                self._writer.add_scalar(name, value, progress.step)
        if progress.phase == "epoch":
            self._writer.flush()
