"""Whether an installed photfeh can predict, in an environment that has nothing of this repository.

python smoke.py light VERSION      torch is absent: relations and the default predict, other networks say what they need
python smoke.py torch VERSION      networks of torch predict, too
"""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np

import photfeh as pf

DEFAULT = {"RRab": "dekany-i-band-distilled", "RRc": "ogle-i-band-rrc"}
"""Which trained model predicts which type; test_packaging holds it against the package."""

what, version = sys.argv[1:]
assert "site-packages" in pf.__file__, pf.__file__
assert pf.__version__ == version, (pf.__version__, version)
assert (find_spec("torch") is not None) == (what == "torch"), (
    "torch is there where it should not be, or not where it should"
)

survey = pf.simulate(200, seed=7)
relation = pf.predict(survey.curves, survey.stars, model="relation")
error = np.nanstd(relation["feh"].to_numpy() - survey.stars["feh"].to_numpy())
assert len(relation) == 200, len(relation)
assert relation["feh"].notna().sum() > 150, "few stars were predicted"
table = pf.predict(survey.curves, survey.stars)
known = table["feh"].notna()
assert known.sum() > 150, "few stars were predicted"
found = {kind: set(table.loc[known & (survey.stars["type"] == kind), "model"]) for kind in DEFAULT}
assert found == {kind: {name} for kind, name in DEFAULT.items()}, found
assert (table.loc[known, "feh_lower"] < table.loc[known, "feh_upper"]).all()
command = [str(Path(sys.executable).with_name("photfeh")), "models", "card", "gaia-dr3-relation"]
done = subprocess.run(command, capture_output=True, text=True, check=False)
if what == "light":
    assert done.returncode == 2, done
    assert "pip install 'photfeh[torch]'" in done.stderr, done.stderr
else:
    assert done.returncode == 0, done.stderr
    assert "circular-inception" in done.stdout, done.stdout
    assert pf.predict(survey.curves, survey.stars, model="gru")["feh"].notna().any()
print(f"photfeh {version} {what}: predicts ({error:.2f} dex from the truth of simulated stars by the relation)")
