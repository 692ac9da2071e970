"""The sections of a page about a trained model. Each function makes one, from the values that it shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

import numpy as np

from s5ref.arrays import Array
from s5ref.page.chart import Chart
from s5ref.page.html import Section, code, details, figures, soft, table
from s5ref.show.answers import per_class
from s5ref.show.attribution import Attribution
from s5ref.show.dynamics import Poles, Responses
from s5ref.show.record import Record, mean_and_sd
from s5ref.terminal import NOTHING, percent
from s5ref.train.config import RunConfig

BARS = 96  # of an attribution; longer sequences are summed in pieces
LARGEST = 40  # classes of a confusion matrix


def spread(values: Sequence[float | None], form: str = "{:.3g}", scale: float = 1.0) -> str:
    """Mean ± sample standard deviation; equal values alone, and "–" for none."""
    mean, sd = mean_and_sd(values)
    if mean is None:
        return NOTHING
    return form.format(scale * mean) + (f" ± {form.format(scale * sd)}" if sd else "")


def configuration(config: RunConfig, changed: Mapping[str, tuple[object, object]]) -> Section:
    """What matters most, what differs from the recipe, and all of it on a click."""
    m, o, t = config.model, config.optim, config.train
    rows = [
        ("model", f"{m.n_layers} layers, d_model {m.d_model}, ssm_size {m.ssm_size} in {m.blocks} blocks"
            f"{', bidirectional' if m.bidirectional else ''}, {m.discretization}, {m.activation}, "
            f"{m.norm} norm, dropout {m.dropout:g}, {m.head}, {m.pooling} pooling"),
        ("optimiser", f"lr {o.lr:g}, ssm_lr {o.ssm_lr:g}, weight decay {o.weight_decay:g}, {o.schedule}"),
        ("training", f"batch {t.batch}, {t.epochs} epochs, {t.dtype}"),
    ]  # fmt: skip
    html = table([escape(name), escape(words)] for name, words in rows)
    if changed:
        lines = ([code(key), escape(str(a)), escape(str(b))] for key, (a, b) in changed.items())
        html += soft(f"Changed from the recipe {config.task}:") + table(lines, ("key", "here", "recipe"))
    return Section(
        "Configuration", html + details("all of config.toml", f"<pre>{escape(config.to_toml())}</pre>")
    )


def curves(runs: Mapping[str, Sequence[Record]]) -> Section:
    """Loss and accuracy over the epochs; a line for each seed, a colour for each run, the one of its number.

    Parameters
    ----------
    runs : mapping of names to records
        Of one run the losses of the batches are drawn too.
    """
    records = [record for of in runs.values() for record in of]
    if not any(record.updates for record in records):
        return Section("Curves", soft("No update is recorded."))
    single, log = len(runs) == 1, _wide([line["loss"] for r in records for line in r.updates])
    losses = Chart("Loss over the epochs", "epoch", "loss", log_y=log)
    scores = Chart("Validation accuracy over the epochs", "epoch", "validation accuracy, %")
    errors = Chart("Validation error over the epochs", "epoch", "mean squared error", log_y=True)
    for color, of in enumerate(runs.values()):
        for record in of:
            at = [line["epoch"] for line in record.epochs]
            pace = sum(line["epoch"] == 1 for line in record.updates) or 1
            if single:
                steps = [line["step"] / pace for line in record.updates]
                losses.add("line", steps, _column(record.updates, "loss"), 0, "batch", faint=True)
            train = "training" if single else ""
            losses.add("line", at, _column(record.epochs, "train_loss"), color, train, faint=not single)
            validation = "validation" if single else ""
            losses.add("line", at, _column(record.epochs, "val_loss"), color + single, validation)
            accuracy = 100 * _column(record.epochs, "val_accuracy")
            scores.add("line", at, accuracy, color + single)
            if any(line.get("val_mse", line["val_loss"]) != line["val_loss"] for line in record.epochs):
                errors.add("line", at, _column(record.epochs, "val_mse"), color + single)
            if record.best and record.best["accuracy"] is not None:
                best = [100 * record.best["accuracy"]]
                label = "best" if single else ""
                scores.add("rings", [record.best["epoch"]], best, color + single, label)
    drawings = [("Loss" + ("" if single else ": validation, and training faint"), losses.svg())]
    if any(np.isfinite(mark.y).any() for mark in scores.marks):
        drawings.append(("Accuracy on the validation set", scores.svg()))
    if errors.marks:
        drawings.append(("Mean squared error on the validation set", errors.svg()))
    few = "" if any(len(r.epochs) > 1 for r in records) else soft("Less than two epochs have ended.")
    return Section("Curves", figures(drawings) + few)


def confusion(counts: Array, labels: Sequence[str], of: str) -> Section:
    """The matrix (K, K) as a table: rows are classes, columns answers. ``of``: what was asked about."""
    lead = soft(
        f"How many examples of {of} of each class (rows) got which answer (columns). "
        "The shade is the share of the row."
    )
    K, names = len(counts), [escape(label) for label in labels]
    if K > LARGEST:
        pairs = [(int(n), i, j) for (i, j), n in np.ndenumerate(counts) if i != j and n]
        rows = [[names[i], names[j], str(n)] for n, i, j in sorted(pairs, reverse=True)[:LARGEST]]
        title = soft(f"The most frequent of the confusions of {K} classes:")
        return Section("Confusions", title + table(rows, ("class", "answer", "examples"), numeric=(0, 1, 2)))
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    rows = []
    for i in range(K):
        cells = [f'<th scope="row" class="n">{names[i]}</th>']
        for j in range(K):
            color = f"var({'--good' if i == j else '--bad'}) {55 * shares[i, j]:.0f}%"
            shade = f"color-mix(in srgb, {color}, transparent)"
            kind = " class='right'" if i == j else ""
            text = counts[i, j] or "<span class='soft'>·</span>"
            cells.append(f'<td{kind} style="background:{shade}">{text}</td>')
        rows.append(cells)
    matrix = table(rows, ["", *names], numeric=range(K + 1))
    return Section("Confusion matrix", f'{lead}<div class="heat">{matrix}</div>')


def classes(counts: Array, labels: Sequence[str]) -> Section:
    """Recall, precision and support of each class of a confusion matrix (K, K)."""
    rows, silent = [], []
    for row in per_class(counts):
        taken = ", ".join(f"{labels[k]}\N{NO-BREAK SPACE}({count})" for k, count in row.taken_for[:3])
        numbers = [percent(row.recall, 1), percent(row.precision, 1), str(row.support)]
        rows.append([escape(labels[row.label]), *numbers, escape(taken) or NOTHING])
        silent += [labels[row.label]] if row.precision is None else []
    lead = soft(
        "Recall: share of the class that is found. Precision: share of the answers naming it that are right."
        + (f" No answer names class {', '.join(silent)}." if silent else "")
    )
    head = ("class", "recall", "precision", "examples", "taken for")
    return Section("Classes", lead + table(rows, head, numeric=(0, 1, 2, 3)))


def regression(output: Array, targets: Array, of: str) -> Section:
    """Answers against targets; where there is one for each step, over time for some examples too.

    output (n, …, K), targets: as many values. ``of``: what was asked about.
    """
    output = output.astype(float)
    targets = targets.astype(float).reshape(output.shape)
    n, K = len(targets), output.shape[-1]
    every, some = output.reshape(-1, K), targets.reshape(-1, K)
    picked = np.linspace(0, len(every) - 1, min(len(every), 600)).astype(int)
    drawings = []
    for k in range(min(K, 4)):
        chart = Chart(f"Answers against targets of output {k}", "target", "answer")
        ends = [some[:, k].min(), some[:, k].max()]
        chart.add("line", ends, ends, 7, "equal", faint=True)
        chart.add("dots", some[picked, k], every[picked, k], 0)
        drawings.append((f"Output {k}: answer against target", chart.svg()))
    rmse = np.sqrt(np.mean((every - some) ** 2, axis=0))
    sd = np.std(some, axis=0)
    rows = [[str(k), f"{rmse[k]:.4g}", f"{sd[k]:.4g}"] for k in range(K)]
    html = table(rows, ("output", "root mean squared error", "sd of the targets"), numeric=(0, 1, 2))
    if output.ndim == 3:
        steps = np.arange(output.shape[1])
        for i in sorted({0, n // 2, n - 1}):
            chart = Chart(f"Output 0 of example {i} over time", "step", "output 0")
            chart.add("line", steps, targets[i, :, 0], 7, "target")
            chart.add("line", steps, output[i, :, 0], 0, "answer")
            drawings.append((f"Example {i} of {of}", chart.svg()))
    return Section("Answers and targets", html + figures(drawings))


def attributions(each: Sequence[Attribution], name: str) -> Section:
    """The inputs that the answers rest on, example by example."""
    lead = soft(
        "Gradient × input at each step, of the log-probability of the answer minus that of its rival: the "
        "true class where the answer is wrong, else the second most probable one. Blue speaks for the answer "
        "and orange for the rival. Steps with an input of 0 show nothing, whatever they do to the model. "
        f"Examples of the {name} set: for each class one that is right and the surest one that is wrong."
    )
    return Section("What an answer rests on", lead + figures(map(_attribution, each)))


def _attribution(one: Attribution) -> tuple[str, str]:
    e, n = one.example, len(one.steps)
    size = -(-n // BARS)
    starts = np.arange(0, n, size)
    sums = np.add.reduceat(one.steps.astype(float), starts)
    chart = Chart(f"Gradient × input of example {e.row}", "step", "gradient × input", height=180)
    for sign, color, label in ((1, 0, f"for {e.answer}"), (-1, 1, f"for {e.rival}")):
        chart.add("bars", starts + (size - 1) / 2, np.where(sign * sums > 0, sums, 0.0), color, label)
    reals = one.inputs.ndim == 2
    if reals and (greatest := np.abs(one.inputs).max()) > 0:
        scale = np.abs(sums).max() / greatest
        chart.add("line", np.arange(n), scale * one.inputs[:, 0].astype(float), 7, "input", faint=True)
    verdict = "right" if e.answer == e.label else f"wrong, it is {e.label}"
    text = f"Example {e.row}: {e.answer} ({100 * e.probability:.0f} %), {verdict}."
    if not reals:
        strongest = np.argsort(-np.abs(one.steps))[:4]
        text += " Strongest: " + ", ".join(f"token {one.inputs[k]} at step {k}" for k in strongest) + "."
    return text, chart.svg()


def eigenvalues(before: Sequence[Poles] | None, after: Sequence[Poles]) -> Section:
    """Λ of each layer in the complex plane."""
    drawings = []
    for i, now in enumerate(after):
        chart = Chart(f"Eigenvalues of layer {i}", "Re Λ", "Im Λ")
        if before:
            for a, b in zip(before[i].Lambda, now.Lambda, strict=True):
                chart.add("line", [a.real, b.real], [a.imag, b.imag], 7, faint=True)
            chart.add("rings", before[i].Lambda.real, before[i].Lambda.imag, 7, "before")
        chart.add("dots", now.Lambda.real, now.Lambda.imag, 0, "after")
        chart.rule("x", 0.0)
        grows = int(np.sum(np.abs(now.Lambda_bar) >= 1))
        words = f": {grows} of {len(now.Delta)} states do not decay" if grows else ""
        drawings.append((f"Layer {i}{words}", chart.svg()))
    lead = "Λ of the kept states, in continuous time (the step of each state is below). "
    lead += "Left of the dashed line a state decays; Im Λ is its angular frequency."
    if not before:
        lead += " The parameters before training are not stored."
    return Section("Eigenvalues", soft(lead) + figures(drawings))


def time_scales(
    before: Sequence[Poles] | None, after: Sequence[Poles], length: int, rate: float | None
) -> Section:
    """Δ and the time constants of each layer; in seconds too where the rate is known (samples per second)."""
    names = [f"layer {i}" for i in range(len(after))]
    size = 44 * len(names) + 90
    deltas = Chart("Steps Δ by layer", "Δ, per sampling interval", log_x=True, rows=names, height=size)
    taus = Chart("Time constants by layer", "steps until 1/e", log_x=True, rows=names, height=size)
    taus.rule("x", float(length))
    for states, color, name, up in ((before, 7, "before", -0.18), (after, 0, "after", 0.18)):
        for i, of in enumerate(states or ()):
            jitter = i + up + 0.1 * np.sin(2.4 * np.arange(len(of.Delta)))
            shape = "rings" if name == "before" else "dots"
            deltas.add(shape, of.Delta, jitter, color, name)
            taus.add(shape, of.steps, jitter, color, name)
    head = ["layer", "Δ, median", "shortest", "median", "longest", "not decaying"]
    rows = [[str(i), *row] for i, row in enumerate(scale_rows(before, after, rate))]
    lead = "A state forgets: after its time constant, −1/ln|Λ̄| steps, 1/e is left. "
    lead += f"The dashed line is the length of a sequence, {length:,} steps."
    drawings = [("Time constants, in steps", taus.svg()), ("Steps Δ", deltas.svg())]
    words = " and seconds" if rate else ""
    after_table = soft(f"Time constants in steps{words}" + (", before → after training:" if before else ":"))
    numbers = table(rows, head, numeric=range(6))
    return Section("Time scales", soft(lead) + figures(drawings) + after_table + numbers)


def scale_rows(
    before: Sequence[Poles] | None, after: Sequence[Poles], rate: float | None = None
) -> list[list[str]]:
    """Of each layer: median Δ; shortest, median and longest time constant; states that do not decay."""

    def numbers(of: Poles) -> list[str]:
        tau = of.steps
        quantiles = [np.min(tau), np.median(tau), np.max(tau)]
        times = [_steps(value, rate) for value in quantiles]
        return [f"{np.median(of.Delta):.3g}", *times, str(int(np.sum(~np.isfinite(tau))))]

    rows = [numbers(of) for of in after]
    if before is None:
        return rows
    pairs = zip((numbers(of) for of in before), rows, strict=True)
    return [[a if a == b else f"{a} → {b}" for a, b in zip(*pair, strict=True)] for pair in pairs]


def _steps(value: Array, rate: float | None) -> str:
    if not np.isfinite(value):
        return "∞"
    text = f"{value:.3g}" if value < 1000 else f"{value:,.0f}"
    return text if rate is None else f"{text} ({value / rate:.2g} s)"


def responses(each: Sequence[Responses]) -> Section:
    """Impulse and frequency responses of each layer."""
    drawings = []
    for i, one in enumerate(each):
        impulse = Chart(f"Impulse responses of layer {i}", "lag, steps", "response")
        for k, ((j, h), row) in enumerate(zip(one.channels, one.impulse, strict=True)):
            impulse.add("line", one.lags, row, k, f"{j} → {h}")
        gain = Chart(
            f"Frequency response of layer {i}", "cycles per step", "singular values", log_x=True, log_y=True
        )
        for k, row in enumerate(one.gain):
            gain.add("line", one.frequency, row, k, f"σ{'₁₂₃'[k]}")
        drawings.append((f"Layer {i}: impulse response from channel to channel", impulse.svg()))
        drawings.append((f"Layer {i}: largest singular values of the transfer matrix", gain.svg()))
    lead = soft(
        "From Λ̄, B̄ and C̃ in closed form, without the feedthrough D. Impulse responses: the three output "
        "channels with the most power under white noise, each with the input channel that contributes most. "
        "Frequency responses: how much the layer's SSM amplifies a frequency, in the directions that it "
        "amplifies most."
    )
    return Section("Impulse and frequency responses", lead + figures(drawings))


def seeds(records: Sequence[Record], shown: Record) -> Section:
    """A row for each seed, and their mean."""
    rows = []
    for record in records:
        best = record.best or {}
        rows.append([
            str(record.facts["seed"]), percent(best.get("accuracy"), 1), spread([best.get("loss")]),
            str(best.get("epoch", NOTHING)), str(record.facts["step"]), f"{record.seconds:.0f}",
        ])  # fmt: skip
    bests = [record.best or {} for record in records]
    accuracy = spread([best.get("accuracy") for best in bests], "{:.2f}", 100)
    rows.append([
        "mean ± sd", accuracy, spread([best.get("loss") for best in bests]), "", "",
        spread([record.seconds for record in records], "{:.0f}"),
    ])  # fmt: skip
    head = ("seed", "accuracy", "loss", "epoch", "updates", "seconds")
    lead = f"Best results on the validation set. The sections below show seed {shown.facts['seed']}, "
    lead += "the median of them."
    return Section("Seeds", soft(lead) + table(rows, head, numeric=(1, 2, 3, 4, 5)))


def _column(lines: Sequence[Mapping[str, float | None]], key: str) -> Array:
    """NaN where a value is missing or was not finite."""
    return np.array([line.get(key) for line in lines], float)


def _wide(losses: Sequence[float | None]) -> bool:
    """Whether positive losses span so much that only a logarithmic axis shows them."""
    known = [loss for loss in losses if loss is not None]
    return bool(known) and min(known) > 0 and max(known) > 20 * min(known)
