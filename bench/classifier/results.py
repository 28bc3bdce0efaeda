"""Where the benches leave their figures."""

import json
import os
import platform
from datetime import UTC, datetime
from pathlib import Path

FOLDER = Path(__file__).parent / "results"
#: Said beside every figure, since a shared machine is noisy.
HARDWARE = "2 cores of an AMD EPYC, 24 GiB, no GPU"


def save(name: str, figures: object) -> None:
    """Write and print ``results/NAME.json`` with date and hardware."""
    FOLDER.mkdir(exist_ok=True)
    stamp = {
        "date": datetime.now(UTC).date().isoformat(),
        "hardware": HARDWARE,
        "python": platform.python_version(),
        "load_average": os.getloadavg()[0],
    }
    text = json.dumps({"made": stamp, "figures": figures}, indent=1) + "\n"
    (FOLDER / f"{name}.json").write_text(text)
    print(text)
