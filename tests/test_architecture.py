"""docs/architecture.md, held against the source: floors, lazy imports, neighbours, sizes, the package
list."""

from __future__ import annotations

import ast
import graphlib
import inspect
import io
import os
import re
import subprocess
import sys
import textwrap
import tokenize
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

import s5ref

ROOT = Path(__file__).parent.parent
FOLDERS = {"s5ref": ROOT / "s5ref", "s5ref.gpu": ROOT / "gpu", "s5ref.verification": ROOT / "verification"}

FLOORS = {
    0: ["errors", "settings", "files", "cache", "arrays", "npz", "tree", "random", "segments", "engine",
        "machine", "process", "terminal", "ranks", "mpi", "page"],
    1: ["ssm.hippo", "ssm.phi", "ssm.discretize", "ssm.scan"],
    2: ["ssm", "nn"],
    3: ["model"],
    4: ["optim", "train.checkpoint", "train.config", "train.metrics",
        "train.environment", "train.signals", "data", "series", "features", "recipes"],
    5: ["engines", "cpu", "data.pathfinder_generator"],
    6: ["train"],
    7: ["engine_names", "gpu", "verification", "interop", "bench", "estimators", "show"],
    8: ["cli"],
}  # fmt: skip
OPTIONAL = {  # package: the places that may import it
    "cupy": ("s5ref.gpu",),
    "torch": (
        "s5ref.interop.torch",
        "s5ref.verification.conformance.kit",
        "s5ref.verification.conformance.adapters",
        "s5ref.bench.pytorch_peer",
        "s5ref.bench.rnn_peer",
    ),
    "jax": (
        "s5ref.interop.jax",
        "s5ref.verification.conformance.kit",
        "s5ref.verification.conformance.adapters",
        "s5ref.bench.jax_peer",
    ),
    "flint": ("s5ref.verification.proofs.oracles",),
    "mpi4py": ("s5ref.mpi",),
}
ON_FIRST_USE = {
    ("s5ref.engine_names", "s5ref.gpu"),  # an engine that is made when it is named
    (
        "s5ref.data.pathfinder_files",
        "s5ref.data.pathfinder_generator",
    ),  # compiled as the kernels of an engine
}
TOP = {"s5ref", "s5ref.__main__"}  # the package itself re-exports from every floor up to 5


def modules() -> dict[str, Path]:
    """Module name → file, of everything that is installed."""
    found = {}
    for package, folder in FOLDERS.items():
        for path in sorted(folder.rglob("*.py")):
            parts = [package, *path.relative_to(folder).with_suffix("").parts]
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules()


def floor(module: str) -> int:
    """The floor of a module: that of the longest name in the table that covers it."""
    name = module.removeprefix("s5ref.")
    covering = [(len(entry), number) for number, entries in FLOORS.items() for entry in entries
                if name == entry or name.startswith(entry + ".")]  # fmt: skip
    assert covering, f"{module} has no floor: add it to docs/architecture.md and here"
    return max(covering)[1]


def imports(module: str) -> Iterator[tuple[str, bool]]:
    """(what is imported, whether inside a function), TYPE_CHECKING blocks left out."""
    tree = ast.parse(MODULES[module].read_text(encoding="utf-8"))

    def walk(node: ast.AST, inside: bool) -> Iterator[tuple[str, bool]]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
                continue
            if isinstance(child, ast.Import):
                yield from ((alias.name, inside) for alias in child.names)
            elif isinstance(child, ast.ImportFrom):
                assert child.level == 0, f"{module}: relative import"
                for alias in child.names:
                    full = f"{child.module}.{alias.name}"
                    yield (full if full in MODULES else str(child.module)), inside
            elif isinstance(child, ast.Call) and ast.unparse(child.func).endswith("import_module"):
                named = child.args[0] if child.args else None
                if isinstance(named, ast.Constant):
                    yield str(named.value), inside
            yield from walk(
                child, inside or isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            )

    yield from walk(tree, False)


@pytest.mark.parametrize("module", sorted(set(MODULES) - TOP))
def test_imports_go_down_only(module: str) -> None:
    here = floor(module)
    for imported, inside in imports(module):
        top = imported.split(".")[0]
        if top in OPTIONAL:
            assert module.startswith(OPTIONAL[top]), f"{module} imports {imported}"
        if top == "numba":
            assert here >= 4, f"{module} on floor {here} imports Numba"
        if top != "s5ref" or imported in TOP:
            continue
        if (module, imported) in ON_FIRST_USE:
            assert inside, f"{module} imports {imported} outside a function"
            continue
        if imported.startswith(("s5ref.gpu", "s5ref.verification")) and not module.startswith(
            ("s5ref.gpu", "s5ref.verification")
        ):
            may = module.startswith("s5ref.cli.") or (
                module.startswith("s5ref.bench.gpu.") and imported.startswith("s5ref.gpu")
            )
            assert may, f"{module} imports {imported}"
            assert inside, f"{module} imports {imported} outside a function"
        assert floor(imported) <= here, (
            f"{module} on floor {here} imports {imported} on floor {floor(imported)}"
        )


@pytest.mark.parametrize("module", sorted(m for m in MODULES if m.startswith(("s5ref.ssm", "s5ref.nn"))))
def test_ssm_and_nn_do_not_know_each_other(module: str) -> None:
    other = "s5ref.nn" if module.startswith("s5ref.ssm") else "s5ref.ssm"
    assert [imported for imported, _ in imports(module) if imported.startswith(other)] == []


@pytest.mark.parametrize(
    "module", sorted(m for m in MODULES if m.startswith("s5ref.verification.proofs.independent"))
)
def test_the_independent_implementations_know_nothing_of_ours(module: str) -> None:
    own = "s5ref.verification.proofs.independent"
    assert [i for i, _ in imports(module) if i.startswith("s5ref") and not i.startswith(own)] == []


ROOMS = ("rounding", "proofs", "conformance", "selfcheck")  # each knows those before it


@pytest.mark.parametrize("module", sorted(m for m in MODULES if m.startswith("s5ref.verification.")))
def test_the_rooms_of_verification_know_those_below(module: str) -> None:
    def room(name: str) -> int:
        part = name.removeprefix("s5ref.verification.").partition(".")[0]
        return ROOMS.index(part) if part in ROOMS else -1

    above = [i for i, _ in imports(module) if i.startswith("s5ref.verification.") and room(i) > room(module)]
    assert above == []


def test_the_package_itself_stays_below_the_engines_of_others() -> None:
    for imported, inside in imports("s5ref"):
        if imported == "s5ref.engine_names":  # loads what it names at first use
            continue
        if imported.startswith("s5ref.") and not inside:
            assert floor(imported) <= 5
            assert not imported.startswith("s5ref.cpu")


def test_importing_s5ref_loads_numpy_only() -> None:
    banned = [
        "numba",
        "cupy",
        "torch",
        "jax",
        "scipy",
        "matplotlib",
        "rich",
        "pooch",
        "hypothesis",
        "s5ref.cpu",
        "s5ref.gpu",
    ]
    code = f"import sys, s5ref; print([name for name in {banned!r} if name in sys.modules])"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == "[]"


def test_importing_s5ref_takes_less_time_than_importing_numpy(tmp_path: Path) -> None:
    """Processor time in one process, best of eight each: a ratio, which a slow processor does not change.
    With bytecode, as installed packages have it.
    """
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    variables["PYTHONPYCACHEPREFIX"] = str(tmp_path)
    clock = "import time; t = time.process_time"
    code = f"{clock}; a = t(); import numpy; b = t(); import s5ref; print(b - a, t() - b)"

    def seconds() -> list[float]:
        run = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=variables
        )
        return [float(word) for word in run.stdout.split()]

    numpy, own = map(min, zip(*(seconds() for _ in range(8)), strict=True))
    assert own < numpy


def test_package_list_equals_the_packages_on_disk() -> None:
    tool = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    on_disk = {name for name, path in MODULES.items() if path.name == "__init__.py"}
    assert set(tool["packages"]) == on_disk
    assert {name: ROOT / folder for name, folder in tool["package-dir"].items()} == FOLDERS
    for package, patterns in tool["package-data"].items():
        for pattern in patterns:
            assert list(MODULES[package].parent.glob(pattern)), f"{package}: {pattern} matches nothing"


@pytest.mark.parametrize("module", sorted(MODULES))
def test_every_vjp_stands_directly_below_its_value(module: str) -> None:
    names = [
        node.name
        for node in ast.parse(MODULES[module].read_text(encoding="utf-8")).body
        if isinstance(node, ast.FunctionDef)
    ]
    for i, name in enumerate(names):
        value = name.removesuffix("_vjp")
        if value == name or value not in names or name.startswith("_"):
            continue
        assert names[i - 1] == value, f"{module}: {name} stands below {names[i - 1]}"


ALONE = {"pool_vjp", "_affine_vjp"}  # one vjp for two poolings; a part of two bounds


def test_every_vjp_has_a_value_and_the_other_way_round_in_ssm_nn_and_model() -> None:
    """A vjp without a neighbour of its name is renamed, moved or orphaned."""
    for module, path in MODULES.items():
        if module.startswith(("s5ref.ssm", "s5ref.nn", "s5ref.model")):
            names = {
                node.name
                for node in ast.parse(path.read_text(encoding="utf-8")).body
                if isinstance(node, ast.FunctionDef)
            }
            for name in names:
                if name.endswith("_vjp") and name not in ALONE and not name.startswith("_"):
                    if name.endswith("_and_vjp"):  # the value with its vjp
                        continue
                    assert name.removesuffix("_vjp") in names, f"{module}: {name}"


def sources() -> list[Path]:
    return sorted(
        path for folder in ("s5ref", "gpu", "verification", "tests") for path in (ROOT / folder).rglob("*.py")
    )


def test_no_fastmath() -> None:
    assert [
        path for path in sources() if re.search(r"fastmath\s*=\s*(True|\{)", path.read_text(encoding="utf-8"))
    ] == []


def test_every_module_says_what_it_is() -> None:
    silent = [module for module, path in MODULES.items() if path.read_text(encoding="utf-8").strip()
              and not ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))]  # fmt: skip
    assert silent == []


def everything_imported(module: str) -> set[str]:
    """All modules of ours that a module imports: lazily, for types or by name, too."""
    found = set()
    for node in ast.walk(ast.parse(MODULES[module].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                found.add(full if full in MODULES else str(node.module))
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            found |= {str(arg.value) for arg in node.args if isinstance(arg, ast.Constant)}
    return found & set(MODULES) - TOP - {module}


def test_no_circle_among_modules() -> None:
    graph = {module: everything_imported(module) for module in set(MODULES) - TOP}
    graphlib.TopologicalSorter(graph).prepare()  # raises CycleError, which names the circle


def functions(path: Path) -> Iterator[ast.FunctionDef]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef):
            yield node


def test_no_function_takes_more_than_eight_parameters() -> None:
    """Estimators aside: scikit-learn reads their parameters from the signature of __init__. And aside the
    loops that LLVM's builder writes: each parameter is an array of theirs.
    """
    wide = []
    for module, path in MODULES.items():
        for node in functions(path):
            names = [arg.arg for arg in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)]
            aside = module == "s5ref.cpu.irregular" or (
                module.startswith("s5ref.estimators.") and node.name == "__init__"
            )
            if len([name for name in names if name not in ("self", "cls")]) > 8 and not aside:
                wide.append(f"{module}.{node.name}")
    assert wide == []


def test_llvm_is_written_in_two_files() -> None:
    """`llvmlite.ir` builds code; `llvmlite.binding` only tells the processor's features."""
    writing = {module for module, path in MODULES.items()
               if re.search(r"import ir\b|llvmlite\.ir\b", path.read_text(encoding="utf-8"))}  # fmt: skip
    assert writing == {"s5ref.cpu.simd", "s5ref.cpu.irregular"}


def lines_of_code(path: Path) -> int:
    """Lines with code: docstrings, comments and blank lines aside."""
    text = path.read_text(encoding="utf-8")
    prose: set[int] = set()
    for node in ast.walk(ast.parse(text)):
        if (
            isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
            and ast.get_docstring(node) is not None
        ):
            prose |= set(range(node.body[0].lineno, (node.body[0].end_lineno or 0) + 1))
    empty = (
        tokenize.COMMENT,
        tokenize.NL,
        tokenize.NEWLINE,
        tokenize.INDENT,
        tokenize.DEDENT,
        tokenize.ENDMARKER,
    )
    code: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in empty:
            code |= set(range(token.start[0], token.end[0] + 1))
    return len(code - prose)


def test_no_python_that_is_started_has_the_current_folder_on_its_path() -> None:
    """A `numpy.py` that lies there would be taken for NumPy: what starts Python says -P."""
    places = [*MODULES.values(), ROOT / "Makefile", ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    without = re.compile(r"""\[sys\.executable, ["'](?!-P)|(?:python3?|RUN_PYTHON\)) -m s5ref""")
    assert [path for path in places if without.search(path.read_text(encoding="utf-8"))] == []


def test_the_product_does_not_grow_unseen() -> None:
    """What adds a capability raises this number by what it needs, and says so.

    20,250 before one's own data: series (860), random features (250), estimators (700), fit and predict
    (350), pages and show (1,150), training own arrays (600), pooled heads, φ₂ and first-order hold with their
    proofs (350), many series, tokens of tables and names of channels (100). Long sequences in the memory of a
    chunk, trained and streamed (200), resets and learned initial states with their proofs (410), the fused
    layer for every option and what each costs (700), async and first-order hold in layers (350), packed rows
    (250), export (900), event pooling (190), carried state, lengths and models without a head in the kit
    (300). Adapters of other implementations (650), the scoreboard (340), reports of a check (130), evidence
    for names and places, and the smallest input (700), eighteen more mistakes, right variants and pairs
    (700). Readers of the other data sets, archives as streams, downloads, memory maps (900). Image encoder,
    Gaussian head, the pendulum set and the error of regressions, with their proofs (850). Pathfinder
    generated, and the report beside published results (730). Options crossed, long sequences, masks as drawn,
    descent, draws of later layers, parameter groups and nine more mistakes in the kit (650).
    """
    assert sum(map(lines_of_code, MODULES.values())) <= 36_200


def test_an_adapter_has_at_most_sixty_lines_of_code_beside_its_imports() -> None:
    from s5ref.verification.conformance.adapters.field import FIELD

    long = {}
    for module in {implementation.target.partition(":")[0] for implementation in FIELD.values()}:
        body = ast.parse(MODULES[module].read_text(encoding="utf-8")).body
        imports = (node for node in body if isinstance(node, ast.Import | ast.ImportFrom))
        lines = sum((node.end_lineno or 0) - node.lineno + 1 for node in imports)
        if ".adapters." in module and (n := lines_of_code(MODULES[module]) - lines) > 60:
            long[module] = n
    assert long == {}


def test_public_functions_that_raise_say_so() -> None:
    """A function that `s5ref` exports, or a method of a class, that raises has a section Raises."""
    silent = []
    for name in s5ref.__all__:
        thing = getattr(s5ref, name) if name not in ("CUDA", "gpu") else None
        members = [thing]
        if inspect.isclass(thing):
            members += [
                m for key, m in vars(thing).items() if inspect.isfunction(m) and not key.startswith("_")
            ]
        for member in members:
            if not inspect.isfunction(member):
                continue
            source = ast.parse(textwrap.dedent(inspect.getsource(member)))
            raises = any(isinstance(node, ast.Raise) for node in ast.walk(source))
            if raises and "Raises\n" not in (inspect.getdoc(member) or ""):
                silent.append(member.__qualname__)
    assert silent == []
