"""Our layer inside a torch model: the same step as a layer in torch operations, and torch's conventions."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from native_layers import CONFIG, RATE, H, agree, data, leaves

from s5ref import NUMPY, SEQUENTIAL, Batch, Engine, Model, ModelConfig, S5Error
from s5ref.tree import subtree

pytestmark = pytest.mark.torch


def native_layer(p: dict[str, Any], statistics: dict[str, Any], x: Any, gelu: str = "tanh") -> Any:
    """S5 written plainly in torch: BatchNorm, ZOH, the recurrence as two loops, GELU, gate, skip."""
    import torch

    mean, var = x.mean((0, 1)), x.var((0, 1), unbiased=False)
    with torch.no_grad():
        for name, value in (("norm.mean", mean), ("norm.var", var)):
            statistics[name] = 0.95 * statistics[name] + 0.05 * value
    u = p["norm.scale"] * (x - mean) / torch.sqrt(var + 1e-5) + p["norm.bias"]
    Lambda = torch.complex(p["seq.Lambda_re"], p["seq.Lambda_im"])
    B, C1, C2 = (torch.view_as_complex(p[f"seq.{name}"]) for name in ("B", "C1", "C2"))
    Lambda_bar = torch.exp(Lambda * torch.exp(p["seq.log_step"]))
    B_bar = ((Lambda_bar - 1) / Lambda)[:, None] * B
    Bu = u.to(B.dtype) @ B_bar.T

    def scan(steps: range) -> Any:
        state, found = torch.zeros_like(Bu[:, 0]), {}
        for t in steps:
            found[t] = state = Lambda_bar * state + Bu[:, t]
        return torch.stack([found[t] for t in range(Bu.shape[1])], 1)

    forward, backward = scan(range(Bu.shape[1])), scan(range(Bu.shape[1] - 1, -1, -1))
    y = 2 * (forward @ C1.T + backward @ C2.T).real + p["seq.D"] * u
    g = torch.nn.functional.gelu(y, approximate=gelu)
    return x + g * torch.sigmoid(g @ p["out2.kernel"] + p["out2.bias"])


def one_step(layer: Any, parameters: dict[str, Any], statistics: Any) -> dict[str, Any]:
    """A torch model around ``layer``, one step of SGD: what it computed and what it became."""
    import torch

    params, _ = leaves()
    outer = {
        name: params[name] for name in ("encoder.kernel", "encoder.bias", "decoder.kernel", "decoder.bias")
    }
    outer = {name: torch.nn.Parameter(torch.from_numpy(value.copy())) for name, value in outer.items()}
    inputs, targets = (torch.from_numpy(value) for value in data())
    x = layer(inputs @ outer["encoder.kernel"] + outer["encoder.bias"])
    z = x.mean(1) @ outer["decoder.kernel"] + outer["decoder.bias"]
    loss: Any = torch.nn.functional.cross_entropy(z, targets)
    every = outer | parameters
    optimiser = torch.optim.SGD(every.values(), lr=RATE)
    loss.backward()
    found = {"loss": loss.detach().numpy()}
    found |= {f"grad.{name}": value.grad.numpy().copy() for name, value in every.items()}
    optimiser.step()
    found |= {f"new.{name}": value.detach().numpy().copy() for name, value in every.items()}
    return found | {f"new.{name}": value.numpy().copy() for name, value in statistics().items()}


def start() -> tuple[dict[str, Any], dict[str, Any]]:
    return subtree(leaves()[0], "layers_0"), subtree(leaves()[1], "layers_0")


def through_ours(engine: Engine) -> dict[str, Any]:
    import torch

    from s5ref.interop.torch import S5Layer

    layer = S5Layer(CONFIG, dtype=torch.float64, engine=engine)
    layer.load_leaves(*start())
    running = [name for name in layer.state_dict() if name in start()[1]]
    return one_step(
        layer, dict(layer.named_parameters()), lambda: {name: layer.get_buffer(name) for name in running}
    )


def test_a_torch_model_trains_one_step_through_our_layer() -> None:
    import torch

    params, statistics = start()
    p = {name: torch.nn.Parameter(torch.from_numpy(value.copy())) for name, value in params.items()}
    running = {name: torch.from_numpy(value) for name, value in statistics.items()}
    native = one_step(lambda x: native_layer(p, running, x), p, lambda: running)
    agree(native, through_ours, leaves()[0] | params)


def test_another_gelu_is_no_rounding() -> None:
    """What `agree` lets pass is rounding: erf for tanh, 5e-4 at most, is not."""
    import torch

    params, statistics = start()
    p = {name: torch.nn.Parameter(torch.from_numpy(value.copy())) for name, value in params.items()}
    running = {name: torch.from_numpy(value) for name, value in statistics.items()}
    native = one_step(lambda x: native_layer(p, running, x, gelu="none"), p, lambda: running)
    with pytest.raises(AssertionError, match="loss"):
        agree(native, through_ours, leaves()[0] | params)


@pytest.mark.parametrize("both", [False, True])
def test_gradcheck_of_the_ssm_with_complex_states(both: bool) -> None:
    import torch

    from s5ref.interop import torch as interop

    ssm = interop.S5SSM(
        ModelConfig(n_layers=1, d_model=2, ssm_size=4, bidirectional=both), dtype=torch.float64, engine=NUMPY
    )
    names = [name for name, _ in ssm.named_parameters()]
    u = torch.randn(2, 4, 2, dtype=torch.float64, requires_grad=True)
    x0 = None if both else torch.randn(2, 2, dtype=torch.complex128, requires_grad=True)
    intervals = torch.rand(2, 4, dtype=torch.float64) + 0.5

    def fn(u: Any, *rest: Any) -> Any:
        state = None if both else rest[0]
        params = {f"params.{n}": p for n, p in zip(names, rest[0 if both else 1 :], strict=True)}
        return tuple(
            interop.apply(
                ssm.ops[False], params | {"u": u, "initial_state": state, "intervals": intervals}
            ).values()
        )

    inputs = (u, *(() if x0 is None else (x0,)), *ssm.parameters())
    assert torch.autograd.gradcheck(fn, inputs)


def test_gradcheck_of_a_layer_and_a_model() -> None:
    import torch

    from s5ref.interop.torch import S5Layer, S5Model

    config = ModelConfig(
        n_layers=1, d_model=2, ssm_size=4, in_dim=2, n_classes=2, activation="full_glu", norm="layer"
    )
    layer = S5Layer(config, dtype=torch.float64, engine=SEQUENTIAL)
    x = torch.randn(2, 3, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(layer, (x,))
    assert torch.autograd.gradcheck(lambda x: layer.train(False)(x, return_state=True), (x,))
    model = S5Model(config, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda x: model(x, lengths=torch.tensor([2, 3])), (x,))


def test_a_model_gives_the_bits_of_ours_and_keeps_statistics() -> None:
    import torch

    from s5ref.interop.torch import S5Model

    config = ModelConfig(n_layers=2, d_model=4, ssm_size=4, in_dim=5, n_classes=3, dropout=0.5)
    params, statistics = Model(config).init(4)
    tokens, lengths = np.array([[1, 2, 0, 4], [3, 3, 1, 0]]), np.array([3, 4])
    model = S5Model(config, seed=4, engine=NUMPY)
    assert set(model.state_dict()) == {*params, *statistics}
    for step in range(2):
        batch = Batch(tokens, lengths=lengths)
        forward = Model(config).forward(params, statistics, batch, engine=NUMPY, training=True, key=(4, step))
        statistics = forward.statistics
        got = model(torch.from_numpy(tokens), torch.from_numpy(lengths))
        np.testing.assert_array_equal(got.detach().numpy(), forward.output)
    for name, value in statistics.items():
        np.testing.assert_array_equal(model.get_buffer(name).numpy(), value)
    want = Model(config).forward(params, statistics, Batch(tokens), engine=NUMPY).output
    np.testing.assert_array_equal(model.eval()(torch.from_numpy(tokens)).detach().numpy(), want)


def test_views_and_layouts_of_tensors() -> None:
    import torch

    from s5ref.interop.torch import S5Layer

    layer = S5Layer(CONFIG, dtype=torch.float64)
    x = torch.randn(H, 8, 2, dtype=torch.float64).permute(2, 1, 0).requires_grad_()
    layer(x).sum().backward()
    assert x.grad is not None
    strided = x.grad.clone()
    y: Any = x.detach().contiguous().requires_grad_()
    layer(y).backward(torch.ones(1, 1, 1, dtype=torch.float64).expand(2, 8, H))
    assert torch.equal(strided, y.grad)


def test_what_is_refused_and_what_torch_notices() -> None:
    import torch

    from s5ref.interop.torch import S5SSM, S5Layer

    layer = S5Layer(CONFIG)
    x = torch.randn(2, 5, H)
    for bad, message in (
        (x.half(), "float32 or float64; got torch.float16"),
        (x.double(), "dtype"),
        (x[0], "batch and a time axis|must be"),
        (x.to("meta"), "on the CPU; it is on meta"),
        (torch.full((2, 5, H), torch.nan), "finite"),
    ):
        with pytest.raises(S5Error, match=message):
            layer(bad)
    with pytest.raises(S5Error, match="intervals has no gradient"):
        layer(x, intervals=torch.ones(2, 5, requires_grad=True))
    with pytest.raises(S5Error, match="float32 or float64"):
        S5SSM(CONFIG, dtype=torch.bfloat16)
    y = layer(x).sum()
    with torch.no_grad():
        layer.get_parameter("seq.D").add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.backward()
    z = x.clone().requires_grad_()
    with pytest.raises(S5Error, match="first derivatives only"):
        torch.autograd.grad(layer(z).sum(), z, create_graph=True)


def test_the_example_of_the_documentation_runs() -> None:
    text = (Path(__file__).parents[2] / "docs" / "conversion.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    mine = [code for code in blocks if "s5ref.interop.torch import" in code]
    assert len(mine) == 1
    exec(compile(mine[0], "example", "exec"), {"__name__": "example"})
