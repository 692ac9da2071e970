"""Parameters into modules of the frameworks; the example of docs/adapters.md."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from s5ref.verification.conformance.adapters import flax_variables, haiku_params, over_examples, torch_call
from s5ref.verification.conformance.kit import check

PAGE = Path(__file__).parents[4] / "docs" / "adapters.md"


def test_flax_takes_statistics_apart() -> None:
    given = {"norm.scale": 1, "norm.mean": 2, "norm.var": 3, "encoder.kernel": 4}
    assert flax_variables(given) == {
        "params": {"norm": {"scale": 1}, "encoder": {"kernel": 4}},
        "batch_stats": {"norm": {"mean": 2, "var": 3}},
    }
    assert set(flax_variables({"D": 1})) == {"params"}


def test_haiku_has_two_levels() -> None:
    assert haiku_params({"s5/ssm.B": 1, "s5/ssm.D": 2, "linear.w": 3}) == {
        "s5/ssm": {"B": 1, "D": 2},
        "linear": {"w": 3},
    }


@pytest.mark.torch
def test_a_torch_module_is_called_with_given_leaves_and_keeps_its_own() -> None:
    import torch

    module = torch.nn.Linear(2, 1, bias=False)
    own = module.weight.detach().clone()
    given = torch.tensor([[2.0, 3.0]], requires_grad=True)
    y = torch_call(module, {"weight": given}, torch.ones(2))
    y.sum().backward()
    assert y.item() == 5
    assert torch.equal(given.grad, torch.ones(1, 2))
    assert torch.equal(module.weight, own)
    assert torch_call(module, {"weight": given}, 7, method=lambda m, x: x * m.weight.sum()).item() == 35
    assert torch_call(module, {}, method="extra_repr") == "in_features=2, out_features=1, bias=False"


@pytest.mark.jax
def test_a_function_of_one_example_over_the_batch() -> None:
    y = over_examples(lambda u, x0: u.sum() + (0 if x0 is None else x0), np.ones((3, 2)), None)
    assert y.tolist() == [2, 2, 2]


@pytest.mark.torch
def test_the_example_of_the_page(tmp_path: Path) -> None:
    theirs, adapter = re.findall(
        r"^```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
    )
    (tmp_path / "theirs.py").write_text(theirs, encoding="utf-8")
    (tmp_path / "my_s5.py").write_text(adapter, encoding="utf-8")
    result = check("my_s5:MyS5", "ssm/conj_sym/*", folder=tmp_path)
    assert (result.verdict, result.count("passed")) == ("agrees", 2)
    (tmp_path / "theirs.py").write_text(theirs.replace("2 * (C @ x)", "(C @ x)"), encoding="utf-8")
    wrong = check("my_s5:MyS5", "ssm/conj_sym/*", folder=tmp_path)
    assert "without the factor 2" in next(iter(wrong.mistakes))
