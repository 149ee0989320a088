"""Stack traces: the title and the frames of an error, in the forms common languages print them.

A frame is reduced to its function and the base name of its file: line numbers and addresses
change from build to build, the way through the code does not.
"""

import re
from typing import Final, NamedTuple

from enrich.fingerprint.masking import mask_atoms

_LONGEST_HEAD: Final = 16_384
_LONGEST_TAIL: Final = 4_096
_MOST_FRAMES: Final = 50
_LONGEST_FRAME: Final = 300

_FRAMES = tuple(
    re.compile(pattern)
    for pattern in (
        # Python:        File "/app/shop/cart.py", line 12, in add
        r'File "(?P<file>[^"]{1,250})", line \d+(?:, in (?P<function>\S{1,120}))?',
        # Java, Kotlin, .NET, JavaScript:   at shop.Cart.add(Cart.java:12)
        (
            r"at (?:async |new )?(?P<function>[^\s()]{1,200}(?: \[as \S{1,60}\])?) ?"
            r"\((?P<file>[^()]{0,250})\)(?: in \S.{0,250})?(?: ~?\[.{0,100}\])?"
        ),
        r"at (?P<file>\S{1,250}:\d+:\d+)",
        # PHP:   #0 /app/Cart.php(12): Cart->add(1)
        r"#\d+ (?P<file>\S{1,250})\(\d+\): (?P<function>[^\s(]{1,200})\(.{0,250}",
        # gdb:   #3  0x00007f in add (x=1) at cart.c:12
        r"#\d+ +(?:0x[0-9a-fA-F]+ in )?(?P<function>[^\s(]{1,200}) ?\(.{0,250}",
        # Rust:   3: shop::cart::add
        r"\d+: +(?:0x[0-9a-fA-F]+ - )?(?P<function>[\w<>$]{0,100}::[\w:<>{}$#]{1,200})",
        # Ruby:   from /app/cart.rb:12:in 'add'
        r"(?:from )?(?P<file>\S{1,250}?\.rb):\d+:in [`'](?P<function>[^']{1,120})'",
        # Go:   main.add(0xc000012, 0x1)
        r"(?:created by )?(?P<function>[\w./*()]{3,250})\((?:0x[0-9a-f]++\??|[{.,} ])*+\)",
    )
)
_SKIPPED = re.compile(
    r"Traceback \(most recent call last\):|\.\.\. \d+ (?:more|common frames omitted)"
    r"|goroutine \d+ \[.{0,60}\]:|stack backtrace:|Stack trace:|\S{1,250}:\d+ \+0x[0-9a-f]+"
    r"|at \S{1,250}\.rs:\d+(?::\d+)?|#\d+ \{main\}|[~^ ]+|\[Previous line repeated .{0,40}"
    r"|During handling of the above exception, another exception occurred:"
    r"|The above exception was the direct cause of the following exception:"
)
_TITLE = re.compile(
    r"(?:Caused by: |Suppressed: |Exception in thread |panic: |Uncaught |Unhandled )"
    r"|[\w.$\\]{0,150}(?:Error|Exception|Warning|Exit|Interrupt|Failure|Fault)\b"
)


class Trace(NamedTuple):
    """What was raised, and the way there; frames are masked already, the title is not."""

    title: str
    frames: tuple[str, ...]


def split_trace(message: str) -> Trace | None:
    """The message as a trace, or None when no line of it is a frame. Linear, length-bounded."""
    if len(message) > _LONGEST_HEAD + _LONGEST_TAIL:
        head = message[:_LONGEST_HEAD].rpartition("\n")[0]
        tail = message[-_LONGEST_TAIL:].partition("\n")[2]
        message = f"{head}\n{tail}"
    titles: list[str] = []
    frames: list[str] = []
    code_follows = False
    for raw in message.splitlines():
        line = raw.strip()
        if not line or _SKIPPED.fullmatch(line):
            continue
        frame = _frame(line) if len(line) <= 2 * _LONGEST_FRAME else None
        if frame is not None:
            if not frames or frames[-1] != frame:
                frames.append(frame)
            code_follows = line.startswith("File ")
        elif code_follows and raw[:1].isspace():
            code_follows = False
        elif not frames or not raw[:1].isspace() or _TITLE.match(line):
            titles.append(line)
    if not frames:
        return None
    return Trace("\n".join(titles), tuple(frames[:_MOST_FRAMES]))


def _frame(line: str) -> str | None:
    for pattern in _FRAMES:
        match = pattern.fullmatch(line)
        if match is None:
            continue
        parts = match.groupdict()
        file = re.split(r"[/\\]", parts.get("file") or "")[-1].partition(":")[0]
        function = mask_atoms(parts.get("function") or "")
        return " ".join(part for part in ("at", function, mask_atoms(file)) if part)
    return None
