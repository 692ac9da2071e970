"""Does the initialisation that S5 takes from S4 matter? One factor at a time, small. See README.md.

python ablation.py run [DATA]     every run that runs.jsonl does not hold yet, two at a time
python ablation.py table          the tables of README.md, and arms.svg
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import replace
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import numpy as np

HEAD = "rate | test accuracy | difference | did not learn | memory, steps | frequency, rad a step | growing"
RUNS = Path(__file__).with_name("runs.jsonl")
RATES = [0.004, 0.008, 0.016]  # lr; ssm_lr is a quarter of it
TUNING, SEEDS = [100, 101], [0, 1, 2, 3, 4]
ARMS: dict[str, dict[str, Any]] = {
    "HiPPO-N": {},
    "antisymmetric": {"state_init": "antisymmetric"},
    "antisymmetric, wide": {"state_init": "antisymmetric_wide"},
    "4 blocks": {"blocks": 4},
    "scalar Δ": {"dt_scalar": True},
    "two directions": {"bidirectional": True},
    "all states": {"conj_sym": False},
    "all states, Gaussian": {"conj_sym": False, "state_init": "gaussian"},
}
TASKS: dict[str, dict[str, Any]] = {
    "recall": {"in_dim": 13, "n_classes": 8, "pooling": "last"},
    "psmnist14": {"in_dim": 1, "n_classes": 10, "pooling": "mean"},
}
EPOCHS = {"recall": 10, "psmnist14": 8}


@cache
def arrays(task: str, data: str | None) -> dict[str, tuple[Any, Any]]:
    """The examples of a task, the same for every run."""
    return recall() if task == "recall" else psmnist14(data)


def recall(
    n: int = 12000, length: int = 300, symbols: int = 8, marked: int = 4
) -> dict[str, tuple[Any, Any]]:
    """A symbol at every step, four of the first 40 marked; the last step asks for one of them, by number."""
    rng = np.random.default_rng(0)
    drawn, rows = rng.integers(symbols, size=(n, length)), np.arange(n)
    places = np.sort(np.argsort(rng.random((n, 40)), axis=1)[:, :marked], axis=1)
    asked = rng.integers(marked, size=n)
    x = np.zeros((n, length, symbols + 1 + marked), np.float32)
    np.put_along_axis(x, drawn[:, :, None], 1, axis=2)
    x[rows[:, None], places, symbols] = 1
    x[rows, -1, symbols + 1 + asked] = 1
    y = drawn[rows, places[rows, asked]]
    return {"train": (x[:10000], y[:10000]), "validation": (x[10000:11000], y[10000:11000]),
            "test": (x[11000:], y[11000:])}  # fmt: skip


def psmnist14(data: str | None) -> dict[str, tuple[Any, Any]]:
    """MNIST in means of 2×2 pixels, the 196 of them in one random order; 20,000 images to train."""
    import s5ref

    dataset, order = s5ref.data.load("smnist", data=data), np.random.default_rng(0).permutation(196)

    def small(part: Any, n: int | None = None) -> tuple[Any, Any]:
        pixels = np.asarray(part.inputs[:n], np.float32).reshape(-1, 14, 2, 14, 2).mean((2, 4)) / 255
        return pixels.reshape(-1, 196)[:, order, None], np.asarray(part.targets[:n])

    return {"train": small(dataset.train, 20000), "validation": small(dataset.validation),
            "test": small(dataset.test)}  # fmt: skip


def run(task: str, arm: str, rate: float, seed: int, data: str | None) -> dict[str, Any]:
    """One run: its figures, and the eigenvalues of its layers at first and at the best epoch."""
    import s5ref

    config = s5ref.ModelConfig(n_layers=2, d_model=32, ssm_size=32, bn_momentum=0.95, dropout=0.0)
    model = s5ref.Model(replace(config, **TASKS[task], **ARMS[arm]))
    optim = s5ref.train.OptimConfig(lr=rate, ssm_lr=rate / 4, weight_decay=0.01, warmup_epochs=1)
    start, cpu = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF).ru_utime
    failed = ""
    try:
        result = s5ref.train.train(
            model, arrays(task, data), s5ref.train.TrainConfig(batch=50, epochs=EPOCHS[task]),
            optim=optim, seed=seed, verbose=False,
        )  # fmt: skip
    except s5ref.NumericalError as error:
        failed, result = error.message, None
    facts = {"task": task, "arm": arm, "lr": rate, "seed": seed, "failed": failed,
             "seconds": round(time.perf_counter() - start, 1),
             "cpu": round(resource.getrusage(resource.RUSAGE_SELF).ru_utime - cpu, 1)}  # fmt: skip
    if result is None:
        return facts | {"validation": 0.0, "test": 0.0, "learned": False}
    assert result.best is not None
    facts |= {"validation": result.best_val_accuracy, "test": result.test_accuracy, "learned": result.learned}
    return facts | {
        "curve": [round(record["val_accuracy"], 4) for record in result.history],
        "eigenvalues": {"first": poles(model.init(seed, "float32")[0]), "best": poles(result.best.params)},
    }


def poles(params: Any) -> list[list[list[float]]]:
    """For each layer, [ΔRe Λ, ΔIm Λ] of each state: the pole of a step is the exponential of their sum."""
    layers = sorted({name.split(".")[0] for name in params if name.startswith("layers_")})
    found = []
    for layer in layers:
        re, im, log_step = (params[f"{layer}.seq.{name}"] for name in ("Lambda_re", "Lambda_im", "log_step"))
        z = np.exp(log_step.astype(np.float64)) * (re + 1j * im)
        found.append([[float(f"{x.real:.3g}"), float(f"{x.imag:.3g}")] for x in z])
    return found


def done() -> list[dict[str, Any]]:
    """The runs so far."""
    return [json.loads(line) for line in RUNS.read_text().splitlines()] if RUNS.exists() else []


def best_rate(runs: list[dict[str, Any]], task: str, arm: str) -> float | None:
    """The rate of the highest mean validation accuracy of the tuning seeds; None before all have run."""
    means = []
    for rate in RATES:
        found = [r["validation"] for r in chosen(runs, task, arm, rate) if r["seed"] in TUNING]
        if len(found) < len(TUNING):
            return None
        means.append((fmean(found), rate))
    return max(means)[1]


def chosen(runs: list[dict[str, Any]], task: str, arm: str, rate: float) -> list[dict[str, Any]]:
    return [r for r in runs if (r["task"], r["arm"], r["lr"]) == (task, arm, rate)]


def wanted(runs: list[dict[str, Any]]) -> Iterator[tuple[str, str, float, int]]:
    """What is still to run: the tuning of every arm, then its seeds at the rate that won."""
    have = {(r["task"], r["arm"], r["lr"], r["seed"]) for r in runs}
    for task in TASKS:
        for arm in ARMS:
            rate = best_rate(runs, task, arm)
            at = [(rate, seed) for seed in SEEDS] if rate else [(r, s) for s in TUNING for r in RATES]
            yield from ((task, arm, r, s) for r, s in at if (task, arm, r, s) not in have)


def run_all(data: str | None) -> None:
    """Two processes of one thread each, until nothing is wanted."""
    os.environ["S5REF_THREADS"] = os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"
    with ProcessPoolExecutor(2, get_context("spawn")) as pool:
        while todo := list(wanted(done())):
            for finished in as_completed([pool.submit(run, *what, data) for what in todo]):
                facts = finished.result()
                with RUNS.open("a") as file:
                    file.write(json.dumps(facts) + "\n")
                print(*(facts[name] for name in ("task", "arm", "lr", "seed", "test", "seconds")), flush=True)


def summary(runs: list[dict[str, Any]], task: str, arm: str) -> dict[str, Any] | None:
    """The seeds of an arm at the rate that won; None before all have run."""
    rate = best_rate(runs, task, arm)
    found = [r for r in chosen(runs, task, arm, rate) if r["seed"] in SEEDS] if rate else []
    if len(found) < len(SEEDS):
        return None
    tests = [r["test"] for r in found]
    z = {
        when: np.array([r["eigenvalues"][when] for r in found if not r["failed"]])
        for when in ("first", "best")
    }
    return {
        "rate": rate, "tests": tests, "mean": fmean(tests), "std": stdev(tests),
        "not learned": sum(not r["learned"] for r in found), "z": z,
        "memory": {when: np.median(1 / np.abs(x[..., 0])) for when, x in z.items()},
        "fastest": {when: np.median(np.abs(x[..., 1]).max(-1)) for when, x in z.items()},
        "growing": int((z["best"][..., 0] > 0).sum()),
    }  # fmt: skip


def table() -> None:
    """The tables in Markdown, and arms.svg."""
    runs = done()
    for task in TASKS:
        print(f"\n| {task} | {HEAD} |\n|---{'|---' * (HEAD.count('|') + 1)}|")
        base = summary(runs, task, "HiPPO-N")
        for arm in ARMS:
            found = summary(runs, task, arm)
            if found is None or base is None:
                print(f"| {arm} | not run yet | | | | | | |")
                continue
            error = np.hypot(found["std"], base["std"]) / np.sqrt(len(SEEDS))
            difference = "" if arm == "HiPPO-N" else f"{found['mean'] - base['mean']:+.3f} ± {error:.3f}"
            was, became = found["memory"]["first"], found["memory"]["best"]
            fast, faster = found["fastest"]["first"], found["fastest"]["best"]
            cells = (
                arm, found["rate"], f"{found['mean']:.3f} ± {found['std']:.3f}", difference,
                f"{found['not learned']} of {len(SEEDS)}", f"{was:.0f} → {became:.0f}",
                f"{fast:.2g} → {faster:.2g}", found["growing"],
            )  # fmt: skip
            print("|", " | ".join(map(str, cells)), "|")
    seconds, longest = sum(r["cpu"] for r in runs), max(r["cpu"] for r in runs)
    print(f"\n{len(runs)} runs, {seconds / 3600:.1f} hours of processor time, at most {longest} s a run")
    plot(runs)


def plot(runs: list[dict[str, Any]]) -> None:
    """Test accuracies of all seeds, and where the eigenvalues of the first seed began and ended."""
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(2, 5, figsize=(16, 7), width_ratios=[2.2, 1, 1, 1, 1], layout="constrained")
    shown = ["HiPPO-N", "antisymmetric", "antisymmetric, wide", "all states, Gaussian"]
    for row, task in zip(axes, TASKS, strict=True):
        row[0].set(title=f"{task}: test accuracy, five seeds", yticks=range(len(ARMS)), yticklabels=ARMS)
        row[0].invert_yaxis()
        for i, arm in enumerate(ARMS):
            if found := summary(runs, task, arm):
                row[0].plot(found["tests"], [i] * len(SEEDS), "o", color="tab:blue", alpha=0.5)
                row[0].plot([found["mean"]], [i], "|", color="black", markersize=16)
        for axis, arm in zip(row[1:], shown, strict=True):
            axis.set(title=arm, xscale="log", xlabel="−Δ Re Λ", ylabel="Δ Im Λ")
            if found := summary(runs, task, arm):
                for when, colour in (("first", "silver"), ("best", "tab:red")):
                    z = found["z"][when][0].reshape(-1, 2)
                    axis.plot(-z[:, 0], z[:, 1], ".", color=colour, label=when)
                axis.legend()
    figure.savefig(Path(__file__).with_name("arms.svg"))


if __name__ == "__main__":
    if sys.argv[1:2] == ["table"]:
        table()
    elif sys.argv[1:2] == ["run"]:
        run_all(sys.argv[2] if len(sys.argv) > 2 else None)
    else:
        print(__doc__)
