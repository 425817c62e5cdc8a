"""The scorecard in an adapter's README: made by a test, compared with what stands there."""

import os
import re
from pathlib import Path


def agrees(readme: Path, scorecard: str) -> None:
    """The README holds this scorecard between its marks. MARKETSYNC_WRITE_SCORECARDS set: it is written instead."""
    text = readme.read_text()
    made = f"<!-- scorecard -->\n{scorecard}\n<!-- /scorecard -->"
    before = re.search(r"<!-- scorecard -->.*<!-- /scorecard -->", text, re.DOTALL)
    assert before is not None
    if os.environ.get("MARKETSYNC_WRITE_SCORECARDS"):
        readme.write_text(text.replace(before[0], made))
        return
    assert made == before[0]


def assumptions(readme: Path) -> int:
    """How many unconfirmed assumptions the README lists."""
    listed = re.search(r"## Assumptions\n(.*?)\n## ", readme.read_text(), re.DOTALL)
    assert listed is not None
    return len(re.findall("^- ", listed[1], re.MULTILINE))
