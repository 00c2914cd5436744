"""The sentences of an RFC's plain text, and which of them hold a keyword.

Page headers and footers and the table of contents are dropped, white space is
folded, and what remains is cut at the ends of sentences, of paragraphs and of
list items.  Each sentence knows its section: a number ("4.5.2"), a letter for
an appendix ("A.1"), "front" before the first section, "back" for the
unnumbered end (authors, copyright).  The digest of a sentence is the SHA-256
of its folded text; it changes with these rules, so they stay as they are.
"""
import hashlib
import re

FOOTER = re.compile(r"^\S.*\[Page +\d+\]\s*$")
HEADER = re.compile(r"^RFC *-?\d+\s{2,}.*\d{4}\s*$")
HEADING = re.compile(r"^(?:Appendix +)?(\d+(?:\.\d+)*|[A-Z](?:\.\d+)*)(?:[.:]|(?<=\d))[.:]?\s+(\S.*)$")
# RFC 1123 indents the headings below its chapters.
INNER_HEADING = re.compile(r"^ {2,6}(\d+(?:\.\d+)+)\s+(\S.*)$")
CONTENTS_LINE = re.compile(r"(\. ?){3,}\s*\d*\s*$|\s{4,}\d+\s*$")
BACK = re.compile(r"^(Authors?'?s?'? Address(es)?|Full Copyright Statement|Intellectual Property.*|Editors?'?s? Address(es)?"
                  r"|Acknowledge?ments?|Index|Contributors)\s*$")
ITEM = re.compile(r"^\s+(?:[o*+]|--?|\([0-9a-zA-Z]{1,3}\)|(?:\d{1,2}|[a-zA-Z])[.)])\s+\S")
END = re.compile(r"(?<=[.!?])([\"')\]]*)\s+(?=[\"'(\[<`]*[A-Z0-9])")
ABBREVIATION = re.compile(r"(?:\b(?:e\.g|i\.e|cf|vs|etc|[Ss]ec|No|Fig|pp|p|Dr|Mr|Jr|St|[A-Z]))\.$")
KEYWORD = re.compile(r"\b(MUST|SHALL|SHOULD|RECOMMENDED|MAY|OPTIONAL|REQUIRED"
                     r"|[Mm]ust|[Ss]hall|[Ss]hould|[Rr]ecommended|may|[Oo]ptional|[Rr]equired)\b")
UPPER_KEYWORD = re.compile(r"\b(MUST|SHALL|SHOULD|RECOMMENDED|MAY|OPTIONAL|REQUIRED)\b")
FRONT, BACK_SECTION = "front", "back"


class Sentence:
    __slots__ = ("section", "text", "digest")

    def __init__(self, section, text):
        self.section = section
        self.text = text
        self.digest = digest_of(text)

    def has_keyword(self, upper_only=False):
        return (UPPER_KEYWORD if upper_only else KEYWORD).search(self.text) is not None


def digest_of(text):
    return hashlib.sha256(" ".join(text.split()).encode()).hexdigest()


def continues(last, line):
    """Whether line, the first of a page, goes on where last, the last one of the page before, stopped."""
    def indent(s):
        return len(s) - len(s.lstrip())
    if last.endswith((".", ":", ";", "!", "?")) or ITEM.match(line):
        return False
    return line.lstrip()[0].islower() or (len(last) >= 50 and indent(line) == indent(last))


def lines_of(text):
    """The lines without pages; a paragraph cut by a page border is whole again."""
    out = []
    at_border = False
    for line in text.lstrip("\ufeff").replace("\f", "\n").split("\n"):
        line = line.rstrip()
        if FOOTER.match(line) or HEADER.match(line):
            while out and out[-1] == "":
                out.pop()
            at_border = True
        elif not at_border:
            out.append(line)
        elif line:
            if not (out and continues(out[-1], line)):
                out.append("")
            out.append(line)
            at_border = False
    return out


def heading_of(line, before, inner):
    """The section that a line opens, or None."""
    if before != "" or CONTENTS_LINE.search(line):
        return None
    if BACK.match(line):
        return BACK_SECTION
    found = HEADING.match(line) or (INNER_HEADING.match(line) if inner else None)
    return found.group(1) if found else None


def cut(paragraph):
    """A paragraph's sentences."""
    text = " ".join(" ".join(paragraph).split())
    begin = 0
    for found in END.finditer(text):
        if not ABBREVIATION.search(text[begin:found.start()]):
            yield text[begin:found.end(1)]
            begin = found.end()
    if text[begin:]:
        yield text[begin:]


def sentences(text, inner_headings=False):
    """Every sentence of an RFC, in order; headings are none."""
    section, paragraph, before, out = FRONT, [], "", []

    def flush():
        out.extend(Sentence(section, s) for s in cut(paragraph))
        paragraph.clear()

    for line in lines_of(text):
        opened = heading_of(line, before, inner_headings)
        if opened is not None or line == "" or ITEM.match(line) or (section == FRONT and CONTENTS_LINE.search(line)):
            flush()
        if opened is not None:
            section = opened
        elif line and not (section == FRONT and CONTENTS_LINE.search(line)):
            paragraph.append(line)
        before = line
    flush()
    return out
