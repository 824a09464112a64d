"""Snapshots: a system as plain values, to go back to and to compare.

The kernel's objects are pickled. Handles (RAM, CPU, host streams, the kernel object itself) are named instead, so that
a snapshot fits the system it was taken from and nothing of the host is in it.
"""

import io
import pickle
from collections import deque
from dataclasses import dataclass
from random import Random
from typing import Any, Final, cast

import numpy as np
from numpy.typing import NDArray

#: What a pickle may name besides what the kernel defines.
_PLAIN: Final = {
    "builtins": {"set", "frozenset", "bytearray", "complex", "range", "slice", "object"},
    "collections": {"deque", "OrderedDict", "Counter", "defaultdict"},
    "random": {"Random"},
    "numpy": {"ndarray", "dtype"},
    "numpy._core.multiarray": {"_reconstruct", "scalar"},
    "numpy.core.multiarray": {"_reconstruct", "scalar"},
    "numpy._core.numeric": {"_frombuffer"},
    "numpy.core.numeric": {"_frombuffer"},
    "copyreg": {"_reconstructor", "__newobj__"},
}


@dataclass(eq=False)
class Image:
    """A snapshot: plain values that belong to the system they were taken from."""

    objects: bytes  # the kernel's object graph, pickled
    cpu: bytes
    slice_left: int  # blocks until the next tick
    pfns: NDArray[np.int64]  # frames in use
    contents: NDArray[np.uint64]  # (len(pfns), 512)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Image)
            and self.cpu == other.cpu
            and self.slice_left == other.slice_left
            and np.array_equal(self.pfns, other.pfns)
            and np.array_equal(self.contents, other.contents)
            and _equal(_view(self.objects), _view(other.objects))
        )

    def __hash__(self) -> int:
        return hash(self.cpu)


class _Pickler(pickle.Pickler):
    """Pickles a node where it is met as a number and its class. What is in it comes later, one node after the other."""

    def __init__(self, file: io.BytesIO, handles: dict[str, Any], kinds: tuple[type, ...]) -> None:
        super().__init__(file, protocol=5)
        self._kinds = kinds
        self._names = {id(handle): name for name, handle in handles.items()}
        self.nodes: list[Any] = []
        self._numbers: dict[int, int] = {}  # by id

    def persistent_id(self, obj: Any) -> str | tuple[int, type] | None:
        """Name a handle or number a node instead of pickling it."""
        if isinstance(obj, self._kinds):
            number = self._numbers.setdefault(id(obj), len(self.nodes))
            if number == len(self.nodes):
                self.nodes.append(obj)
            kind: type = type(obj)  # pyright: ignore[reportUnknownVariableType]  # whatever class it is of
            return number, kind
        return self._names.get(id(obj))


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: io.BytesIO, handles: dict[str, Any]) -> None:
        super().__init__(file)
        self._handles = handles
        self.nodes: list[Any] = []

    def persistent_load(self, pid: str | tuple[int, type]) -> Any:
        """The handle of that name, or the node of that number: an empty one if it is met for the first time."""
        if isinstance(pid, str):
            return self._handles[pid]
        number, kind = pid
        if number == len(self.nodes):
            self.nodes.append(object.__new__(kind))
        return self.nodes[number]


def dump(state: Any, handles: dict[str, Any], nodes: tuple[type, ...] = ()) -> bytes:
    """Pickle a graph of kernel objects.

    `nodes` are the classes whose objects are linked to more of their kind, in chains longer than pickle can follow.
    """
    buffer = io.BytesIO()
    pickler = _Pickler(buffer, handles, nodes)
    pickler.dump(state)
    for node in pickler.nodes:  # grows meanwhile
        pickler.dump(vars(node))
    return buffer.getvalue()


def load(objects: bytes, handles: dict[str, Any]) -> Any:
    """The graph again, in new objects, with these handles."""
    unpickler = _Unpickler(io.BytesIO(objects), handles)
    state = unpickler.load()
    for node in unpickler.nodes:
        node.__dict__.update(unpickler.load())
    return state


class _Strict(_Unpickler):
    """Refuses what is neither the kernel's nor a plain container."""

    def find_class(self, module_name: str, global_name: str) -> Any:
        """A class or function that the pickle names. Raises ValueError."""
        plain = module_name in _PLAIN and global_name in _PLAIN[module_name]
        if not plain and (module_name.split(".")[0] != "mini_kernel" or "." in global_name):
            raise ValueError(f"it names {module_name}.{global_name}")
        found = super().find_class(module_name, global_name)
        if not plain and not str(getattr(found, "__module__", "")).startswith("mini_kernel"):
            raise ValueError(f"it names {module_name}.{global_name}, which the kernel only uses")
        return found


def check_names(objects: bytes) -> None:
    """Raises ValueError if a pickle names anything but classes and functions of the kernel's, and plain containers."""
    _Strict(io.BytesIO(objects), _Stands()).load()


# -- comparing ---------------------------------------------------------------------------------------


class _Stand:
    """A handle's place in a graph that is only looked at."""

    def __init__(self, name: str) -> None:
        self.name = name

    def blocks(self) -> int:
        """As a CPU's."""
        return 0


class _Stands(dict[str, Any]):
    def __missing__(self, name: str) -> _Stand:
        self[name] = stand = _Stand(name)
        return stand


def _view(objects: bytes) -> Any:
    return load(objects, _Stands())


def _equal(a: Any, b: Any) -> bool:
    """True if two graphs have the same shape and the same values. Cycles are followed once."""
    seen: set[tuple[int, int]] = set()
    todo: list[tuple[Any, Any]] = [(a, b)]
    while todo:
        x, y = todo.pop()
        if x is y or (id(x), id(y)) in seen:
            continue
        if type(x) is not type(y):
            return False
        seen.add((id(x), id(y)))
        mine, others = _parts(x), _parts(y)
        if mine is None or others is None:
            if not _same_value(x, y):
                return False
        elif len(mine) != len(others):
            return False
        else:
            todo += zip(mine, others, strict=True)
    return True


def _same_value(x: Any, y: Any) -> bool:
    if isinstance(x, np.ndarray):
        return np.array_equal(cast(NDArray[Any], x), y)
    return bool(x == y)


def _parts(value: Any) -> list[Any] | None:
    """What a container or object consists of, in an order that equal ones share; None for a plain value."""
    if isinstance(value, dict):
        items = cast(dict[Any, Any], value)
        return [part for pair in items.items() for part in pair]
    if isinstance(value, list | tuple | deque):
        return list(cast(list[Any], value))
    if isinstance(value, Random):
        return [value.getstate()]
    if isinstance(value, np.ndarray | memoryview | set | frozenset | type) or value is None:
        return None
    return _attributes(value)


def _attributes(value: Any) -> list[Any] | None:
    names = list(getattr(value, "__dict__", ()))
    for kind in type(value).__mro__:
        slots = getattr(kind, "__slots__", ())
        names += [slots] if isinstance(slots, str) else list(slots)
    found: list[Any] = []
    for name in sorted(set(names)):
        if hasattr(value, name):
            part = getattr(value, name)
            if not isinstance(part, memoryview):
                found += [name, part]
    return found or None
