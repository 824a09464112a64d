"""Limits in seconds: one thread ends whatever takes longer. A thread for each run would cost more than a small run."""

import math
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager


class Watchdog:
    """Calls back when time is up, from a thread of its own that is started when it is first needed."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._limits: dict[object, tuple[float, Callable[[], object]]] = {}  # when, and what to call
        self._looks = math.inf  # when the thread looks next
        self._thread: threading.Thread | None = None

    @contextmanager
    def limit(self, seconds: float, late: Callable[[], object]) -> Generator[None]:
        """Call `late` if what is inside takes longer; behind it, `late` neither runs nor will."""
        key, end = object(), time.monotonic() + min(seconds, threading.TIMEOUT_MAX)
        with self._changed:
            self._limits[key] = end, late
            self._watch(end)
        try:
            yield
        finally:
            with self._changed:
                self._limits.pop(key, None)

    def _watch(self, end: float) -> None:
        """The thread is only woken for a limit that ends before it looks by itself."""
        if self._thread is None or not self._thread.is_alive():  # the latter behind os.fork
            self._looks = end
            self._thread = threading.Thread(target=self._run, name="cr3lab watchdog", daemon=True)
            self._thread.start()
        elif end < self._looks:
            self._looks = end
            self._changed.notify()

    def _run(self) -> None:
        with self._changed:
            while True:
                now = time.monotonic()
                for key in [key for key, (end, _late) in self._limits.items() if end <= now]:
                    self._limits.pop(key)[1]()
                self._looks = min((end for end, _late in self._limits.values()), default=math.inf)
                self._changed.wait(None if self._looks == math.inf else self._looks - now)


#: Of this process.
WATCHDOG = Watchdog()
