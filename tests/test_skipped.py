"""What was skipped is said, once for each reason."""

from __future__ import annotations

from types import SimpleNamespace

import skipped


def test_one_line_a_reason_with_count_and_files():
    no_data, no_browser = "Skipped: no real data", "Skipped: needs a browser"
    reports = [
        SimpleNamespace(longrepr=("/x/tests/conftest.py", 3, no_data), fspath="tests/test_a.py"),
        SimpleNamespace(longrepr=("/x/tests/test_b.py", 3, no_browser), fspath="tests/test_b.py"),
        SimpleNamespace(longrepr=("/x/tests/conftest.py", 3, no_data), fspath="tests/test_c.py"),
    ]
    assert skipped.lines(reports) == [
        "    2  no real data  (test_a.py, test_c.py)",
        "    1  needs a browser  (test_b.py)",
    ]
    assert skipped.lines([]) == []
