"""What can go wrong in the machine itself, as opposed to in the guest.

MachineError            the machine cannot start or go on; the message says why in one line
  EngineError           a call into the engine returned an error code
  ClosedError           a machine was used after close()
"""


class MachineError(Exception):
    """The machine cannot start, or the engine did something its calibration rules out."""


class EngineError(MachineError):
    """The engine refused a call. `code` is its uc_err."""

    def __init__(self, what: str, code: int, text: str) -> None:
        super().__init__(f"{what}: {text} (uc_err {code})")
        self.code = code


class ClosedError(MachineError):
    """A machine was used after close()."""

    def __init__(self) -> None:
        super().__init__("the machine is closed")
