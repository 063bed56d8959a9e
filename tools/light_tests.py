"""The test files that can be collected without torch, for `make test-light`."""

import re
from pathlib import Path

TESTS = Path(__file__).parents[1] / "tests"
NEEDS = re.compile(
    r"^(import torch|from torch|from photfeh\.models\.(kernels|network|loop|recurrent|attention|circular|convolutional"
    r"|mixed|seq2seq|blend|layers)|from elsewhere)"
    r"|(\"gru\"|'gru'|\"blend\"|\"circular\"|\"default\"|pf\.predict\(|\bpredict\()",
    re.M,
)

if __name__ == "__main__":
    print(*(str(path) for path in sorted(TESTS.glob("test_*.py")) if not NEEDS.search(path.read_text())))
