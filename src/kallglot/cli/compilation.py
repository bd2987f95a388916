"""``kallglot compile``: the media path's modules as machine code, in this environment."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Annotated, Final

import msgspec
import typer

from kallglot import compiled
from kallglot.cli.shell import console

_BUILD: Final = """
import sys
from mypyc.build import mypycify
from setuptools import setup
flags = ["--ignore-missing-imports", "--follow-imports=silent", "--python-executable", sys.argv[1]]
modules = mypycify([*flags, *sys.argv[2:]], opt_level="3", debug_level="0", group_name="kallglot")
setup(name="kallglot-compiled", ext_modules=modules, script_args=["build_ext", "--inplace"])
"""
_NOT_SOURCES: Final = shutil.ignore_patterns("__pycache__", "*.so")


def compile_command(
    again: Annotated[bool, typer.Option("--again", help="Although there is machine code of these sources.")] = False,
) -> None:
    """Makes machine code of what a call's audio passes through: more calls on a core."""
    if compiled.is_current() and not again:
        console.print("compile: there is machine code of these sources already")
        return
    sources = compiled.digests()
    with tempfile.TemporaryDirectory() as made:
        shutil.copytree(Path(compiled.__file__).parent, Path(made) / "kallglot", ignore=_NOT_SOURCES)
        files = [str(compiled.source(module).relative_to(Path(compiled.__file__).parents[1])) for module in sources]
        console.print(f"compile: translating {len(files)} modules; this takes a minute or two")
        built = subprocess.run(
            [sys.executable, "-c", _BUILD, sys.executable, *files],
            cwd=made,
            capture_output=True,
            text=True,
            check=False,
        )
        if built.returncode != 0:
            said = (built.stdout + built.stderr).strip().splitlines()[-15:]
            console.print("\n".join(said), style="red", markup=False, highlight=False)
            console.print(
                "compile: this takes gcc, Python's headers (python3-dev) and the extra kallglot[compile]; without it"
                " the sources run as they are.",
                markup=False,
                highlight=False,
            )
            raise typer.Exit(1)
        _put(Path(made), sources)
    console.print(f"compile: machine code of {len(files)} modules is in {compiled.folder()}", highlight=False)


def _put(made: Path, sources: dict[str, str]) -> None:
    """In one step: a server that starts meanwhile finds all or nothing."""
    target = compiled.folder()
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as staging:
        new = Path(staging) / "new"
        new.mkdir()
        files: dict[str, str] = {}
        for module in (*sources, compiled.LIBRARY):
            [file] = made.glob(f"{module.replace('.', '/')}.*.so")
            files[module] = f"{module}{''.join(file.suffixes)}"
            shutil.copyfile(file, new / files[module])
        (new / compiled.INDEX).write_bytes(msgspec.json.encode(compiled.Index(sources, files)))
        if target.exists():
            target.rename(Path(staging) / "old")
        new.rename(target)
