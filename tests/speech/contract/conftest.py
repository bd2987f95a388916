"""Every test here runs against every maker of its kind; the outcomes are kept for the table."""

from __future__ import annotations

import pytest
from tests.speech.contract.makers import Maker, found
from tests.speech.contract.table import Outcomes

_OUTCOMES = pytest.StashKey[Outcomes]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--contract-table", action="store_true", help="print what was run against what, as Markdown")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_OUTCOMES] = Outcomes()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "maker" not in metafunc.fixturenames:
        return
    kind = metafunc.module.KIND
    makers = [maker for maker in found() if maker.kind == kind]
    marked = [
        pytest.param(one, id=one.name.replace(" ", "-"), marks=[pytest.mark.speech] if one.speech else [])
        for one in makers
    ]
    metafunc.parametrize("maker", marked)


@pytest.fixture(autouse=True)
def _can(request: pytest.FixtureRequest) -> None:
    if "maker" not in request.fixturenames:
        return
    maker: Maker = request.getfixturevalue("maker")
    case = request.node.originalname.removeprefix("test_")
    if (why := maker.cannot.get(case)) is not None:
        pytest.skip(f"cannot happen: {why}")
    if (missing := maker.missing()) is not None:
        pytest.skip(f"not here: {missing}")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]):  # type: ignore[no-untyped-def]
    outcome = yield
    report = outcome.get_result()
    callspec = getattr(item, "callspec", None)
    maker = callspec.params.get("maker") if callspec else None
    if maker is not None and (report.when == "call" or report.outcome != "passed"):
        why = report.longrepr[2] if report.skipped and isinstance(report.longrepr, tuple) else ""
        item.config.stash[_OUTCOMES].add(maker, item.originalname.removeprefix("test_"), report.outcome, str(why))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if config.getoption("--contract-table"):
        terminalreporter.write_line("\n" + config.stash[_OUTCOMES].markdown())
