"""curves.svg: loss and accuracy, or mean squared error, of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from s5ref.files import writing
from s5ref.train import metrics

LEFT_OUT = "curves.svg is left out: matplotlib is not installed (pip install 's5ref[plot]')."
TRAIN, VALIDATION, FAINT = "#3b6fb6", "#d1603d", "#b9cbe4"


def curves(run: str | Path) -> str | None:
    """Draw RUN/curves.svg from metrics.jsonl; None if drawn, else the sentence that says why not."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return LEFT_OUT
    lines = metrics.read(run)
    steps = [line for line in lines if "step" in line]
    epochs = [line for line in lines if "train_loss" in line]
    if not steps:
        return "curves.svg is left out: no step was made."
    figure = Figure(figsize=(9.0, 3.6), layout="constrained")
    losses, accuracies = figure.subplots(1, 2)
    per_epoch = sum(line["epoch"] == 1 for line in steps) if epochs else 1
    _loss_panel(losses, steps, epochs, per_epoch)
    if any(line.get("val_mse") is not None for line in epochs):
        _error_panel(accuracies, epochs)
    else:
        _accuracy_panel(accuracies, epochs)
    for axes in (losses, accuracies):
        axes.set_xlabel("epoch" if epochs else "step")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.25, linewidth=0.6)
        axes.spines[["top", "right"]].set_visible(False)
        axes.set_xlim(left=0)
    with writing(Path(run) / "curves.svg") as stream:
        figure.savefig(stream, format="svg", metadata={"Date": None})
    return None


def _loss_panel(axes: Any, steps: list[dict[str, Any]], epochs: list[dict[str, Any]], per_epoch: int) -> None:
    x = np.array([line["step"] for line in steps]) / per_epoch
    y = np.array([line["loss"] for line in steps])
    stride = max(1, len(x) // 2000)
    axes.plot(x[::stride], y[::stride], color=FAINT, linewidth=0.6, label="batch")
    if epochs:
        at = [line["epoch"] for line in epochs]
        for key, color, label in (("train_loss", TRAIN, "training"), ("val_loss", VALIDATION, "validation")):
            values = np.array([line[key] for line in epochs], float)  # None, where not finite, is NaN
            axes.plot(at, values, color=color, label=label, marker=_marker(at))
    if np.all(y > 0) and y.max() > 20 * y.min():
        axes.set_yscale("log")
    axes.set_title("loss", loc="left", fontsize=10)
    axes.legend(frameon=False, fontsize=8)


def _accuracy_panel(axes: Any, epochs: list[dict[str, Any]]) -> None:
    axes.set_title("validation accuracy", loc="left", fontsize=10)
    scored = [
        (line["epoch"], 100 * line["val_accuracy"]) for line in epochs if line["val_accuracy"] is not None
    ]
    if not scored:
        axes.text(0.5, 0.5, "none yet", ha="center", va="center", transform=axes.transAxes, color="0.5")
        axes.set_yticks([])
        return
    at, accuracy = zip(*scored, strict=True)
    axes.plot(at, accuracy, color=VALIDATION, marker=_marker(at))
    best = int(np.argmax(accuracy))
    axes.plot(at[best], accuracy[best], "o", color=VALIDATION, markersize=7, markerfacecolor="white")
    axes.set_title(
        f"best {accuracy[best]:.2f} % at epoch {at[best]}", loc="right", fontsize=9, color=VALIDATION
    )
    axes.yaxis.set_major_formatter("{x:g} %")
    axes.margins(y=0.1)
    low, high = axes.get_ylim()
    axes.set_ylim(max(low, 0.0), min(high, 101.0))


def _error_panel(axes: Any, epochs: list[dict[str, Any]]) -> None:
    axes.set_title("validation, mean squared error", loc="left", fontsize=10)
    at = [line["epoch"] for line in epochs]
    errors = np.array([line["val_mse"] for line in epochs], float)  # None, where not finite, is NaN
    axes.plot(at, errors, color=VALIDATION, marker=_marker(at))
    best = int(np.nanargmin(errors))
    axes.plot(at[best], errors[best], "o", color=VALIDATION, markersize=7, markerfacecolor="white")
    axes.set_title(f"best {errors[best]:.4g} at epoch {at[best]}", loc="right", fontsize=9, color=VALIDATION)
    if np.nanmax(errors) > 20 * np.nanmin(errors) > 0:
        axes.set_yscale("log")


def _marker(points: Any) -> str:
    return "." if len(points) <= 60 else ""
