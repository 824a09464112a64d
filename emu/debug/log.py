"""The event log: everything that was seen to happen, in the order of time."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from typing import Final, TypeVar

from emu.debug.events import Event, Time
from emu.errors import EmuError

MAX_EVENTS: Final = 500_000


class Divergence(EmuError):
    """A replay came to something else than the first time: where, what was expected, what came. Our mistake."""

    def __init__(self, time: Time, expected: list[Event], found: list[Event], what: str = "") -> None:
        at = f"instruction {time.instructions}, kernel entry {time.entries}"
        super().__init__(f"the replay diverges at {at}: {what or f'expected {expected}, found {found}'}")
        self.time = time
        self.expected = expected
        self.found = found


E = TypeVar("E", bound=Event)


class EventLog:
    """Grows at its end; `cut` makes a moment its end again. The oldest events are dropped from MAX_EVENTS on."""

    def __init__(self) -> None:
        self._events: list[Event] = []
        self.dropped = 0

    def extend(self, events: Sequence[Event]) -> None:
        """The events of one kernel entry, which may be known already. Raises Divergence if others were."""
        if not events:
            return
        if self._events and events[0].time.entries <= self._events[-1].time.entries:
            self._compare(events)
            return
        self._events += events
        if len(self._events) > MAX_EVENTS:
            half = MAX_EVENTS // 2
            self.dropped += half
            del self._events[:half]

    def _compare(self, events: Sequence[Event]) -> None:
        first = bisect_left(self._events, events[0].time, key=lambda event: event.time)
        known = self._events[first : first + len(events)]
        if known != list(events) and not (self.dropped and events[0].time < self._events[0].time):
            raise Divergence(events[0].time, known, list(events))

    def cut(self, time: Time) -> None:
        """Forget what comes after `time`."""
        del self._events[self._index_after(time) :]

    def _index_after(self, time: Time) -> int:
        return bisect_right(self._events, time, key=lambda event: event.time)

    def at(self, time: Time) -> list[Event]:
        """The events of one moment."""
        first = bisect_left(self._events, time, key=lambda event: event.time)
        return self._events[first : self._index_after(time)]

    def before(self, time: Time) -> Iterator[Event]:
        """The events at or before a moment, the latest first."""
        for i in range(self._index_after(time) - 1, -1, -1):
            yield self._events[i]

    def of(self, kind: type[E]) -> list[E]:
        """Those of one kind."""
        return [event for event in self._events if isinstance(event, kind)]

    def __len__(self) -> int:
        return len(self._events)

    def __getitem__(self, index: slice) -> list[Event]:
        return self._events[index]
