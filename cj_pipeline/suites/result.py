"""This module says what comes of a suite: tests, and in each test rules that hold, do not hold, or do not apply."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from xml.etree import ElementTree

from cj_pipeline.foundation import exit_codes
from cj_pipeline.foundation.text import plain


class Verdict(StrEnum):
    """What a rule says."""

    PASS = "pass"  # noqa: S105
    FAIL = "fail"
    SKIP = "skip"


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule of a test. sentence: what was seen, or why it was not asked; limit: what is allowed, in words."""

    name: str
    verdict: Verdict
    sentence: str
    limit: str = ""


@dataclass(frozen=True, slots=True)
class TestResult:
    """One test of a suite. seconds: from the first request to the last callback, 0 where nothing was asked."""

    __test__ = False  # pytest: a result, and no class of tests

    name: str
    rules: tuple[Rule, ...]
    seconds: float = 0.0

    @property
    def verdict(self) -> Verdict:
        """Fail where a rule fails, skip where every rule is skipped."""
        found = {rule.verdict for rule in self.rules}
        if Verdict.FAIL in found:
            return Verdict.FAIL
        return Verdict.PASS if Verdict.PASS in found else Verdict.SKIP


@dataclass(frozen=True, slots=True)
class SuiteResult:
    """A suite in front of one deployment."""

    name: str
    url: str
    tests: tuple[TestResult, ...]

    @property
    def exit_code(self) -> int:
        """1 where a test fails, 3 where nothing was asked."""
        found = {test.verdict for test in self.tests}
        if Verdict.FAIL in found:
            return exit_codes.CHECK_FAILED
        return exit_codes.PASSED if Verdict.PASS in found else exit_codes.CANNOT_TELL

    def rows(self) -> Iterator[tuple[str, str, str, str, str]]:
        """Yield test, rule, verdict, what was seen and what is allowed."""
        for test in self.tests:
            for rule in test.rules:
                yield test.name, rule.name, rule.verdict.value, rule.sentence, rule.limit

    def as_json(self) -> dict[str, Any]:
        """Return the document of the suite."""
        return {
            "suite": self.name,
            "url": self.url,
            "exit_code": self.exit_code,
            "tests": [
                {
                    "name": test.name,
                    "verdict": test.verdict.value,
                    "seconds": test.seconds,
                    "rules": [
                        {
                            "name": rule.name,
                            "verdict": rule.verdict.value,
                            "sentence": rule.sentence,
                            "limit": rule.limit,
                        }
                        for rule in test.rules
                    ],
                }
                for test in self.tests
            ],
        }

    def as_junit(self) -> str:
        """Return JUnit XML: a suite a test, a case a rule."""
        root = ElementTree.Element("testsuites", name=plain(self.name))
        for test in self.tests:
            suite = ElementTree.SubElement(root, "testsuite", name=plain(test.name), time=f"{test.seconds:.3f}")
            for rule in test.rules:
                case = ElementTree.SubElement(suite, "testcase", classname=f"suite.{self.name}", name=rule.name)
                if rule.verdict is Verdict.FAIL:
                    failure = ElementTree.SubElement(case, "failure", message=plain(rule.sentence))
                    failure.text = f"allowed: {plain(rule.limit)}"
                elif rule.verdict is Verdict.SKIP:
                    ElementTree.SubElement(case, "skipped", message=plain(rule.sentence))
            suite.set("tests", str(len(test.rules)))
            for name, verdict in (("failures", Verdict.FAIL), ("skipped", Verdict.SKIP)):
                suite.set(name, str(sum(rule.verdict is verdict for rule in test.rules)))
        ElementTree.indent(root)
        return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def held(name: str, passed: bool, sentence: str, limit: str = "") -> Rule:
    """Return a rule that was asked."""
    return Rule(name, Verdict.PASS if passed else Verdict.FAIL, sentence, limit)


def skipped(name: str, reason: str) -> Rule:
    """Return a rule that was not asked."""
    return Rule(name, Verdict.SKIP, reason)
