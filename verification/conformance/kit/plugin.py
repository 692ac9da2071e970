"""The pytest plugin: ``pytest --s5ref-impl mypkg:adapter`` makes a test of every case.

The capability file of the root folder holds: its expected failures are strict xfails, what it does not claim
is skipped with the reason.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from s5ref.verification.conformance.kit.run import Session


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("s5ref", "conformance with S5")
    group.addoption(
        "--s5ref-impl", metavar="TARGET", help="judge module:object, ./program or a built-in target"
    )
    group.addoption("--s5ref-only", metavar="PATTERN", help="only the cases that match")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--s5ref-impl"):
        config.pluginmanager.register(Conformance(config), "s5ref-conformance-cases")


class Conformance:
    """Adds the cases to the collected tests; one child process serves all of them."""

    def __init__(self, config: pytest.Config) -> None:
        self.target, self.only = config.getoption("--s5ref-impl"), config.getoption("--s5ref-only")
        self.folder = Path(config.rootpath)
        self.session: Session | None = None

    def pytest_collection_modifyitems(self, session: pytest.Session, items: list[pytest.Item]) -> None:
        from s5ref.errors import S5Error
        from s5ref.verification.conformance.kit.run import Session
        from s5ref.verification.conformance.kit.targets import checked

        try:
            self.session = Session(checked(self.target, self.folder), self.only, self.folder)
        except S5Error as error:
            raise pytest.UsageError(str(error)) from error
        root = Root.from_parent(session, name=f"s5ref[{self.target}]", path=self.folder)
        items += [
            Item.from_parent(root, name=case.id, conformance=self.session, case=case)
            for case in self.session.cases
        ]

    def pytest_sessionfinish(self) -> None:
        if self.session is not None:
            self.session.close()

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        from s5ref.verification.conformance.kit import console

        if self.session is None or not self.session.outcomes:
            return
        result = self.session.result()
        terminalreporter.section(f"s5ref: {self.target}")
        terminalreporter.write_line(console.verdict_line(result))
        for line in console.mistakes(result):
            terminalreporter.write_line(line)
        terminalreporter.write_line(result.denominators)


class Root(pytest.Collector):
    """What the cases hang on; they are made by `Conformance`."""

    def collect(self) -> list[pytest.Item]:
        return []


class Item(pytest.Item):
    """One case."""

    def __init__(self, *, conformance: Session, case: Any, **rest: Any) -> None:
        super().__init__(**rest)
        self.conformance, self.case = conformance, case

    def runtest(self) -> None:
        outcome = self.conformance.outcome(self.case)
        if outcome.status == "unsupported":
            pytest.skip(outcome.reason)
        if outcome.status == "xfail":
            pytest.xfail(outcome.reason)
        if outcome.status == "xpass":
            raise Wrong(f"passes, though s5ref-conformance.toml expects it to fail: {outcome.reason}")
        if outcome.status == "failed":
            from s5ref.verification.conformance.kit import console

            again = self.conformance.result().replay(outcome)
            raise Wrong("\n".join([console.size(outcome), *outcome.names, again]))

    def repr_failure(self, excinfo: Any, style: Any = None) -> Any:
        wrong = isinstance(excinfo.value, Wrong)
        return str(excinfo.value) if wrong else super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        return self.path, None, f"s5ref: {self.name}"


class Wrong(Exception):
    """A case that failed; the message is the report."""
