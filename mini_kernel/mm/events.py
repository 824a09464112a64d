"""What happens to tables and frames inside a kernel entry, told to whoever listens: nobody, in an ordinary run."""

from typing import Protocol


class MemoryListener(Protocol):
    """A listener, at `FrameAllocator.listener`. Must not change anything. Left out of snapshots.

    Address spaces go by the pfn of their PGD, tables and frames by theirs, entries by their slot (see walk.py).
    """

    def table_broken(self, pgd: int, slot: int, old: int, new: int) -> None:
        """An address space got a copy of its own of a shared table; the entry at `slot` points at it now."""
        ...

    def table_reused(self, pgd: int, slot: int, table: int) -> None:
        """Nobody else is left who shares the table: it is taken back as it is."""
        ...

    def tables_shared(self, pgd: int, child: int, tables: int) -> None:
        """A fork made a child share this many tables with its parent."""
        ...

    def frame_copied(self, pgd: int, address: int, source: int, new: int) -> None:
        """The page at `address` was copied to a frame of its own."""
        ...

    def user_access(self, pgd: int, address: int, physical: int, n: int, write: bool) -> None:
        """The kernel is about to read or store `n` bytes of user memory, within a page. Told if asked (uaccess.py)."""
        ...
