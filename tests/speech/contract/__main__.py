"""``python -m tests.speech.contract``: runs the contract tests and prints the table. Arguments go to pytest."""

import sys
from pathlib import Path

import pytest

sys.exit(pytest.main([str(Path(__file__).parent), "--contract-table", "-p", "no:cacheprovider", *sys.argv[1:]]))
