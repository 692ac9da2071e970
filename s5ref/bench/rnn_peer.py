"""The peers ``lstm`` and ``gru``: what a user of PyTorch would take instead of S5, as many layers of the
same width between the same encoder, mean over time and decoder. They compute something else, so their values
are not compared.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from s5ref.bench.benchmark import Benchmark
from s5ref.bench.case import Case
from s5ref.data.tasks import get_task


def build_lstm(case: Case, what: str) -> Benchmark:
    return _build(nn.LSTM, case, what)


def build_gru(case: Case, what: str) -> Benchmark:
    return _build(nn.GRU, case, what)


def _build(recurrent: Any, case: Case, what: str) -> Benchmark:
    """``what``: train_step (forward with the recipe's dropout, backward, AdamW), forward."""
    torch.manual_seed(0)
    m, batch = case.model, case.data()
    tokens, both = get_task(case.config.task).kind == "tokens", 2 if m.bidirectional else 1
    encoder = nn.Embedding(m.in_dim, m.d_model) if tokens else nn.Linear(m.in_dim, m.d_model)
    layers = recurrent(
        m.d_model, m.d_model, m.n_layers, batch_first=True, bidirectional=m.bidirectional,
        dropout=m.dropout if m.n_layers > 1 else 0.0,
    )  # fmt: skip
    decoder = nn.Linear(both * m.d_model, m.n_classes)
    model = nn.ModuleList([encoder, layers, decoder]).train(what == "train_step")
    optimizer = torch.optim.AdamW(model.parameters(), lr=case.config.optim.lr)
    inputs, targets = torch.from_numpy(batch.inputs), torch.from_numpy(batch.targets)

    def logits() -> Any:
        return decoder(layers(encoder(inputs))[0].mean(1))

    def train_step() -> None:
        optimizer.zero_grad(set_to_none=True)
        nn.functional.cross_entropy(logits(), targets).backward()
        optimizer.step()

    def forward() -> Any:
        with torch.no_grad():
            return logits()

    return Benchmark({"train_step": train_step, "forward": forward}[what])
