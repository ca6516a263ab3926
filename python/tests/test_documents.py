"""The examples of the documents run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

pytest.importorskip("torch")
PYTHON = Path(__file__).parent.parent


DOCUMENTS = [
    PYTHON / "README.md",
    *(PYTHON.parent / name for name in ("README.md", "docs/guide.md")),
]


@pytest.mark.parametrize("document", DOCUMENTS)
def test_examples(document: Path, capsys: pytest.CaptureFixture) -> None:
    examples = re.findall(r"```python\n(.*?)```", document.read_text(encoding="utf-8"), re.DOTALL)
    assert examples
    for example in examples:
        exec(compile(example, str(document), "exec"), {})
        printed = capsys.readouterr().out.splitlines()
        said = [line[2:] for line in example.splitlines() if line.startswith("# ")]
        assert not said or printed == said
