"""S5 features of many series, or an S5 by gradient: MNIST, each image a series of 784 pixels. See README.md.

python many.py [features | gradient] [SERIES] [DATA]

All 60,000 series, and the score on the test part; of so many SERIES the score on the validation part.
"""

from __future__ import annotations

import resource
import sys
import time

import numpy as np

import s5ref


def main(method: str = "features", series: int = 0, data: str | None = None) -> None:
    dataset = s5ref.data.load("smnist", data=data)
    parts = [dataset.train] if series else [dataset.train, dataset.validation]
    asked = dataset.validation if series else dataset.test
    X, y = (np.concatenate([getattr(part, name) for part in parts]) for name in ("inputs", "targets"))
    X, y = X[: series or None], y[: series or None]
    kind = s5ref.S5FeatureClassifier if method == "features" else s5ref.S5Classifier
    start, cpu = time.perf_counter(), time.process_time()
    model = kind(random_state=0).fit(X, y)
    fitted, cpu = time.perf_counter(), time.process_time() - cpu
    score = model.score(asked.inputs, asked.targets)
    end = time.perf_counter()
    gib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"{method} of {len(X)} series: accuracy {score:.4f} on {len(asked)}, fit {fitted - start:.1f} s")
    print(f"CPU {cpu:.1f} s, predictions {end - fitted:.1f} s, at most {gib:.2f} GiB")


if __name__ == "__main__":
    main(*sys.argv[1:2], *map(int, sys.argv[2:3]), *sys.argv[3:])
