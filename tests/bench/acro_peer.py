"""acro's answer to one table, in an environment of its own (`.venv-acro`): rows in, seconds out as JSON.

    .venv-acro/bin/python tests/bench/acro_peer.py ROWS.npz CELLS

acro (https://github.com/AI-SDC/ACRO) is what analysts check their tables with by hand; it knows the threshold
and the rules of dominance, hides what they forbid, and perturbs nothing. It needs nothing of the broker.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import tempfile
from pathlib import Path
from time import perf_counter

AXES = ("facility", "sex", "age", "sector")


def main() -> None:
    """Answer with a table cut by as many of the axes as are asked for, and print what it took."""
    import numpy as np
    import pandas as pd
    from acro import ACRO

    logging.disable(logging.CRITICAL)
    source, cut = Path(sys.argv[1]).resolve(), int(sys.argv[2])
    held = np.load(source)
    rows = pd.DataFrame({name: held[name] for name in (*AXES, "amount")})
    os.chdir(tempfile.mkdtemp())
    stdout, sys.stdout = sys.stdout, sys.stderr
    begun = perf_counter()
    acro = ACRO(suppress=True)
    *index, last = AXES[:cut]
    table = acro.crosstab([rows[name] for name in index], rows[last], values=rows["amount"], aggfunc="sum")
    seconds = perf_counter() - begun
    sys.stdout = stdout
    print(json.dumps({"seconds": seconds, "cells": int(table.size)}))


if __name__ == "__main__":
    main()
