"""How training by several processes scales: measured here, and what that predicts elsewhere. See README.md.

python ranks.py measure [ROUNDS]    updates by one process and by several, taking turns; writes measured.json
python ranks.py predict             the tables of README.md, and scaling.svg, from measured.json
python ranks.py long [STEPS]        loss and gradient of one sequence: in chunks, and on 1, 2 and 4 ranks
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

HERE = Path(__file__).parent
BLOCK = 10_000  # steps
MEASURED = HERE / "measured.json"
# recipe, batch, ranks, threads a rank, ranks a sequence
STRONG = [("smnist", 50, 1, 2, 1), ("smnist", 50, 2, 1, 1), ("smnist", 50, 2, 1, 2), ("smnist", 50, 1, 1, 1)]
LISTOPS = [("listops", 16, 1, 2, 1), ("listops", 16, 2, 1, 1), ("listops", 16, 2, 1, 2)]
WEAK = [("smnist", 25, 1, 1, 1), ("smnist", 50, 2, 1, 1)]
NETWORKS = {  # seconds a message, bytes a second: typical of the OSU micro-benchmarks
    "shared memory (measured)": None,
    "InfiniBand HDR": (1.1e-6, 24e9),
    "10 Gbit Ethernet": (30e-6, 1.1e9),
}


def worker(recipe: str, batch: int, threads: int, sequence: int, seconds: float = 8.0) -> None:
    """The updates of a recipe on random examples, for some seconds; the first rank prints what they took."""
    from s5ref import Batch, Model
    from s5ref.cpu import set_threads
    from s5ref.engine import as_engine
    from s5ref.model.parts import part_of
    from s5ref.mpi import world
    from s5ref.optim.adamw import init_moments
    from s5ref.ranks import Grid
    from s5ref.train.config import RunConfig
    from s5ref.train.update import Updates, Weights

    set_threads(threads)
    ranks, config = world(), RunConfig.recipe(recipe)
    sent: list[int] = []
    if ranks.size > 1:
        watch(ranks, sent)
    grid, model, rng = Grid.of(ranks, sequence), Model(config.model), np.random.default_rng(0)
    L, c = {"smnist": 784, "listops": 2048}[recipe], config.model
    tokens = recipe == "listops"
    inputs = rng.integers(0, c.in_dim, (batch, L)) if tokens else rng.random((batch, L, c.in_dim), np.float32)
    mine = part_of(model, Batch(inputs, rng.integers(0, c.n_classes, batch)), grid)
    params, statistics = model.init(0, "float32")
    optimizer = config.optim.optimizer(100, 10)
    weights = Weights(params, init_moments(params), statistics, 0)
    groups = optimizer.groups(params)
    updates = Updates(model, weights, groups, as_engine("numba"), lambda k: mine, grid=grid)
    rates = optimizer.rates(0)
    for _ in range(2):
        updates.step(rates)
    sent.clear()
    taken: list[float] = []
    begin = time.perf_counter()
    while ranks.total(np.array(float(time.perf_counter() - begin < seconds))) == ranks.size:
        start = time.perf_counter()
        updates.step(rates)
        taken.append(time.perf_counter() - start)
    if ranks.rank == 0:
        messages, parameters = len(sent) / len(taken) - 1, sum(p.size for p in params.values())
        print(json.dumps({
            "seconds": median(taken), "updates": len(taken), "exchanges": messages, "parameters": parameters,
            "layers": c.n_layers, "states": config.model.state_size, "length": L, "width": c.d_model,
        }))  # fmt: skip


def watch(ranks: Any, sent: list[int]) -> None:
    """Note the bytes of every exchange."""
    wait: Callable[[Any], None] = ranks._wait

    def counted(request: Any) -> None:
        sent.append(1)
        wait(request)

    ranks._wait = counted


def long_worker(steps: int, out: str, chunk: int) -> None:
    """Loss and gradient of one sequence, shared by all ranks, or by one in chunks; one rank writes them."""
    from s5ref import Batch, Model, ModelConfig
    from s5ref.engine import Call, as_engine
    from s5ref.model.chunks import value_and_grad
    from s5ref.mpi import world
    from s5ref.ranks import Grid

    ranks = world()
    grid, own = Grid.of(ranks, ranks.size), ranks.mine(steps // BLOCK)
    model = Model(ModelConfig(n_layers=2, d_model=8, ssm_size=8, n_classes=2, norm="layer"))
    params, statistics = model.init(0)

    def passed(blocks: range) -> Any:
        parts = [np.random.default_rng((0, b)).standard_normal((1, BLOCK, 1), np.float32) for b in blocks]
        call = Call(as_engine("numba"), training=True, key=(0, 0), grid=grid)
        batch = Batch(np.concatenate(parts, axis=1), np.array([1]))
        return value_and_grad(model, params, statistics, batch, call, chunk)

    passed(range(ranks.rank, ranks.rank + 1))  # compiles
    before, start = peak(), time.perf_counter()
    result = passed(range(own.start, own.stop))
    seconds = ranks.share(time.perf_counter() - start)
    peaks = ranks.share((before, peak()))
    if ranks.rank == 0:
        np.savez(out, loss=result.loss, **result.grads)
        print(
            json.dumps(
                {"seconds": max(seconds), "before": peaks[0][0], "peaks": [after for _, after in peaks]}
            )
        )


def peak() -> float:
    """Peak of resident memory, MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def long(steps: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        print("| ranks | seconds | peak of each, MiB | before | loss | largest difference of a gradient |")
        print("|---|---|---|---|---|---|")
        whole: dict[str, Any] = {}
        for ranks, chunk in ((1, BLOCK), (1, 0), (2, 0), (4, 0)):
            if steps > 4_000_000 and ranks * steps < 4 * steps and not chunk:
                continue  # for a machine of 24 GB
            out = f"{folder}/{ranks}-{chunk}.npz"
            facts = launched(ranks, "long_worker", str(steps), out, str(chunk))
            found = dict(np.load(out))
            whole = whole or found
            off = max(np.abs(found[n] - g).max() / np.abs(g).max() for n, g in whole.items() if n != "loss")
            peaks = ", ".join(f"{one:,.0f}" for one in facts["peaks"])
            name = f"{ranks}, in chunks of {chunk:,}" if chunk else str(ranks)
            cells = (
                name, f"{facts['seconds']:.1f}", peaks, f"{facts['before']:,.0f}", f"{found['loss']:.7f}",
                f"{off:.1e}",
            )  # fmt: skip
            print("|", " | ".join(cells), "|", flush=True)


def exchange() -> None:
    """Seconds of a gather of n bytes and of a sum of n numbers, for several n."""
    from s5ref.mpi import world

    ranks, found = world(), []
    for n in (1, 256, 4096, 65536, 1 << 20, 1 << 22):
        x = np.ones(n, np.float32)
        taken = []
        for _ in range(200 if n < 1 << 20 else 20):
            ranks.total(np.array(0.0))
            start = time.perf_counter()
            ranks.total(x)
            taken.append(time.perf_counter() - start)
        found.append({"bytes": 4 * n, "seconds": median(taken)})
    if ranks.rank == 0:
        print(json.dumps(found))


def launched(ranks: int, *words: str) -> Any:
    """What this program says under mpirun."""
    mpirun = [str(Path(sys.executable).with_name("mpirun")), "-n", str(ranks)] if ranks > 1 else []
    command = [*mpirun, sys.executable, "-P", __file__, *words]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def measure(rounds: int) -> None:
    from s5ref.machine import processor, usable_cores

    rows: dict[str, list[Any]] = {}
    for _ in range(rounds):
        for recipe, batch, ranks, threads, sequence in dict.fromkeys([*STRONG, *LISTOPS, *WEAK]):
            found = launched(ranks, "worker", recipe, str(batch), str(threads), str(sequence))
            name = f"{recipe} {batch} {ranks} {threads} {sequence}"
            rows.setdefault(name, []).append(found)
            print(name, found["seconds"], flush=True)
    machine = {"processor": processor(), "cores": usable_cores()}
    facts = machine | {"exchange": launched(2, "exchange"), "rows": rows}
    MEASURED.write_text(json.dumps(facts, indent=1))


def row(facts: Any, *key: Any) -> Any:
    """The medians of a configuration over the rounds."""
    found = facts["rows"][" ".join(map(str, key))]
    return found[0] | {"seconds": median(one["seconds"] for one in found)}


def shared_memory(facts: Any) -> tuple[float, float]:
    """(seconds of a message, bytes a second) of the smallest and the largest exchange measured."""
    small, *_, large = facts["exchange"]
    return small["seconds"], 2 * large["bytes"] / large["seconds"]  # a sum moves each byte twice


def of_examples(compute: float, at: Any, K: int, alpha: float, rate: float) -> float:
    """Seconds of an update whose examples K ranks share; ``compute`` of one core for the whole batch."""
    if K == 1:
        return compute
    gradient, hops = 4 * at["parameters"], np.log2(K)
    small = (at["exchanges"] - 2) * hops * alpha
    return compute / K + small + (K - 1 + hops) * alpha + 2 * gradient * (K - 1) / K / rate


def of_steps(compute: float, at: Any, K: int, alpha: float, rate: float, batch: int) -> float:
    """Seconds of an update whose sequences K ranks share: besides the gradient every rank gathers, in every
    layer, in both directions and both ways, 2NP complex numbers of all.
    """
    if K == 1:
        return compute
    scans = 4 * at["layers"]
    numbers = scans * K * 2 * batch * at["states"] * 8
    return of_examples(compute, at, K, alpha, rate) + numbers / rate


def predict() -> None:
    from matplotlib import pyplot as plt

    facts = json.loads(MEASURED.read_text())
    print(f"{facts['processor']}, {facts['cores']} cores\n")
    print("| recipe | batch | ranks × threads | shared | ms an update |")
    print("|---|---|---|---|---|")
    for recipe, batch, ranks, threads, sequence in dict.fromkeys([*STRONG, *LISTOPS, *WEAK]):
        found = row(facts, recipe, batch, ranks, threads, sequence)
        what = "–" if ranks == 1 else "steps" if sequence > 1 else "examples"
        print(f"| {recipe} | {batch} | {ranks} × {threads} | {what} | {1e3 * found['seconds']:.0f} |")
    networks = NETWORKS | {"shared memory (measured)": shared_memory(facts)}
    counts = 2 ** np.arange(11)
    figure, axes = plt.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
    one = row(facts, "smnist", 50, 1, 1, 1)["seconds"]
    shared = [row(facts, "smnist", 50, 2, 1, sequence)["seconds"] for sequence in (1, 2)]
    dearer = shared[1] / shared[0]  # what sharing steps instead of examples costs a rank
    per_step, examples, steps = one / (784 * 50), *(row(facts, "smnist", 50, 2, 1, n) for n in (1, 2))
    cases = (
        ("examples: smnist, a batch of 1,024", 1024 * 784 * per_step, examples, of_examples),
        ("steps: one sequence of 10⁶ steps", 1e6 * per_step * dearer, steps, partial(of_steps, batch=1)),
    )
    for axis, (title, compute, at, model) in zip(axes, cases, strict=True):
        shown = counts[::2]
        print(f"\n| {title} | " + " | ".join(f"{K} ranks" for K in shown) + " |")
        print("|---" * (len(shown) + 1) + "|")
        for name, (alpha, rate) in networks.items():
            speed = [compute / model(compute, at, K, alpha, rate) for K in counts]
            axis.plot(counts, speed, "o-", label=name, markersize=3)
            print(f"| {name} | " + " | ".join(f"{s:.4g}" for s in speed[::2]) + " |")
        axis.plot(counts, counts, "k:", label="ideal")
        axis.set(title=title, xscale="log", yscale="log", xlabel="ranks", ylabel="times as fast as one")
    axes[0].legend()
    figure.savefig(HERE / "scaling.svg")


if __name__ == "__main__":
    command, *words = sys.argv[1:] or ["help"]
    if command == "measure":
        measure(int(words[0]) if words else 3)
    elif command == "predict":
        predict()
    elif command == "long":
        long(int(words[0]) if words else 10_000_000)
    elif command == "long_worker":
        long_worker(int(words[0]), words[1], int(words[2]))
    elif command == "worker":
        worker(words[0], *map(int, words[1:4]))
    elif command == "exchange":
        exchange()
    else:
        print(__doc__)
