"""This project below Dagster on a document that is there already.

python -m benchmarks.clients.run_document URL DOCUMENT FOLDER
"""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks.clients.ours import answered_rows

if __name__ == "__main__":
    failed = answered_rows(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])).failed
    sys.exit(0 if not failed else f"{failed} rows failed")
