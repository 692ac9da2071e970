"""What the runs of the pendulum recipe came to: results.json and curves.svg, from their folders.

    python -P docs/results/pendulum/collect.py FOLDER

FOLDER/used/seed-0, FOLDER/ignored/seed-0, … are run folders of `s5ref train pendulum`.
"""

from __future__ import annotations

import json
import statistics
import sys
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

import s5ref
from s5ref.data import load
from s5ref.train import metrics, runs
from s5ref.train.evaluate import evaluate

HERE = Path(__file__).parent
COLORS = {"used": "#3b6fb6", "ignored": "#d1603d", "appended": "#5b9a4b"}


def collected(run: Path, test: Any) -> dict[str, Any]:
    """One run: its figures, and the curve of the validation error. A run that has not ended has no test
    figure.
    """
    epochs = [line for line in metrics.read(run) if "val_mse" in line]
    loaded = runs.load(run, "best")
    ended = len(epochs) == loaded.config.train.epochs
    best = min(epochs, key=lambda line: line["val_mse"])
    given = loaded.model, loaded.params, loaded.statistics, test, s5ref.NUMBA, 50
    scored = evaluate(*given) if ended else None
    return {
        "seed": int(run.name.removeprefix("seed-")), "epochs": len(epochs), "best_epoch": best["epoch"],
        "best_val_mse": best["val_mse"],
        "test_mse": scored and scored.mse, "test_nll": scored and scored.loss,
        "minutes": round(epochs[-1]["seconds"] / 60, 1),
        "val_mse": [round(line["val_mse"], 6) for line in epochs],
    }  # fmt: skip


def main() -> None:
    folder, test = Path(sys.argv[1]), load("pendulum", sys.argv[2] if len(sys.argv) > 2 else None).test
    variants = {}
    for variant in COLORS:
        each = sorted((folder / variant).glob("seed-*")) if (folder / variant).is_dir() else []
        found = [collected(run, test) for run in each if (run / "best" / "state.npz").exists()]
        errors = [one["test_mse"] for one in found if one["test_mse"] is not None]
        if found:
            variants[variant] = {
                "test_mse": statistics.fmean(errors) if errors else None,
                "sd": statistics.stdev(errors) if len(errors) > 1 else None,
                "seeds": found,
            }
    text = json.dumps(variants, indent=1)
    (HERE / "results.json").write_text(text + "\n", encoding="utf-8")
    figure = Figure(figsize=(7, 3.6), layout="constrained")
    axes = figure.subplots()
    for variant, of in variants.items():
        for one in of["seeds"]:
            label = f"intervals {variant}" if one is of["seeds"][0] else None
            at = range(1, 1 + one["epochs"])
            axes.plot(at, one["val_mse"], color=COLORS[variant], linewidth=0.9, label=label)
    axes.axhspan(3.14e-3, 3.68e-3, color="0.85", label="the paper's test error, ± 1 sd")
    axes.set(yscale="log", xlabel="epoch", ylabel="validation MSE", xlim=(1, 100))
    axes.legend(frameon=False, fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(HERE / "curves.svg", metadata={"Date": None})
    for variant, of in variants.items():
        for one in of["seeds"]:
            print(variant, {key: value for key, value in one.items() if key != "val_mse"})
        print(variant, of["test_mse"], of["sd"])


if __name__ == "__main__":
    main()
