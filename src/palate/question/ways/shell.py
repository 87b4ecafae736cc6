"""Shell scripts and Makefiles: the variables that decide what they start, and the programs that they start.

They are read as text, and only in their plain forms: `LR=0.1` and `LR=${LR:-0.1}` of a script, `LR ?= 0.1` of a
Makefile, `python train.py --lr $LR "$@"`. What else a shell may do with a variable is not known, and not guessed.
"""

import re
import shlex
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

_DEFAULT = re.compile(r"\$\{([A-Za-z_]\w*):?[-=]([^{}$`]*)\}")
_USED = re.compile(r"\$(?:\{([A-Za-z_]\w*)\}|([A-Za-z_]\w*))")
_PLACED = re.compile(r"\$(?:\{([1-9])(?::?-([^{}$`]*))?\}|([1-9]))")
_ASSIGNED = re.compile(r"^([ \t]*)(?:(?:export|readonly|local|declare(?: -\w+)*) +)?([A-Za-z_]\w*)=(.*?)[ \t]*$", re.M)
_OTHERWISE = re.compile(r"\b(?:for|read(?: -\w+)*|select) +([A-Za-z_]\w*)|\b(?:\+=|unset +([A-Za-z_]\w*))")
_PLAIN = re.compile(r"""(?:"([^"$`\\]*)"|'([^']*)'|([^\s"'$`\\;&|<>()]*))""")
_REDIRECTED = re.compile(r"""(?<!\S)(?:\d|&)?(?:>>?|<(?!<))(?:&\d|[ \t]*(?:"[^"]*"|[^\s;&|()<>"']+))""")
_ALL = ("$@", "$*", "${@}", "${*}")
_OPENS = frozenset(
    {"then", "do", "else", "if", "while", "until", "elif", "!", "{", "exec", "command", "}", "fi", "done"}
)


@dataclass(frozen=True, slots=True)
class Variable:
    """A variable that decides what is started.

    Attributes:
        text: its value as written; None where nothing gives it one.
        by: how another value is handed over: by the environment, as a word of the command line, or written there.
        place: of the word on the command line, from 0.
    """

    text: str | None
    by: Literal["environment", "position", "constant", "make"]
    place: int = 0


@dataclass(frozen=True, slots=True)
class Started:
    """A program that is started.

    Attributes:
        words: as written, with variables that are known in them.
        passes: whether the script's own arguments stand in it.
    """

    words: tuple[str, ...]
    passes: bool = False


def without_comments(text: str) -> str:
    """Return a script without its comments, with lines joined that a backslash ends.

    >>> without_comments('a \\\\\\n b # c')
    'a   b '
    """
    lines = []
    for line in text.replace("\\\n", " ").split("\n"):
        quote = ""
        end = len(line)
        for place, letter in enumerate(line):
            if quote:
                quote = "" if letter == quote else quote
            elif letter in "\"'":
                quote = letter
            elif letter == "#" and (place == 0 or line[place - 1] in " \t;"):
                end = place
                break
        lines.append(line[:end])
    return "\n".join(lines)


def shell_variables(text: str) -> dict[str, Variable]:
    """Return the variables of a shell script that decide what it does, by name.

    >>> shell_variables('LR=${LR:-0.1}\\nWIDTH=64\\nEPOCHS=$1')
    {'LR': Variable(text='0.1', by='environment', place=0), 'WIDTH': Variable(text='64', by='constant', place=0), \
'EPOCHS': Variable(text=None, by='position', place=0)}
    """
    text = without_comments(text)
    found: dict[str, Variable] = {}
    assigned = Counter(match[2] for match in _ASSIGNED.finditer(text))
    other = {name for match in _OTHERWISE.finditer(text) for name in match.groups() if name}
    for match in _ASSIGNED.finditer(text):
        indent, name, value = match.groups()
        if assigned[name] == 1 and name not in other and not indent:
            one = _of_value(name, value.strip("\"'") if _DEFAULT.search(value) or "$" in value else value)
            if one is not None:
                found[name] = one
    for match in _DEFAULT.finditer(text):
        if assigned[match[1]] == 0 or match[0].find("=") == 2 + len(match[1]):
            found.setdefault(match[1], Variable(match[2], "environment"))
    for match in _USED.finditer(text):
        name = match[1] or match[2]
        if not assigned[name] and name not in other and name.isupper():
            found.setdefault(name, Variable(None, "environment"))
    return found


def _of_value(name: str, value: str) -> Variable | None:
    default = _DEFAULT.fullmatch(value)
    if default and default[1] == name:
        return Variable(default[2], "environment")
    if placed := _PLACED.fullmatch(value):
        return Variable(placed[2], "position", int(placed[1] or placed[3]) - 1)
    plain = _PLAIN.fullmatch(value)
    text = next((one for one in plain.groups() if one is not None), "") if plain else ""
    return Variable(text, "constant") if text else None


def takes_words(text: str) -> bool:
    """Return whether a script uses words of its command line at all."""
    text = without_comments(text)
    return bool(re.search(r"\$[@*1-9]|\$\{[@*1-9]", text)) or bool(re.search(r"\bgetopts\b|\bshift\b", text))


def started_by(text: str, known: Mapping[str, str]) -> Iterator[Started]:
    """Yield the programs that a shell script starts, as written.

    Args:
        text: of the script.
        known: values of variables.
    """
    for words in _commands(_REDIRECTED.sub("", without_comments(text))):
        while words and words[0] in _OPENS:
            words = words[1:]
        if words:
            passes = any(word in _ALL for word in words)
            yield Started(tuple(expanded(word, known) for word in words if word not in _ALL), passes)


def _commands(text: str) -> Iterator[list[str]]:
    try:
        tokens = _tokens(text)
    except ValueError:  # a text over several lines in quotes that are not closed where it is read
        for line in text.split("\n"):
            try:
                yield from _parted(_tokens(line))
            except ValueError:
                continue
        return
    yield from _parted(tokens)


def _tokens(text: str) -> list[str]:
    lexer = shlex.shlex(text, posix=True, punctuation_chars="();<>|&\n")
    lexer.whitespace = " \t\r"
    lexer.whitespace_split = True
    lexer.commenters = ""
    return list(lexer)


def _parted(tokens: Sequence[str]) -> Iterator[list[str]]:
    words: list[str] = []
    for token in tokens:
        if token and set(token) <= set("();|&\n"):
            if words:
                yield words
            words = []
        else:
            words.append(token)
    if words:
        yield words


def expanded(word: str, known: Mapping[str, str]) -> str:
    """Return a word with the values of variables in it that are known.

    >>> expanded("--lr=${LR:-0.1}", {}), expanded("$LR", {"LR": "3"})
    ('--lr=0.1', '3')
    """
    word = _DEFAULT.sub(lambda match: known.get(match[1], match[2]), word)
    return _USED.sub(lambda match: known.get(match[1] or match[2], match[0]), word)


def with_shell_constants(code: bytes, constants: Mapping[str, object]) -> bytes:
    """Return a shell script with other values for its constants.

    >>> with_shell_constants(b"LR=0.1\\npython train.py --lr $LR\\n", {"LR": 0.3})
    b'LR=0.3\\npython train.py --lr $LR\\n'
    """
    text = code.decode(errors="surrogateescape")
    for name, value in constants.items():
        shown = shlex.quote(repr(value) if isinstance(value, float) else str(value))
        text = re.sub(
            rf"^((?:(?:export|readonly|declare(?: -\w+)*) +)?{re.escape(name)}=){_PLAIN.pattern}",
            lambda match, shown=shown: match[1] + shown,  # type: ignore[misc]
            text,
            count=1,
            flags=re.M,
        )
    return text.encode(errors="surrogateescape")


_SET = re.compile(r"^(?:export +|override +)?([A-Za-z_][\w.-]*)[ \t]*(\?|:{1,3})?=[ \t]*(.*?)[ \t]*$")
_RULE = re.compile(r"^([^\s:=#][^:=#]*?)[ \t]*::?(?!=)[ \t]*([^=;]*?)[ \t]*(?:;(.*))?$")
_IN_MAKE = re.compile(r"\$[({]([A-Za-z_][\w.-]*)[)}]")


@dataclass(frozen=True, slots=True)
class Makefile:
    """What a Makefile says.

    Attributes:
        variables: those with a plain value, by name.
        rules: what each target needs, and its recipe, by name.
        whole: whether all of its rules are known: it includes no other, and has no patterns.
        text: as it is written.
    """

    variables: Mapping[str, Variable]
    rules: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]]
    whole: bool
    text: str

    @property
    def default(self) -> str:
        """The target that is made where none is named."""
        return next((name for name in self.rules if not name.startswith(".")), "")

    def started(self, targets: Sequence[str], values: Mapping[str, str]) -> Iterator[Started]:
        """Yield the programs that targets start, and what they need does.

        Args:
            targets: as named on the command line.
            values: of variables, as named there.
        """
        known = {name: one.text or "" for name, one in self.variables.items()} | dict(values)
        waiting, seen = [*targets] or [self.default], set[str]()
        while waiting:
            name = waiting.pop(0)
            if name in seen or name not in self.rules:
                continue
            seen.add(name)
            needs, recipe = self.rules[name]
            waiting += [self._expanded(one, known) for one in needs]
            for line in recipe:
                yield from started_by(self._expanded(line.lstrip("@-+ \t"), known).replace("$$", "$"), {})

    def _expanded(self, text: str, known: Mapping[str, str], deep: int = 0) -> str:
        if deep > len(known):
            return text
        more = _IN_MAKE.sub(lambda match: known.get(match[1], match[0]), text)
        return more if more == text else self._expanded(more, known, deep + 1)


def read_makefile(text: str) -> Makefile:
    """Read a Makefile.

    >>> read = read_makefile("LR ?= 0.1\\ntrain:\\n\\tpython train.py --lr $(LR)\\n")
    >>> list(read.started(["train"], {}))
    [Started(words=('python', 'train.py', '--lr', '0.1'), passes=False)]
    """
    variables: dict[str, Variable] = {}
    rules: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {}
    current: list[str] = []
    joined = re.sub(r"\\\n[ \t]*", " ", text)
    for line in joined.split("\n"):
        bare = without_comments(line).rstrip()
        if line.startswith("\t"):
            _add_rule(rules, current, (), (line.strip(),))
        elif found := _SET.match(bare):
            variables |= {found[1]: Variable(found[3], "make")} if "$" not in found[3] else {}
        elif found := _RULE.match(bare):
            current = found[1].split()
            _add_rule(rules, current, found[2].replace("|", " ").split(), (found[3].strip(),) if found[3] else ())
    _add_rule(rules, rules.get(".PHONY", ((), ()))[0], (), ())
    whole = not re.search(r"^-?s?include\b|\$\((eval|foreach)", joined, re.M) and not any("%" in one for one in rules)
    return Makefile({name: one for name, one in variables.items() if _settable(name)}, rules, whole, text)


def _add_rule(
    rules: dict[str, tuple[tuple[str, ...], tuple[str, ...]]],
    names: Sequence[str],
    needs: Sequence[str],
    recipe: Sequence[str],
) -> None:
    for name in names:
        before = rules.get(name, ((), ()))
        rules[name] = ((*before[0], *needs), (*before[1], *recipe))


def _settable(name: str) -> bool:
    return name not in ("SHELL", "MAKEFLAGS", ".SHELLFLAGS", "MAKE", ".DEFAULT_GOAL") and name.isidentifier()
