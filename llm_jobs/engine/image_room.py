"""Room for the images of requests in flight: each is held as base64 from its sending until its answer.

Invariant: they come to at most `MOST_IMAGE_BYTES` in one session, but for one request that is larger alone.
"""

from __future__ import annotations

from llm_jobs.providers.base import Request
from llm_jobs.providers.image_parts import sent_bytes

MOST_IMAGE_BYTES = 256_000_000  # fifty photos of 4 MB


class ImageRoom:
    """Counts bytes of base64. Belongs to one event loop."""

    def __init__(self) -> None:
        self._held = 0

    def fits(self, request: Request) -> bool:
        """May `request` be sent beside what is in flight?"""
        return not request.images or not self._held or self._held + sent_bytes(request.images) <= MOST_IMAGE_BYTES

    def take(self, request: Request) -> None:
        if request.images:
            self._held += sent_bytes(request.images)

    def free(self, request: Request) -> bool:
        """Give back what was taken. Is there more room now?"""
        if request.images:
            self._held -= sent_bytes(request.images)
        return bool(request.images)
