"""torch and jax candidates: gradients by their own autodiff, mistakes in words, the built-in targets."""

from __future__ import annotations

from pathlib import Path

import pytest

from s5ref.verification.conformance.kit import check
from s5ref.verification.conformance.stages import Case, cases

HERE = Path(__file__).parent


def _cases(*starts: str) -> list[Case]:
    return [c for c in cases() if c.id.startswith(starts) and "resets" not in c.features]


SCANS = _cases("scan/forward/L9", "scan/reverse/L9")


@pytest.mark.torch
def test_a_torch_scan_agrees_forward_and_backward() -> None:
    result = check("torch_candidates:Scan", folder=HERE, questions=SCANS)
    assert (result.verdict, result.count("passed")) == ("agrees", len(SCANS))
    assert {m.output for m in result.outcomes[0].measures} == {"x", "x_last", "dLambda_bar", "dBu", "dx0"}


@pytest.mark.torch
def test_a_severed_gradient_is_named() -> None:
    result = check("torch_candidates:Detached", folder=HERE, questions=SCANS[:2])
    assert "gradient of Lambda_bar through the scan is lost" in next(iter(result.mistakes))
    assert result.first is not None
    assert result.first.where == "cotangent of Lambda_bar in scan"


@pytest.mark.torch
def test_another_device_is_named() -> None:
    result = check("torch_candidates:OnMeta", folder=HERE, questions=SCANS[:1])
    assert "an array on another device: meta" in result.outcomes[0].fault


def _values_are_judged(target: str) -> str:
    """Of a right scan that cannot be differentiated: why."""
    result = check(target, folder=HERE, questions=SCANS[:1])
    [outcome] = result.outcomes
    assert {m.output for m in outcome.measures} == {"x", "x_last"}
    assert all(m.rounding for m in outcome.measures)
    return str(outcome.fault)


@pytest.mark.torch
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("NotUnderAutodiff", "RuntimeError: Can't call numpy()"),
        ("BackwardRaises", "FloatingPointError: no way"),
    ],
)
def test_an_error_of_torch_s_autodiff_hides_no_value(name: str, words: str) -> None:
    assert _values_are_judged(f"torch_candidates:{name}").startswith(f"its backward pass raised {words}")


@pytest.mark.jax
def test_an_error_of_jax_s_autodiff_hides_no_value() -> None:
    fault = _values_are_judged("jax_candidates:NotUnderAutodiff")
    assert fault.startswith("its backward pass raised TracerArrayConversionError")


@pytest.mark.jax
def test_the_authors_gain_is_no_broken_port() -> None:
    chosen = _cases("discretize/", "ssm/conj_sym", "scan/forward/L9/P3/f")
    result = check("jax_candidates:Textbook", folder=HERE, questions=chosen)
    assert result.verdict == "inaccurate", [(o.id, o.names) for o in result.of("failed")]
    assert {words[:3] for words in result.mistakes} == {"M18", "M23"}


@pytest.mark.torch
def test_the_deviations_of_s5_pytorch_are_named(tmp_path: Path) -> None:
    result = check("s5-pytorch", folder=tmp_path)
    assert result.verdict == "differs"
    assert result.seconds < 90
    named = {sentence.split(":")[0] for sentence in result.mistakes}
    assert named == {"M18", "M21", "M23", "M28", "M31", "M32", "M37"}  # that it keeps all states, it says
    unnamed = {o.id for o in result.of("failed") if not o.names}
    assert unnamed == {"audit/initial_state", "audit/bcInit=dense_columns", "audit/factor_rank=2"}
    confirmed = {o.id for o in result.of("passed")}
    assert {c.id for c in _cases("scan/")} <= confirmed
    assert {
        "ssm/all states/L6/H2/P3/f32",
        "ssm/bidirectional/L6/H2/P3/f32",
        "discretize/zoh/P4/f64",
        "discretize/bilinear/P4/f32",
    } <= confirmed


@pytest.mark.jax
def test_the_jax_target_agrees_where_it_is_quick(tmp_path: Path) -> None:
    chosen = _cases("discretize/zoh", "scan/reverse/L9/P3/f", "ssm/bidirectional/", "layer/half_glu2/tanh")
    result = check("jax", folder=tmp_path, questions=chosen)
    assert (result.verdict, result.count("passed")) == ("agrees", len(chosen))


@pytest.mark.jax
@pytest.mark.slow
def test_the_jax_target_agrees(tmp_path: Path) -> None:
    result = check("jax", folder=tmp_path)
    assert (result.verdict, result.count("failed")) == ("agrees", 0)
    assert result.ran > 130


@pytest.mark.jax
def test_a_conjugated_gradient_is_told_so() -> None:
    result = check("jax_candidates:Conjugated", folder=HERE, questions=_cases("scan/forward/L9/P3/f"))
    assert "your complex gradients are the conjugates of ours" in next(iter(result.mistakes))


@pytest.mark.jax
def test_erf_gelu_is_told_so() -> None:
    result = check("jax_candidates:ErfGelu", folder=HERE, questions=_cases("layer/half_glu2"))
    assert list(result.mistakes) == ["M31: your GELU is the erf form, S5's is the tanh form"]
    assert result.count("passed") == 2
    assert {o.place for o in result.of("failed")} == {"activation"}
