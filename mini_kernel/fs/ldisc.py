"""The line discipline of terminals: from keys to lines, echo and signals (Linux drivers/tty/n_tty.c, termios(3)).

Plain data without any file or process: bytes go in at `receive`; what comes of them is in `segments` (input to read),
`echo` (output) and `signals`. Output processing (OPOST) is the business of whoever shows the output.
"""

import struct
from typing import Final

from mini_kernel.uapi.ioctls import (
    CREAD,
    CS8,
    ECHO,
    ECHOCTL,
    ECHOE,
    ECHOK,
    ECHOKE,
    ECHONL,
    ICANON,
    ICRNL,
    IEXTEN,
    IGNCR,
    INLCR,
    ISIG,
    ISTRIP,
    IUTF8,
    IXANY,
    IXON,
    NOFLSH,
    ONLCR,
    OPOST,
    TOSTOP,
    VEOF,
    VEOL,
    VEOL2,
    VERASE,
    VINTR,
    VKILL,
    VLNEXT,
    VMIN,
    VQUIT,
    VREPRINT,
    VSTART,
    VSTOP,
    VSUSP,
    VTIME,
    VWERASE,
)
from mini_kernel.uapi.signal import SIGINT, SIGQUIT, SIGTSTP

TERMIOS: Final = struct.Struct("<IIIIB19s")  # the kernel's struct termios: c_iflag c_oflag c_cflag c_lflag c_line c_cc
_B38400: Final = 0xF
#: INIT_C_CC of Linux: ^C ^\ DEL ^U ^D 0 1 0 ^Q ^S ^Z 0 ^R ^O ^W ^V 0
_CONTROL: Final = bytes((3, 28, 127, 21, 4, 0, 1, 0, 17, 19, 26, 0, 18, 15, 23, 22, 0, 0, 0))
SANE: Final = TERMIOS.pack(
    ICRNL | IXON | IUTF8, OPOST | ONLCR, _B38400 | CS8 | CREAD,
    ISIG | ICANON | ECHO | ECHOE | ECHOK | ECHOCTL | ECHOKE | IEXTEN, 0, _CONTROL,
)  # fmt: skip
MAX_LINE: Final = 4095  # bytes of a line being edited: N_TTY_BUF_SIZE - 1; more are dropped
_NL, _CR, _TAB, _DEL = 10, 13, 9, 127
_DECISECOND: Final = 100_000_000  # nanoseconds: the unit of VTIME


class LineDiscipline:
    """Settings of a terminal, what was typed and not read yet, and what is still to be shown of it."""

    def __init__(self) -> None:
        self.segments: list[bytearray] = []  # what may be read: in canonical mode a line each, empty for end of file
        self.line = bytearray()  # being edited, canonical mode only
        self.echo = bytearray()  # to be shown; whoever shows it empties it
        self.signals: list[int] = []  # to be sent to the foreground group; whoever sends them empties it
        self.stopped = False  # ^S: output waits
        self.column = 0  # of the cursor, as far as known
        self._line_column = 0  # where the line being edited began
        self._literal = False  # ^V: the next key is a character
        self.configure(SANE)

    def configure(self, termios: bytes) -> None:
        """New settings (tcsetattr(3))."""
        was_canonical = bool(self.segments or self.line) and self.canonical
        self.termios = termios
        self._input, self.output, _cflag, self._local, _discipline, self._keys = TERMIOS.unpack(termios)
        self.canonical = bool(self._local & ICANON)
        if was_canonical and not self.canonical:  # half a line can be read now; ends of file are forgotten
            self.segments = [s for s in (*self.segments, self.line) if s]
            self.line = bytearray()

    def flush(self) -> None:
        """Forget all input."""
        self.segments.clear()
        self.line.clear()
        self._literal = False

    def end(self) -> None:
        """No more input will come: half a line can be read."""
        if self.line:
            self.segments.append(self.line)
            self.line = bytearray()

    @property
    def to_stop(self) -> bool:
        """True if writing from the background is forbidden (TOSTOP)."""
        return bool(self._local & TOSTOP)

    # -- reading ------------------------------------------------------------------------------------

    def available(self) -> int:
        """Bytes that can be read: in canonical mode those of complete lines (FIONREAD)."""
        return sum(map(len, self.segments))

    def enough(self) -> bool:
        """True if poll(2) calls it readable."""
        if self.canonical:
            return bool(self.segments)
        return self.available() >= (self._keys[VMIN] or 1 if not self._keys[VTIME] else 1)

    def times(self) -> tuple[int, int]:
        """(VMIN in bytes, VTIME in nanoseconds) of the mode that is not canonical."""
        return self._keys[VMIN], self._keys[VTIME] * _DECISECOND

    def take(self, n: int) -> bytes:
        """Up to `n` bytes: of one line in canonical mode."""
        taken = bytearray()
        while self.segments and len(taken) < n:
            first = self.segments[0]
            part = first[: n - len(taken)]
            taken += part
            del first[: len(part)]
            if not first:
                del self.segments[0]
            if self.canonical:
                break
        return bytes(taken)

    # -- keys ---------------------------------------------------------------------------------------

    def receive(self, data: bytes) -> None:
        """Keys were pressed."""
        for key in data:
            self._receive(key & 0x7F if self._input & ISTRIP else key)

    def _receive(self, key: int) -> None:
        if self._literal:
            self._literal = False
            self._insert(key)
            return
        if self._flow(key) or self._signal(key):
            return
        if self.stopped and self._input & IXANY:
            self.stopped = False
        if key == _CR:
            if self._input & IGNCR:
                return
            key = _NL if self._input & ICRNL else key
        elif key == _NL and self._input & INLCR:
            key = _CR
        if not (self.canonical and self._edit(key)):
            self._insert(key)

    def _is(self, key: int, *names: int) -> bool:
        """True if the key is one of those control characters; 0 disables one."""
        return key != 0 and any(self._keys[name] == key for name in names)

    def _flow(self, key: int) -> bool:
        """^S and ^Q."""
        if not self._input & IXON or not self._is(key, VSTART, VSTOP):
            return False
        self.stopped = not self._is(key, VSTART)
        return True

    def _signal(self, key: int) -> bool:
        r"""^C, ^\ and ^Z."""
        if not self._local & ISIG or not self._is(key, VINTR, VQUIT, VSUSP):
            return False
        if not self._local & NOFLSH:
            self.flush()
            self.echo.clear()
        self.signals.append(SIGINT if self._is(key, VINTR) else SIGQUIT if self._is(key, VQUIT) else SIGTSTP)
        self.stopped = False
        self._show(key)
        return True

    def _edit(self, key: int) -> bool:
        """Keys that edit or end a line. False: it is an ordinary character."""
        extended = self._local & IEXTEN
        if self._is(key, VERASE, VKILL) or (extended and self._is(key, VWERASE)):
            self._erase(key)
        elif extended and self._is(key, VLNEXT):
            self._literal = True
            if self._local & ECHO and self._local & ECHOCTL:
                self._out(b"^\b")
        elif extended and self._local & ECHO and self._is(key, VREPRINT):
            self._show(key)
            self._out(b"\n")
            for character in self.line:
                self._show(character)
        elif key == _NL:
            if self._local & (ECHO | ECHONL):
                self._out(b"\n")
            self._complete(b"\n")
        elif self._is(key, VEOF):
            self._complete(b"")
        elif self._is(key, VEOL) or (extended and self._is(key, VEOL2)):
            self._show(key)
            self._complete(bytes((key,)))
        else:
            return False
        return True

    def _insert(self, key: int) -> None:
        if not self.canonical:
            if not self.segments:
                self.segments.append(bytearray())
            self.segments[-1].append(key)
        elif len(self.line) >= MAX_LINE:
            return
        else:
            if not self.line:
                self._line_column = self.column
            self.line.append(key)
        if key == _NL and self._local & ECHO:
            self._out(b"\n")
        else:
            self._show(key)

    def _complete(self, end: bytes) -> None:
        self.segments.append(self.line + end)
        self.line = bytearray()

    # -- echo ---------------------------------------------------------------------------------------

    def wrote(self, data: bytes) -> None:
        """A program wrote this: where the cursor is now."""
        newline = max(data.rfind(b"\n"), data.rfind(b"\r"))
        column = 0 if newline >= 0 else self.column
        for character in data[newline + 1 :]:
            column += self._width(character, column)
        self.column = column

    def _width(self, character: int, column: int) -> int:
        """Columns that a character takes when it is echoed at `column`."""
        if character == _TAB:
            return 8 - column % 8
        if character < 32 or character == _DEL:
            return 2 if self._local & ECHOCTL else 0
        return 0 if self._input & IUTF8 and character & 0xC0 == 0x80 else 1

    def _out(self, text: bytes) -> None:
        self.echo += text
        self.column = 0 if text[-1:] == b"\n" else max(0, self.column + len(text) - 2 * text.count(b"\b"))

    def _show(self, key: int) -> None:
        """Echo one character, control characters as ^X."""
        if not self._local & ECHO:
            return
        if (key < 32 or key == _DEL) and key != _TAB and self._local & ECHOCTL:
            self._out(bytes((ord("^"), key ^ 0x40)))
        else:
            self.column += self._width(key, self.column)
            self.echo.append(key)

    def _erase(self, key: int) -> None:
        """Take back a character, a word or the line."""
        if not self.line:
            return
        if self._is(key, VKILL):
            self._kill(key)
        elif self._is(key, VERASE):
            self._rub_out(self._last_character(), key)
        else:
            self._rub_out(self._last_word(), key)

    def _kill(self, key: int) -> None:
        local = self._local
        if local & ECHO and local & ECHOK and local & ECHOKE and local & ECHOE:
            self._rub_out(len(self.line), key)
            return
        self.line.clear()
        self._show(key)
        if local & ECHO and local & ECHOK:
            self._out(b"\n")

    def _last_character(self) -> int:
        """Bytes of the last character of the line."""
        count = 1
        while self._input & IUTF8 and count < len(self.line) and self.line[-count] & 0xC0 == 0x80:
            count += 1
        return count

    def _last_word(self) -> int:
        """Bytes from the last word of the line to its end: what is no letter, then letters, digits and `_`."""
        seen, count = False, 0
        for character in reversed(self.line):
            if chr(character).isalnum() or character == ord("_"):
                seen = True
            elif seen:
                break
            count += 1
        return count

    def _rub_out(self, count: int, key: int) -> None:
        """Remove `count` bytes from the line, and what they are from the screen."""
        local = self._local
        for _ in range(count):
            last = self.line.pop()
            if local & ECHO and local & ECHOE:
                self._blank(last)
        if local & ECHO and not local & ECHOE:
            self._show(key)

    def _blank(self, last: int) -> None:
        """Overwrite the character that stood behind the line."""
        if last != _TAB:
            self._out(b"\b \b" * self._width(last, 0))
            return
        column = self._line_column
        for character in self.line:
            column += self._width(character, column)
        self._out(b"\b" * max(0, self.column - column))
