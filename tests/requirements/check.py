"""check.py [--texts DIR] [--record FILE] [--gaps]     is the catalogue sound, and complete?
check.py --texts DIR --show RFC [SECTION...]           the sentences of an RFC with their digests

Without texts: every entry is well formed, ids are unique, and cases name
requirements that exist.  With the directory of the RFC texts: every sentence
with a keyword is registered or excused, every digest of the catalogue is a
sentence of its text, and stands in the section that the entry names.  Exit
status 1 after a mistake.
"""
import argparse
import os
import re
import sys

import catalogue
import sentences

# Texts whose section headings below the chapters are indented.
INNER_HEADINGS = ("1123",)
ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")


def sentences_of(texts, rfc):
    with open(os.path.join(texts, f"rfc{rfc}.txt"), encoding="utf-8") as f:
        return sentences.sentences(f.read(), rfc in INNER_HEADINGS)


def in_scope(section, scope):
    return not scope or any(section == s or section.startswith(s + ".") for s in scope)


def check_text(f, texts, mistakes):
    """Holds one file against its text; returns the row of the record."""
    found = {}
    wanted = {}
    for s in sentences_of(texts, f.rfc):
        found.setdefault(s.digest, set()).add(s.section)
        if s.has_keyword(f.upper_only) and in_scope(s.section, f.top.get("sections")):
            wanted.setdefault(s.digest, s)
    registered = {r.get("sha256") for r in f.requirements}
    for r in f.requirements:
        sections = found.get(r.get("sha256"))
        if sections is None:
            mistakes.append(f"{r.path}:{r.line}: {r.id}: RFC {f.rfc} has no sentence with this sha256")
        elif r.section not in sections:
            mistakes.append(f"{r.path}:{r.line}: {r.id}: the sentence stands in section {', '.join(sorted(sections))}")
    for digest, (line, section, _, _) in f.excused.items():
        if digest not in wanted:
            mistakes.append(f"{f.path}:{line}: RFC {f.rfc} has no sentence with a keyword and this sha256")
        elif section not in found[digest]:
            mistakes.append(f"{f.path}:{line}: the sentence stands in section {', '.join(sorted(found[digest]))}")
    missing = [s for d, s in wanted.items() if d not in registered and d not in f.excused]
    for s in missing:
        mistakes.append(f"{f.path}: neither registered nor excused, section {s.section}, {s.digest}\n      {s.text}")
    return {"sentences": len(wanted), "registered": len(registered & set(wanted)),
            "excused": len(set(f.excused) & set(wanted)), "missing": len(missing),
            "implied": len(registered - set(wanted))}


def record_line(f, row):
    cells = [f"[{f.rfc}](../../scenarios/requirements/rfc{f.rfc}.yaml)", f.top["title"], *row.values(), len(f.requirements)]
    return "| " + " | ".join(str(c) for c in cells) + " |"


RECORD_HEAD = """# Requirements: the catalogue held against the RFC texts

Written by `RFC_TEXTS=DIR make check-requirements`; how it is made says [docs/requirements.md](../../docs/requirements.md).

*Sentences*: those with a keyword (must, shall, should, may, required, recommended, optional), in capitals or not; only in capitals
where the text says so (RFC 8174). The same sentence twice in a text counts once. *Registered*: at least one requirement has its
digest. *Excused*: it demands nothing of its own, with the reason in the file. *Missing*: neither. *Implied*: sentences without a
keyword that were registered too. *Requirements*: entries; a sentence may hold several.
"""


def record_table(files, rows, tier):
    lines = [f"\n## Tier {tier}\n", "| RFC | title | sentences | registered | excused | missing | implied | requirements |",
             "|---|---|--:|--:|--:|--:|--:|--:|"]
    mine = sorted((f for f in files if f.top["tier"] == tier), key=lambda f: int(f.rfc))
    lines += [record_line(f, rows[f.rfc]) for f in mine]
    total = [sum(column) for column in zip(*(rows[f.rfc].values() for f in mine))] + [sum(len(f.requirements) for f in mine)]
    lines.append("| all | | " + " | ".join(str(n) for n in total) + " |")
    return "\n".join(lines) + "\n"


def record_levels(files):
    lines = ["\n## By level and by who is bound\n", "| binds | " + " | ".join(catalogue.LEVELS) + " |",
             "|---|" + "--:|" * len(catalogue.LEVELS)]
    for bound in catalogue.BOUND:
        counts = [sum(r.get("level") == level and bound in listed(r.get("binds")) for f in files for r in f.requirements)
                  for level in catalogue.LEVELS]
        if any(counts):
            lines.append(f"| {bound} | " + " | ".join(str(n) for n in counts) + " |")
    return "\n".join(lines) + "\n\nA requirement that binds two parties counts for both.\n"


def check_record(path, files, mistakes):
    """A record of another catalogue than this one is stale: the counts that need no text must agree."""
    with open(path, encoding="utf-8") as f:
        rows = {m.group(1): m.group(2).split(" | ") for m in re.finditer(r"^\| \[(\d+)\]\(.*?\) \| (.+) \|$", f.read(), re.M)}
    for f in files:
        row = rows.get(f.rfc, [])
        if [row[3], row[6]] != [str(len(f.excused)), str(len(f.requirements))] if len(row) == 7 else True:
            mistakes.append(f"{path}: older than {f.path}; RFC_TEXTS=DIR make check-requirements writes it anew")
    for rfc in rows.keys() - {f.rfc for f in files}:
        mistakes.append(f"{path}: holds RFC {rfc}, which has no file; RFC_TEXTS=DIR make check-requirements writes it anew")


def listed(value):
    return value if isinstance(value, list) else [value]


def show(texts, rfc, sections, files):
    """The sentences of some sections: digest, what the catalogue says of it, text."""
    known = {}
    for f in files:
        if f.rfc == rfc:
            known.update({d: kind for d, (_, _, kind, _) in f.excused.items()})
            known.update({r.get("sha256"): r.id for r in f.requirements})
    for s in sentences_of(texts, rfc):
        if in_scope(s.section, sections):
            print(f"{s.digest}  {s.section}  {known.get(s.digest, 'MISSING' if s.has_keyword() else '-')}\n    {s.text}")


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--texts", metavar="DIR", help="the directory with rfcNNNN.txt")
    p.add_argument("--record", metavar="FILE", help="the record of a check against the texts: written with --texts, else compared")
    p.add_argument("--show", nargs="+", metavar=("RFC", "SECTION"))
    p.add_argument("--gaps", action="store_true", help="name the testable requirements without a case")
    p.add_argument("--scenarios", default=os.path.relpath(os.path.join(ROOT, "scenarios")), metavar="DIR")
    o = p.parse_args()
    mistakes = []
    files = catalogue.read_all(os.path.join(o.scenarios, "requirements"), mistakes)
    if o.show:
        if not o.texts:
            p.error("--show wants --texts")
        show(o.texts, o.show[0], o.show[1:], files)
        return 0
    if not files:
        mistakes.append(f"{o.scenarios}/requirements: no catalogue here")
    ids = catalogue.check_consistency(files, mistakes)
    judged = catalogue.read_cases(os.path.join(o.scenarios, "cases"), ids, mistakes)
    rows = {f.rfc: check_text(f, o.texts, mistakes) for f in files} if o.texts and not mistakes else {}
    if o.record and not o.texts:
        check_record(o.record, files, mistakes)
    for mistake in mistakes:
        print(mistake, file=sys.stderr)
    if rows and o.record and not mistakes:
        with open(o.record, "w", encoding="utf-8") as out:
            out.write(RECORD_HEAD + "".join(record_table(files, rows, t) for t in sorted({f.top["tier"] for f in files}))
                      + record_levels(files))
    missing = catalogue.gaps(files, judged)
    if o.gaps:
        for r in missing:
            print(f"{r.id}  {r.get('level')}  {r.get('says')}")
    print(f"{len(files)} RFCs, {len(ids)} requirements, {sum(r.testable for r in ids.values())} testable, "
          f"{len(missing)} gaps (testable, no case), {len(mistakes)} mistakes"
          + ("" if o.texts else "; not held against the texts, which RFC_TEXTS=DIR does"))
    return 1 if mistakes else 0


if __name__ == "__main__":
    sys.exit(main())
