"""NASM's preprocessor: conditions, repetitions, macros and includes (NASM manual, ch. 4), statement by statement.

The text of a block is collected as it stands and expanded when its statements are read, so that %rotate and %assign
mean what they mean at that moment.
"""

import re
from abc import abstractmethod
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Final

from emu.asm import nasm_macros
from emu.asm.errors import SourceError
from emu.asm.expr import evaluate
from emu.asm.frontend import Draft, FrontEnd
from emu.asm.hints import near
from emu.asm.lexer import Statement
from emu.asm.nasm_macros import Define, Defines, Frame, Macro
from emu.asm.nasm_operands import NasmCursor
from emu.asm.nasm_text import string_bytes, tokens
from emu.asm.sources import Expansion

_DIRECTIVE: Final = re.compile(r"%([a-z]+)\b\s*(.*)$", re.I | re.S)
_CONDITION: Final = re.compile(r"(?:el)?if(n?)(def|macro|idni|idn|num|id|str|empty|)$")
_HEAD: Final = re.compile(r"((?:[A-Za-z_.?@$][\w.?@#~$]*\s*:)?\s*)([A-Za-z_?.@][\w.?@#~$]*)\s*(.*)$", re.S)
_LINE: Final = re.compile(r"\b__\??LINE\??__")
_IGNORED: Final = frozenset(("line", "pragma", "warning"))
_REFUSED: Final = frozenset(("push", "pop", "repl", "arg", "local", "stacksize", "use", "depend", "deftok"))
_FAMILIES: Final = {"macro": ("endmacro", "endm"), "imacro": ("endmacro", "endm"), "rep": ("endrep",)}


class ExitBlock(Exception):
    """%exitrep or %exitmacro; `what` is "rep" or "macro"."""

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what


class Preprocessor(FrontEnd):
    """Reads statements and gives those that are not its own to `_line`."""

    def __init__(self, draft: Draft) -> None:
        super().__init__(draft)
        self._defines = Defines()
        self._macros: dict[str, list[Macro]] = {}
        self._folded: set[str] = set()  # names of %imacro, in small letters
        self._frames: list[Frame] = []
        self._repeats = 0  # %rep blocks that are being read, each inside the next
        self._handlers: dict[str, Callable[[str, Statement, int], None]] = {
            "define": self._define, "idefine": self._define, "xdefine": self._define, "ixdefine": self._define,
            "undef": self._undef, "assign": self._assigned, "iassign": self._assigned, "strlen": self._strlen,
            "substr": self._substr, "strcat": self._strcat, "defstr": self._defstr,
            "macro": self._macro, "imacro": self._macro, "unmacro": self._unmacro,
            "rep": self._rep, "rotate": self._rotate, "include": self._include_file,
            "error": self._error, "fatal": self._error,
        }  # fmt: skip
        for name, body in (("__OUTPUT_FORMAT__", "elf64"), ("__?OUTPUT_FORMAT?__", "elf64"), ("__BITS__", "64")):
            self._defines.add(Define(name, None, body), fold=False)

    @abstractmethod
    def _line(self, statement: Statement) -> None:
        """Reads a statement of the assembler."""

    @property
    @abstractmethod
    def _scope(self) -> str:
        """The label that local labels belong to."""

    def _statement(self, statement: Statement) -> None:
        if self._frames:
            statement = self._changed(statement, self._frames[-1].put_in(statement.text))
        directive = _DIRECTIVE.match(statement.text) if statement.text.startswith("%") else None
        if directive is not None:
            column = statement.column + directive.start(2)
            self._preprocess(directive[1].lower(), directive[2], statement, column)
            return
        text = self._defines.expand(statement.text, statement.column)
        if "__" in text:
            text = _LINE.sub(str(statement.place.origin.line), text)
        if text != statement.text:
            statement = self._changed(statement, text)
        if not statement.text:
            return
        head = _HEAD.match(statement.text) if self._macros else None
        if head is not None and self._is_macro(head[2]):
            if head[1].strip():
                self._line(statement._replace(text=head[1].strip()))
            self._use(head[2], head[3], statement, statement.column + head.start(3))
        else:
            self._line(statement)

    def _changed(self, statement: Statement, text: str) -> Statement:
        """The statement with another text, shown as that in messages."""
        if text == statement.text and not self._frames:
            return statement
        frame = self._frames[-1] if self._frames else None
        shown = " " * (statement.column - 1) + text
        use = Expansion(frame.name if frame else "", shown, frame.caller if frame else None)
        return statement._replace(text=text.strip(), place=statement.place._replace(expansion=use))

    def _preprocess(self, word: str, text: str, statement: Statement, column: int) -> None:
        if word in self._handlers:
            self._handlers[word](text, statement, column)
        elif _CONDITION.match(word) and word.startswith("if"):
            self._condition(word, text, statement, column)
        elif word in ("exitrep", "exitmacro"):
            if not (self._repeats if word == "exitrep" else self._frames):
                raise SourceError(f"%{word} outside of a block", statement.column)
            raise ExitBlock(word[4:])
        elif word in ("else", "endif", "endrep", "endm", "endmacro") or _CONDITION.match(word):
            raise SourceError(f"%{word} outside of a block", statement.column)
        elif word in _REFUSED:
            raise SourceError(f"%{word} is not supported; use --assembler nasm", statement.column)
        elif word not in _IGNORED:
            known = [f"%{name}" for name in (*self._handlers, "if", "ifdef", "ifndef", "else", "elif", "endif")]
            raise SourceError(f"unknown directive %{word}", statement.column, near(f"%{word}", known))

    # Single-line macros

    def _define(self, text: str, statement: Statement, column: int) -> None:
        made = nasm_macros.define(text, column)
        word = statement.text[1:].split()[0].lower()
        if "x" in word.partition("define")[0]:
            made = made._replace(body=self._defines.expand(made.body, column))
        self._defines.add(made, fold=word.startswith("i"))

    def _undef(self, text: str, statement: Statement, column: int) -> None:
        self._defines.remove(text.strip())

    def _assigned(self, text: str, statement: Statement, column: int) -> None:
        made = nasm_macros.define(text, column)
        value = self._number(made.body, column + len(text) - len(made.body))
        fold = statement.text[1:].lower().startswith("i")
        self._defines.add(Define(made.name, None, str(value)), fold=fold)

    def _text_value(self, text: str, column: int) -> bytes:
        text = self._defines.expand(text, column).strip()
        if len(text) < 2 or text[0] not in "'\"`" or text[-1] != text[0]:
            raise SourceError("a string expected", column)
        return string_bytes(text, column)

    def _strlen(self, text: str, statement: Statement, column: int) -> None:
        name, _, value = text.partition(" ")
        self._defines.add(Define(name, None, str(len(self._text_value(value, column)))), fold=False)

    def _substr(self, text: str, statement: Statement, column: int) -> None:
        """%substr NAME 'string' FIRST, COUNT: counts from 1; a negative count is from the end."""
        match = re.compile(r"(\S+)\s+('[^']*'|\"[^\"]*\"|`[^`]*`|[A-Za-z_]\w*)\s*,?\s*(.*)$").match(text)
        if match is None:
            raise SourceError("%substr NAME 'string' FIRST, COUNT expected", column)
        data = self._text_value(match[2], column).decode("latin-1")
        numbers = [self._number(part, column) for part in match[3].split(",")]
        first, count = numbers[0] - 1, numbers[1] if len(numbers) > 1 else 1
        end = first + count if count >= 0 else len(data) + count + 1
        self._string(match[1], data[max(0, first) : max(0, end)], column)

    def _strcat(self, text: str, statement: Statement, column: int) -> None:
        name, _, values = text.partition(" ")
        parts = nasm_macros.split(self._defines.expand(values, column))
        self._string(name, b"".join(self._text_value(part, column) for part in parts).decode("latin-1"), column)

    def _defstr(self, text: str, statement: Statement, column: int) -> None:
        name, _, value = text.partition(" ")
        self._string(name, self._defines.expand(value.strip(), column), column)

    def _string(self, name: str, text: str, column: int) -> None:
        quote = next((q for q in "'\"" if q not in text), None)
        if quote is None:
            raise SourceError("a string with both kinds of quotes in a macro is not supported", column)
        self._defines.add(Define(name, None, quote + text + quote), fold=False)

    # Macros of several lines

    def _macro(self, text: str, statement: Statement, column: int) -> None:
        fold = statement.text[1:2].lower() == "i"
        body = self._parts("macro", statement)[0][1]
        made = nasm_macros.header(self._defines.expand(text, column), body, column)
        name = made.name.lower() if fold else made.name
        if fold:
            self._folded.add(name)
        others = [m for m in self._macros.get(name, []) if (m.least, m.most) != (made.least, made.most)]
        self._macros[name] = [*others, made]

    def _unmacro(self, text: str, statement: Statement, column: int) -> None:
        self._macros.pop(text.split()[0] if text.split() else "", None)

    def _is_macro(self, name: str) -> bool:
        return name in self._macros or name.lower() in self._folded

    def _use(self, name: str, text: str, statement: Statement, column: int) -> None:
        found = self._macros.get(name) or self._macros[name.lower()]
        arguments = nasm_macros.arguments(text)
        macro = next((m for m in found if m.takes(len(arguments))), None)
        if macro is None:
            takes = " or ".join(_counts(m) for m in found)
            raise SourceError(f"macro {name} does not take {len(arguments)} arguments but {takes}", statement.column)
        budget = self.draft.budget
        cost = sum(len(s.text) for s in macro.body) + len(text) * len(macro.body)
        budget.take(len(macro.body), cost, f"macro {name}", statement.column)
        budget.number += 1
        self._frames.append(Frame(macro, arguments, budget.number, statement.place))
        repeats, self._repeats = self._repeats, 0
        with suppress(ExitBlock):
            self._run(iter(macro.body))
        self._frames.pop()
        self._repeats = repeats

    def _rotate(self, text: str, statement: Statement, column: int) -> None:
        if not self._frames:
            raise SourceError("%rotate outside of a macro", statement.column)
        self._frames[-1].rotate(self._number(text, column))

    # Blocks

    def _rep(self, text: str, statement: Statement, column: int) -> None:
        count = self._number(text, column)
        body = self._parts("rep", statement)[0][1]
        if count < 0:
            raise SourceError(f"negative count {count}", column)
        self.draft.budget.take(count * len(body), count * sum(len(s.text) for s in body), "%rep", column)
        known = len(self.draft.mistakes)
        self._repeats += 1
        frames = len(self._frames)
        try:
            for _ in range(count if body else 0):
                self._run(iter(body))
                if len(self.draft.mistakes) > known:
                    break  # once is enough
        except ExitBlock as end:
            if end.what != "rep":
                raise
            del self._frames[frames:]
        finally:
            self._repeats -= 1

    def _condition(self, word: str, text: str, statement: Statement, column: int) -> None:
        for (opening, opened_by), body in self._all_parts(word, text, statement, column):
            if self._holds(opened_by, opening[0], opening[1]):
                self._run(iter(body))
                return

    def _all_parts(
        self, word: str, text: str, statement: Statement, column: int
    ) -> Iterator[tuple[tuple[tuple[str, int], str], list[Statement]]]:
        """((operand, its column), directive) and statements of each part of a condition, as far as asked for."""
        for number, (opening, body) in enumerate(self._parts("if", statement)):
            if number == 0:
                yield ((text, column), word), body
                continue
            shown = self._frames[-1].put_in(opening.text) if self._frames else opening.text
            match = _DIRECTIVE.match(shown)
            assert match is not None
            yield ((match[2], opening.column + match.start(2)), match[1].lower()), body

    def _parts(self, kind: str, opening: Statement) -> list[tuple[Statement, list[Statement]]]:
        """Takes a whole block off the statements: the part of `opening`, and one for each %else and %elif of it."""
        found: list[tuple[Statement, list[Statement]]] = [(opening, [])]
        depth = 1
        for statement in self._statements:
            match = _DIRECTIVE.match(statement.text) if statement.text.startswith("%") else None
            word = match[1].lower() if match else ""
            if _opens(word, kind):
                depth += 1
            elif word in _ends(kind):
                depth -= 1
                if not depth:
                    return found
            elif kind == "if" and depth == 1 and word.startswith("el") and (word == "else" or _CONDITION.match(word)):
                found.append((statement, []))
                continue
            found[-1][1].append(statement)
        self.draft.incomplete = True  # the rest of the file went with it
        raise SourceError(f"{opening.text.split()[0]} without %{_ends(kind)[0]}", opening.column)

    def _holds(self, word: str, text: str, column: int) -> bool:
        if word == "else":
            return True
        match = _CONDITION.match(word)
        assert match is not None
        return self._test(match[2], text, column) is (not match[1])

    def _test(self, kind: str, text: str, column: int) -> bool:
        if kind == "def":
            return any(name in self._defines for name in text.replace(",", " ").split())
        if kind == "macro":
            return bool(text.split()) and self._is_macro(text.split()[0])
        text = self._defines.expand(text, column).strip()
        if kind == "":
            return bool(self._number(text, column))
        if kind in ("idn", "idni"):
            left, comma, right = text.partition(",")
            if not comma:
                raise SourceError(f"%if{kind} compares two texts: %if{kind} A, B", column)
            if kind == "idni":
                left, right = left.lower(), right.lower()
            return left.strip() == right.strip()
        if kind == "empty":
            return not text
        found = tokens(text, column)
        wanted = {"num": "number", "id": "name", "str": "string"}[kind]
        return len(found) == 1 and found[0].kind == wanted

    def _number(self, text: str, column: int) -> int:
        """An expression that has to be a number now."""
        text = self._defines.expand(text, column)
        cursor = NasmCursor(tokens(text, column), column + len(text), self._scope)
        expr = cursor.expression()
        cursor.finish()
        return evaluate(expr, self.draft.known).number

    def _include_file(self, text: str, statement: Statement, column: int) -> None:
        name = self._text_value(text, column).decode("utf-8", "surrogateescape")
        self._include(name, statement.place, column)

    def _error(self, text: str, statement: Statement, column: int) -> None:
        raise SourceError(text.strip("\"'` ") or "%error in the source", statement.column)


def _opens(word: str, kind: str) -> bool:
    if kind == "if":
        return word.startswith("if")
    return word in (("macro", "imacro") if kind == "macro" else (kind,))


def _ends(kind: str) -> tuple[str, ...]:
    return ("endif",) if kind == "if" else _FAMILIES[kind]


def _counts(macro: Macro) -> str:
    """How many arguments a macro takes."""
    if macro.least == macro.most and not macro.greedy:
        return str(macro.least)
    return f"{macro.least} or more" if macro.most < 0 or macro.greedy else f"{macro.least} to {macro.most}"
