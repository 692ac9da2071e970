"""A check as JUnit XML, which continuous integration reads: a suite of each stage, a test of each case."""

from __future__ import annotations

from xml.etree import ElementTree as xml

from s5ref.verification.conformance.kit import console
from s5ref.verification.conformance.kit.result import Outcome, Result


def junit(result: Result) -> str:
    """The document. Cases that were not asked and expected failures are skipped, with the reason."""
    suites = xml.Element("testsuites", name=f"s5ref check {result.target}", time=f"{result.seconds:.3f}")
    for stage in dict.fromkeys(o.stage for o in result.outcomes):
        outcomes = [o for o in result.outcomes if o.stage == stage]
        counts = {
            "tests": len(outcomes), "failures": sum(o.status in ("failed", "xpass") for o in outcomes),
            "skipped": sum(o.status in ("unsupported", "xfail") for o in outcomes), "errors": 0,
        }  # fmt: skip
        suite = xml.SubElement(suites, "testsuite", {"name": stage} | {k: str(n) for k, n in counts.items()})
        for outcome in outcomes:
            _test(suite, outcome)
    xml.indent(suites)
    return xml.tostring(suites, encoding="unicode", xml_declaration=True)


def _test(suite: xml.Element, o: Outcome) -> None:
    test = xml.SubElement(suite, "testcase", classname=f"s5ref.{o.stage}", name=o.id, time=f"{o.seconds:.3f}")
    if o.status in ("unsupported", "xfail"):
        xml.SubElement(test, "skipped", message=_printable(o.reason))
    elif o.status in ("failed", "xpass"):
        words = o.reason if o.status == "xpass" else console.size(o)
        failure = xml.SubElement(test, "failure", message=_printable(words))
        failure.text = _printable("\n".join([*o.names, *filter(None, [o.trace])]))


def _printable(text: str) -> str:
    """Without the characters that XML has not, as those of colours on a terminal."""
    return "".join(c for c in text if c in "\n\t" or c >= " ")
