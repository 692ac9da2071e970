"""``s5ref convert``: run folders, files and back, bit for bit; what is derived, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from s5ref import Model, ModelConfig, S5Error
from s5ref.cli import convert
from s5ref.cli import eval as evaluation
from s5ref.cli.output import Output
from s5ref.interop import flax, folder, names, weights
from s5ref.train import runs
from s5ref.train.config import RunConfig
from s5ref.train.state import State

Convert = Callable[..., dict[str, Any]]
TOML = 'task = "digits"\n[model]\nactivation = "half_glu1"\nhead = "classifier"\nconj_sym = true\n'


def small(**change: Any) -> ModelConfig:
    return ModelConfig(
        **({"n_layers": 2, "d_model": 6, "ssm_size": 8, "in_dim": 1, "n_classes": 10} | change)
    )


def run_folder(path: Path, model: ModelConfig, dtype: str = "float32") -> Path:
    """A run whose statistics and parameters are not those of any seed."""
    params, statistics = Model(model).init(9, dtype)
    rng = np.random.default_rng(1)
    statistics = {n: (x + rng.random(x.shape)).astype(dtype) for n, x in statistics.items()}
    config = RunConfig("digits", model).override([f"train.dtype={dtype}"])
    folder.write(path, weights.Weights(params, statistics, "run", model.conj_sym), config, "made here")
    return path


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "c.toml").write_text(TOML)
    return tmp_path


@pytest.fixture
def cli(here: Path, capsys: pytest.CaptureFixture[str]) -> Convert:
    def run(*argv: object) -> dict[str, Any]:
        out = Output(as_json=True)
        assert convert.run(convert.parser().parse([*map(str, argv), "--json"]), out) == 0
        assert out.finish(0) == 0
        found: dict[str, Any] = json.loads(capsys.readouterr().out.splitlines()[-1])
        return found

    return run


def assert_same(a: Path, b: Path) -> None:
    one, two = runs.load(a), runs.load(b)
    for mine, theirs in ((one.params, two.params), (one.statistics, two.statistics)):
        assert mine.keys() == theirs.keys()
        for name, x in mine.items():
            assert x.dtype == theirs[name].dtype
            assert x.tobytes() == theirs[name].tobytes(), name


@pytest.mark.parametrize("suffix", [".msgpack", ".flax", ".npz", ".safetensors"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_run_file_run_is_bitwise(cli: Convert, here: Path, suffix: str, dtype: str) -> None:
    run_folder(here / "run", small(bidirectional=True, norm="batch"), dtype)
    if (suffix, dtype) == (".safetensors", "float64"):
        with pytest.raises(S5Error, match="complex128"):
            cli("run", f"a{suffix}")
        assert not Path(f"a{suffix}").exists()
        return
    found = cli("run", f"a{suffix}")
    assert (found["from"], found["dtype"], found["leaves"]) == ("run", dtype, 26)
    cli(f"a{suffix}", "back", "--config", "run/config.toml")
    assert_same(here / "run", here / "back")
    assert runs.read_config(here / "run") == runs.read_config(here / "back")
    assert json.loads(Path("back/converted.json").read_text())["source"] == f"a{suffix}"


@pytest.mark.parametrize("under", ["flax", "s5-pytorch", "s5ref"])
def test_every_names_in_npz(cli: Convert, here: Path, under: str) -> None:
    run_folder(here / "run", small(norm="layer", activation="full_glu", conj_sym=False), "float64")
    assert cli("run", "a.npz", "--to", under)["to"] == under
    assert cli("a.npz", "back", "--config", "run/config.toml")["from"] == under
    assert_same(here / "run", here / "back")


def test_all_recipes_there_and_back(here: Path) -> None:
    from s5ref import recipes

    for name in recipes.names():
        model = RunConfig.recipe(name).model
        if model.d_model > 200:
            continue
        params, statistics = Model(model).init(0)
        given = weights.Weights(params, statistics, "run", model.conj_sym)
        for under in ("flax", "s5ref"):
            if model.encoder == "image":
                with pytest.raises(S5Error, match=r"unknown: encoder\.conv1\.kernel"):
                    weights.to_flat(given, under)
                continue
            back = weights.from_flat(weights.to_flat(given, under))
            assert {n: x.tobytes() for n, x in back.params.items()} == {
                n: x.tobytes() for n, x in params.items()
            }


def test_what_the_weights_show_is_derived(cli: Convert, here: Path) -> None:
    run_folder(here / "run", small(bidirectional=True))
    cli("run", "a.msgpack")
    found = cli("a.msgpack", "back", "--config", "c.toml")
    assert found["derived"] == [
        "bidirectional",
        "d_model",
        "dt_scalar",
        "in_dim",
        "learn_initial_state",
        "n_classes",
        "n_layers",
        "norm",
        "ssm_size",
    ]
    assert found["assumed"] == [
        "discretization",
        "clip_eigs",
        "gelu",
        "prenorm",
        "pooling",
        "padding",
        "event_stride",
    ]
    assert runs.read_config("back").model == small(bidirectional=True)


def test_a_train_state_of_flax(cli: Convert, here: Path) -> None:
    params, statistics = Model(small()).init()
    state = names.to_flax(params, statistics) | {"step": np.asarray(3), "opt_state/0/count": np.asarray(3)}
    Path("a.msgpack").write_bytes(flax.msgpack_dumps(state))
    assert cli("a.msgpack", "back", "--config", "c.toml")["left_aside"] == ["opt_state/0/count", "step"]


def test_eval_runs_converted_weights_and_training_goes_on(cli: Convert, here: Path) -> None:
    model = small(in_dim=1)
    run_folder(here / "run", model)
    cli("run", "a.safetensors")
    cli(
        "a.safetensors",
        "all",
        "--config",
        "run/config.toml",
        "--set",
        "model.conj_sym=false",
        "model.ssm_size=8",
    )
    losses = []
    for run in ("run", "all"):
        out = Output(as_json=True)
        assert evaluation.run(evaluation.parser().parse([run, "--engine", "numpy", "--json"]), out) == 0
        assert out._object is not None
        losses.append(out._object["loss"])
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    assert runs.read_config("all").model.ssm_size == 8
    state = State.load(runs.checkpoint_path("all", "last"))
    assert state.weights.updates == 0
    assert all(not x.any() for x in state.weights.moments.first.values())


def test_halves_are_folded_only_where_they_are_conjugate(cli: Convert, here: Path) -> None:
    run_folder(here / "run", small())
    assert cli("run", "a.npz", "--to", "s5-pytorch")["conj_sym"] is True
    assert cli("a.npz", "b.msgpack")["conj_sym"] is True
    assert cli("a.npz", "c.msgpack", "--set", "model.conj_sym=false")["conj_sym"] is False
    found = cli("c.msgpack", "d", "--config", "c.toml", "--set", "model.ssm_size=16")
    assert found["warnings"] == [
        f"layers_{i}.seq.Lambda_im has both signs, as where all states are kept; but conj_sym = true."
        for i in range(2)
    ]
    flat = dict(np.load("a.npz"))
    flat["layers.0.seq.seq.Lambda"] = flat["layers.0.seq.seq.Lambda"] + np.arange(8, dtype="c8")
    np.savez("e.npz", **flat)
    with pytest.raises(S5Error, match=r"layers_0: conj_sym needs .* model.conj_sym=false"):
        cli("e.npz", "e", "--config", "c.toml")
    assert cli("e.npz", "e", "--config", "c.toml", "--set", "model.conj_sym=false")["conj_sym"] is False
    assert runs.read_config("e").model.ssm_size == 8


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ("a.msgpack run --config c.toml", "run exists"), ("run a.msgpack", "a.msgpack exists"),
        ("run b.pt", "read but not written"), ("run b.onnx", "b.onnx: weights are written to"),
        ("none b.npz", "none is not a file"), ("c.toml b.npz", "weights are read from"),
        ("a.msgpack b", "needs a configuration; the weights show only n_layers = 2.*Recipes of these shape"),
        ("a.msgpack b --config nosuch", "Unknown recipe"),
        ("a.msgpack b --config gone.toml", "cannot be read"),
        ("a.msgpack b --config digits", r"model.n_layers is \d there and 2 in the weights.*--set model"),
        ("a.msgpack b --config c.toml --set model.norm=layer", "norm is layer there and batch in the weight"),
        ("a.msgpack b --config bare.toml", r"do not show model.conj_sym \(true or false\), model.activation"),
        ("a.msgpack b --config bad.toml", "not valid TOML"),
        ("a.msgpack b --config c.toml --set model.x=1", "unknown"),
        ("a.msgpack b.npz --set model.conj_sym=1", "model.conj_sym must be true or false"),
        ("a.msgpack b.npz --set model.x=1", "unknown key 'model.x'"),
        ("a.msgpack b.safetensors", "model.conj_sym=true"), ("a.msgpack b --to flax", "run folder"),
        ("run b.npz --from flax", "is a folder"), ("a.msgpack b.npz --from s5-pytorch", "unknown"),
        ("cut.msgpack b.npz", "not readable"), ("run b.npz --to torch", "must be one of"),
        ("other.npz b.msgpack", "must be of a model in the form"),
        ("bare.npz b --config c.toml --set model.norm=batch", "norm = batch"),
    ],
)  # fmt: skip
def test_refusals(cli: Convert, here: Path, argv: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if "Recipes of" in message:
        monkeypatch.setattr(RunConfig, "recipe", classmethod(lambda cls, name: RunConfig("t", small())))
    run_folder(here / "run", small())
    cli("run", "a.msgpack")
    Path("bare.toml").write_text('task = "digits"')
    Path("bad.toml").write_text("task =")
    Path("cut.msgpack").write_bytes(Path("a.msgpack").read_bytes()[:-9])
    np.savez("other.npz", x=np.ones(2))
    Path("bare.npz").write_bytes(flax.npz_dumps(names.to_flax(runs.load("run").params, {})))
    before = sorted(path.name for path in here.iterdir())
    with pytest.raises(S5Error, match=message):
        cli(*argv.split())
    assert sorted(path.name for path in here.iterdir()) == before


def test_a_folder_is_whole_or_absent(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: State, path: Path) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(State, "save", broken)
    with pytest.raises(OSError, match="no space"):
        run_folder(here / "run", small())
    assert [path.name for path in here.iterdir()] == ["c.toml"]
