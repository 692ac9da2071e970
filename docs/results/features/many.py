"""S5 features of many series: all 60,000 of MNIST, each a series of 784 pixels. See README.md.

python many.py [DATA]
"""

from __future__ import annotations

import resource
import sys
import time

import s5ref

MODEL = s5ref.S5FeatureClassifier(random_state=0)
dataset = s5ref.data.load("smnist", data=sys.argv[1] if len(sys.argv) > 1 else None)
X, y = (
    [joined for part in (dataset.train, dataset.validation) for joined in getattr(part, name)]
    for name in ("inputs", "targets")
)
X, Xt = ([x.reshape(1, -1).astype(float) for x in part] for part in (X, dataset.test.inputs))
start = time.perf_counter()
MODEL.fit(X, y)
fitted = time.perf_counter()
score = MODEL.score(Xt, dataset.test.targets)
end = time.perf_counter()
gib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
print(f"{len(X)} series: accuracy {score:.4f}, left out {MODEL.left_out_score_:.4f}, alpha {MODEL.alpha_:g}")
print(f"fit {fitted - start:.1f} s, {len(Xt)} predictions {end - fitted:.1f} s, at most {gib:.2f} GiB")
