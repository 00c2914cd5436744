"""The requirement catalogue, as tests/requirements/check.py reads it.

A catalogue file is YAML in one fixed layout (docs/requirements.md), so that a
few patterns read it and every entry looks alike; harness/scenario/requirement.c
reads the same files with a real YAML parser.  A line in another layout is a
mistake.  Mistakes are collected as "file:line: text".
"""
import glob
import json
import os
import re

LEVELS = ("MUST", "MUST NOT", "SHOULD", "SHOULD NOT", "MAY", "IMPLIED")
BOUND = ("server", "client", "relay", "delivery", "gateway", "submission", "submission-client", "author", "administrator",
         "reporter", "reader", "responder", "extension")
EFFECTS = ("loss", "duplicate", "corruption", "security", "interoperability", "cosmetic")
EXCUSES = ("boilerplate", "definition", "descriptive", "example", "grammar", "informative", "obsolete", "registry", "restates")
KEYS = ("says", "level", "keyword", "binds", "effect", "untestable", "same-as", "updated-by", "sha256")
TOP_KEYS = ("rfc", "title", "tier", "updated-by", "obsoleted-by", "keywords", "sections")

ID = re.compile(r"^RFC(\d{1,5})-([0-9A-Z]+(?:\.[0-9]+)*)-([a-z0-9]+(?:-[a-z0-9]+)*)$")
DIGEST = re.compile(r"^[0-9a-f]{64}$")


class Requirement:
    def __init__(self, identity, path, line):
        self.id, self.path, self.line = identity, path, line
        found = ID.match(identity)
        self.section = found.group(2) if found else None
        self.values = {}

    def get(self, key):
        return self.values.get(key)

    @property
    def testable(self):
        return "untestable" not in self.values


class File:
    def __init__(self, path):
        self.path = path
        self.top = {}
        self.requirements = []
        self.excused = {}  # digest -> (line, section, class, rest)

    @property
    def rfc(self):
        return self.top.get("rfc")

    @property
    def upper_only(self):
        return self.top.get("keywords") == "upper-case"


def value_of(text):
    """A scalar, or a list in brackets."""
    if text.startswith('"'):
        return json.loads(text)  # the layout uses only escapes that JSON has too
    if text.startswith("["):
        return [value_of(item.strip()) for item in text[1:-1].split(",")]
    return text


def read_file(path, mistakes):
    out = File(path)
    part, entry = None, None
    with open(path, encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            line = line.rstrip("\n")
            where = f"{path}:{number}"
            if line == "" or line.startswith("#"):
                continue
            if line in ("requirements:", "excused:"):
                part = line[:-1]
                continue
            try:
                if part is None and (found := re.match(r"^([a-z-]+): (.+)$", line)):
                    if found.group(1) not in TOP_KEYS or found.group(1) in out.top:
                        mistakes.append(f'{where}: key "{found.group(1)}" is unknown or here a second time')
                    out.top[found.group(1)] = value_of(found.group(2))
                elif part == "requirements" and (found := re.match(r"^  (\S+):$", line)):
                    entry = Requirement(found.group(1), path, number)
                    out.requirements.append(entry)
                elif part == "requirements" and entry and (found := re.match(r"^    ([a-z0-9-]+): (.+)$", line)):
                    if found.group(1) not in KEYS or found.group(1) in entry.values:
                        mistakes.append(f'{where}: key "{found.group(1)}" is unknown or here a second time')
                    entry.values[found.group(1)] = value_of(found.group(2))
                elif part == "excused" and (found := re.match(r"^  (\S+): (\S+) (\S+)( .+)?$", line)):
                    if found.group(1) in out.excused:
                        mistakes.append(f"{where}: this digest is excused a second time")
                    out.excused[found.group(1)] = (number, found.group(2), found.group(3), (found.group(4) or "").strip())
                else:
                    mistakes.append(f"{where}: not in the layout of docs/requirements.md")
            except ValueError:
                mistakes.append(f"{where}: no proper quoted text")
    return out


def read_all(folder, mistakes):
    return [read_file(path, mistakes) for path in sorted(glob.glob(os.path.join(folder, "rfc*.yaml")))]


def check_entry(f, r, ids, mistakes):
    where = f"{r.path}:{r.line}: {r.id}"

    def wrong(text):
        mistakes.append(f"{where}: {text}")

    found = ID.match(r.id)
    if not found:
        wrong("an id is RFC, number, section and lower-case words, joined by hyphens")
    elif found.group(1) != f.rfc:
        wrong(f"stands in the file of RFC {f.rfc}")
    for key in ("says", "level", "binds", "effect", "sha256"):
        if key not in r.values:
            wrong(f'"{key}" is missing')
    if r.get("level") not in LEVELS + (None,):
        wrong(f'"{r.get("level")}" is no level')
    if r.get("effect") not in EFFECTS + (None,):
        wrong(f'"{r.get("effect")}" is no effect')
    if r.get("keyword") not in ("lower-case", None):
        wrong('"keyword" can only be lower-case')
    bound = r.get("binds") or []
    for one in bound if isinstance(bound, list) else [bound]:
        if one not in BOUND:
            wrong(f'"{one}" can be bound by nothing')
    if not DIGEST.match(r.get("sha256") or ""):
        wrong("sha256 is 64 lower-case hexadecimal digits")
    same = r.get("same-as")
    if same is not None and (same not in ids or same == r.id):
        wrong(f'same-as names no other requirement: "{same}"')
    elif same is not None and ids[same].get("same-as") is not None:
        wrong("same-as names one that is itself the same as another")


def check_consistency(files, mistakes):
    """Returns every requirement by id."""
    ids = {}
    for f in files:
        for r in f.requirements:
            if r.id in ids:
                mistakes.append(f"{r.path}:{r.line}: {r.id} is here a second time; first at {ids[r.id].path}:{ids[r.id].line}")
            ids.setdefault(r.id, r)
    for f in files:
        if os.path.basename(f.path) != f"rfc{f.rfc}.yaml":
            mistakes.append(f"{f.path}:1: the file's name and its rfc, {f.rfc}, disagree")
        if f.top.get("tier") not in ("1", "2", "3") or not f.top.get("title"):
            mistakes.append(f"{f.path}:1: title or tier is missing")
        for r in f.requirements:
            check_entry(f, r, ids, mistakes)
        registered = {r.get("sha256") for r in f.requirements}
        for digest, (line, _, kind, rest) in f.excused.items():
            where = f"{f.path}:{line}"
            if not DIGEST.match(digest):
                mistakes.append(f"{where}: a digest is 64 lower-case hexadecimal digits")
            if digest in registered:
                mistakes.append(f"{where}: this sentence is registered and excused")
            if kind not in EXCUSES:
                mistakes.append(f'{where}: "{kind}" is no excuse; they are {", ".join(EXCUSES)}')
            if kind == "restates" and rest not in ids:
                mistakes.append(f'{where}: restates no requirement: "{rest}"')
            if kind == "obsolete" and not rest:
                mistakes.append(f"{where}: say what made it obsolete")
    return ids


REQ = re.compile(r"^req:\s+(\S+)(?:\s+([A-Z][A-Z ]*[A-Z]))?\s*(?:#.*)?$")


def read_cases(folder, ids, mistakes):
    """Which cases judge which requirement; a case in its header: req: ID LEVEL."""
    judged = {}
    for path in sorted(glob.glob(os.path.join(folder, "**", "*.case"), recursive=True)):
        with open(path, encoding="utf-8", errors="replace") as lines:
            for number, line in enumerate(lines, 1):
                if line.startswith("=="):
                    break
                if not line.startswith("req:"):
                    continue
                found = REQ.match(line.rstrip("\n"))
                where = f"{path}:{number}"
                if not found:
                    mistakes.append(f'{where}: "req:" wants one id and its level')
                elif found.group(1) not in ids:
                    mistakes.append(f'{where}: no requirement is called "{found.group(1)}"')
                else:
                    level = ids[found.group(1)].get("level")
                    if found.group(2) not in (None, level):
                        mistakes.append(f"{where}: {found.group(1)} is {level}, not {found.group(2)}")
                    judged.setdefault(found.group(1), []).append(path)
    return judged


def is_judged(r, judged):
    """By a case of its own, or of the one it says again."""
    return r.id in judged or r.get("same-as") in judged


def gaps(files, judged):
    """Testable, and neither a case nor a reason."""
    return [r for f in files for r in f.requirements if r.testable and r.get("same-as") is None and not is_judged(r, judged)]
