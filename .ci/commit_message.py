"""This module refuses a commit whose subject is not one imperative line `area: do this` of at most 72 characters.

python3 .ci/commit_message.py .git/COMMIT_EDITMSG
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

LONGEST_SUBJECT = 72
SUBJECT = re.compile(r"(?P<area>[a-z][\w./, -]*): (?P<verb>[A-Za-z]+)\b.*")
WRITTEN_BY_GIT = ("Merge ", "Revert ", "fixup! ", "squash! ")
# Imperatives that look like another form.
IMPERATIVES = {"access", "address", "bring", "bypass", "compress", "embed", "feed", "focus", "need", "pass", "process",
               "ring", "seed", "shed", "speed", "string", "suppress"}  # fmt: skip


def faults(message: str) -> list[str]:
    """Return what is wrong with a commit message, one sentence each. Lines that Git strips do not count."""
    lines = [line.rstrip() for line in message.split("# ------------------------ >8")[0].splitlines()]
    lines = [line for line in lines if not line.startswith("#")]
    while lines and not lines[0]:
        del lines[0]
    subject = lines[0] if lines else ""
    if subject.startswith(WRITTEN_BY_GIT):
        return []
    found = []
    if len(subject) > LONGEST_SUBJECT:
        found.append(f"The subject has {len(subject)} characters; write at most {LONGEST_SUBJECT}.")
    if subject.endswith("."):
        found.append("The subject ends with a full stop; remove it.")
    if len(lines) > 1 and lines[1]:
        found.append("The second line is not empty; put an empty line between subject and body.")
    match = SUBJECT.fullmatch(subject)
    if match is None:
        found.append("The subject is not `area: do this`, for example `bus: close a subscription once`.")
    elif match["verb"].lower() not in IMPERATIVES and re.search(r"(ed|ing|[^s]s)$", match["verb"]):
        found.append(f"'{match['verb']}' is not an imperative; say what the commit does: 'add', not 'added' or 'adds'.")
    return found


def main(path: Path) -> int:
    """Check the message in a file, as Git calls the hook; return the exit code."""
    found = faults(path.read_text(encoding="utf-8"))
    sys.stderr.writelines(f"commit message: {fault}\n" for fault in found)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
