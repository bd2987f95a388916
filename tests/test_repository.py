"""The repository itself: what is there is documented, what is documented is there."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest

from kallglot.errors import STATUS_OF
from kallglot.settings import Settings

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md")])
LARGEST_FILE = 1024 * 1024
TARGETS = ("setup", "demo", "serve", "test", "lint", "bench")


def table_rows(page: Path) -> dict[str, list[str]]:
    """The rows of a page's tables whose first cell is one name in backquotes, by that name."""
    rows: dict[str, list[str]] = {}
    for line in page.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip().strip("|"))]
        named = re.fullmatch(r"`([^`]+)`", cells[0])
        if line.startswith("|") and named:
            rows[named[1]] = cells[1:]
    return rows


def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def kept_files() -> list[Path]:
    """What git keeps here, or would keep with the next commit."""
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
        text=True,
    ).stdout
    return [ROOT / name for name in listed.split("\0") if name and (ROOT / name).is_file()]


def test_every_setting_is_documented() -> None:
    documented = table_rows(DOCS / "settings.md")
    assert documented.keys() == {f"KALLGLOT_{name.upper()}" for name in Settings.model_fields}


@pytest.mark.parametrize("name", Settings.model_fields)
def test_the_documented_default_is_the_default(name: str) -> None:
    default = Settings.model_fields[name].default
    shown = table_rows(DOCS / "settings.md")[f"KALLGLOT_{name.upper()}"][0]
    expected = (
        "–" if default is None or default == "" else f"`{default:g}`" if type(default) is float else f"`{default}`"
    )
    assert shown == expected


def test_every_error_code_is_documented_with_its_status() -> None:
    documented = {code: int(cells[0]) for code, cells in table_rows(DOCS / "errors.md").items() if cells[0].isdigit()}
    assert documented == STATUS_OF


def test_every_dependency_is_documented() -> None:
    described = project()
    wanted = [*described["project"]["dependencies"], *described["dependency-groups"]["dev"]]
    wanted += [one for extra in described["project"]["optional-dependencies"].values() for one in extra]
    # The tests want what is optional, too: the project's own extras.
    names = {re.split(r"[\[<>=;!~ ]", requirement, maxsplit=1)[0] for requirement in wanted} - {"kallglot"}
    rows = table_rows(DOCS / "dependencies.md")
    assert not names - rows.keys()
    assert not [name for name in names if not all(rows[name][:2])], "each says what it is for and its licence"


def test_the_uv_that_is_installed_is_the_documented_one() -> None:
    pinned = re.search(r"^uv_version=(\S+)$", (ROOT / "bin" / "setup").read_text(encoding="utf-8"), re.MULTILINE)
    assert pinned
    assert pinned[1] in (DOCS / "install.md").read_text(encoding="utf-8")


def anchors(page: Path) -> set[str]:
    """The fragments a page can be linked at, as forges make them from its headings."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ +(.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, fragment = target.partition("#")
        found = (page.parent / path).resolve() if path else page
        assert found.exists(), f"{target} does not exist"
        assert found.is_relative_to(ROOT), f"{target} is outside the repository"
        if fragment:
            assert fragment in anchors(found), f"{target}: there is no such heading"


def test_every_page_is_in_the_readme() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    pages = [str(page.relative_to(ROOT)) for page in DOCS.glob("*.md")]
    assert not [page for page in pages if f"({page})" not in readme]


def test_no_large_files() -> None:
    large = [str(path.relative_to(ROOT)) for path in kept_files() if path.stat().st_size > LARGEST_FILE]
    assert not large


def test_nothing_private_is_kept() -> None:
    """No key material, no database, no environment file."""
    suspicious = re.compile(r"(\.(pem|key|p12|sqlite3?|env)|/secret\.key)$")
    assert not [str(path) for path in kept_files() if suspicious.search(str(path))]


@pytest.mark.parametrize("target", TARGETS)
def test_make_knows_the_target(target: str) -> None:
    dry = subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True, text=True)
    assert dry.returncode == 0, dry.stderr
    assert "bin/setup" in dry.stdout


@pytest.mark.parametrize("script", ["bin/setup", ".ci/run"])
def test_scripts_can_be_run(script: str) -> None:
    path = ROOT / script
    assert path.stat().st_mode & 0o111 == 0o111
    assert subprocess.run(["bash", "-n", str(path)], capture_output=True).returncode == 0


def test_the_licence_is_the_declared_one() -> None:
    assert project()["project"]["license"] == "Apache-2.0"
    text = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert "Apache License" in text
    assert "Version 2.0, January 2004" in text


def test_the_changelog_knows_this_version() -> None:
    assert f"## {project()['project']['version']}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
