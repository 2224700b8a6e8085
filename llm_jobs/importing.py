"""Modules imported when they are asked for, without the search for garbage.

Nothing that imports make is garbage, and looking for it again and again took 0.09 s of the 0.52 s that the imports of a
run take.
"""

from __future__ import annotations

import gc
import sys
from importlib import import_module
from types import ModuleType


def imported(name: str) -> ModuleType:
    """The module. What it made counts as old: it is looked at in full collections alone."""
    if name in sys.modules or not gc.isenabled():
        return import_module(name)
    gc.disable()
    try:
        return import_module(name)
    finally:
        gc.freeze()
        gc.unfreeze()  # into the oldest generation
        gc.enable()
