"""Two settings of the interpreter while calls are in the air, for the whole process, put back when a session ends.

*Garbage.* A thousand open rows are some 50,000 objects. At the usual threshold of 700 the collector walks over them
again and again and finds nothing: 40 µs of each call's 400. What is freed by counting references is freed as before.

*Turns of threads.* The thread that commits gives up the interpreter at every statement and, at the usual 5 ms, waits as
long to get it back from a busy event loop: a commit of 1 ms takes 10.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager

YOUNG_OBJECTS = 50_000  # looked at in 3 ms, once in some 1,800 calls
TURN_S = 0.001


@contextmanager
def tuned() -> Iterator[None]:
    """Collect seldom and take turns often until the block ends. Does nothing inside another such block."""
    threshold, turn_s = gc.get_threshold(), sys.getswitchinterval()
    if turn_s <= TURN_S:  # another session's doing
        yield
        return
    if 0 < threshold[0] < YOUNG_OBJECTS:  # 0: switched off
        gc.set_threshold(YOUNG_OBJECTS, *threshold[1:])
    sys.setswitchinterval(TURN_S)
    try:
        yield
    finally:
        gc.set_threshold(*threshold)
        sys.setswitchinterval(turn_s)
