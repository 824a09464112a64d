"""The event log: everything that was seen to happen, in the order of time."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from typing import Final, TypeVar

from emu.debug.events import Event, Time

MAX_EVENTS: Final = 500_000

E = TypeVar("E", bound=Event)


class EventLog:
    """Grows at its end; `cut` makes a moment its end again. The oldest events are dropped from MAX_EVENTS on."""

    def __init__(self) -> None:
        self._events: list[Event] = []
        self.dropped = 0

    def extend(self, events: Sequence[Event]) -> None:
        """The events of one kernel entry."""
        self._events += events
        if len(self._events) > MAX_EVENTS:
            half = MAX_EVENTS // 2
            self.dropped += half
            del self._events[:half]

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
