"""Shows that check.py passes a sound catalogue and turns red for each kind of mistake."""
import os
import subprocess
import sys
import tempfile
import unittest

import sentences

CHECK = os.path.join(os.path.dirname(os.path.abspath(__file__)), "check.py")

# A text with a page border in the middle of a sentence, a list, a table of contents, a lower-case keyword.
TEXT = """
RFC 9999                     Test Protocol                  January 2000

Table of Contents

   1. Introduction which may mislead ...............................    1

1.  Introduction

   A server MUST answer, e.g. with a
   greeting.  It greets first.  A client should

Nobody                      Standards Track                     [Page 1]
\f
RFC 9999                     Test Protocol                  January 2000


   wait for it.

2.1.  Lists

   o  One MAY end here
   o  or it is
      not REQUIRED.
"""
GREETS, WAITS, ITEM, OTHER_ITEM, IMPLIED = ("A server MUST answer, e.g. with a greeting.", "A client should wait for it.",
                                            "o One MAY end here", "o or it is not REQUIRED.", "It greets first.")


def entry(identity, text, **changes):
    values = {"says": "It does what it should", "level": "MUST", "binds": "server", "effect": "loss"}
    values.update(changes)
    values["sha256"] = sentences.digest_of(text)
    return f"  {identity}:\n" + "".join(f"    {k.replace('_', '-')}: {v}\n" for k, v in values.items() if v is not None)


HEAD = "rfc: 9999\ntitle: Test Protocol\ntier: 1\n\nrequirements:\n"
GOOD = [entry("RFC9999-1-greets", GREETS), entry("RFC9999-1-waits", WAITS, keyword="lower-case", binds="[client, server]"),
        entry("RFC9999-1-first", IMPLIED, level="IMPLIED"), entry("RFC9999-1-first-too", IMPLIED, same_as="RFC9999-1-first")]
EXCUSED = {ITEM: "2.1 descriptive", OTHER_ITEM: "2.1 restates RFC9999-1-greets"}
CASE = "case: a/b\nreq:    RFC9999-1-greets MUST   # why\n== verdict\nreq: none\n"


class Check(unittest.TestCase):
    def check(self, entries=None, excused=None, case=CASE, head=HEAD, texts=True, more=()):
        """Exit status and output of check.py on a catalogue of one file."""
        with tempfile.TemporaryDirectory() as scratch:
            os.makedirs(f"{scratch}/requirements")
            os.makedirs(f"{scratch}/cases/a")
            with open(f"{scratch}/requirements/rfc9999.yaml", "w", encoding="utf-8") as f:
                f.write(head + "".join(GOOD if entries is None else entries) + "\nexcused:\n")
                for text, why in (EXCUSED if excused is None else excused).items():
                    f.write(f"  {text if len(text) == 64 else sentences.digest_of(text)}: {why}\n")
            with open(f"{scratch}/cases/a/b.case", "w", encoding="utf-8") as f:
                f.write(case)
            with open(f"{scratch}/rfc9999.txt", "w", encoding="utf-8") as f:
                f.write(TEXT)
            done = subprocess.run([sys.executable, "-B", CHECK, "--scenarios", scratch, *(["--texts", scratch] if texts else []), *more],
                                  capture_output=True, text=True, check=False)
            return done.returncode, done.stdout + done.stderr

    def red(self, wanted, **kwargs):
        status, output = self.check(**kwargs)
        self.assertEqual(status, 1, output)
        self.assertIn(wanted, output)

    def test_sentences_are_whole_over_a_page_border_and_end_with_their_list_item(self):
        texts = [(s.section, s.text) for s in sentences.sentences(TEXT) if s.section != "front"]
        self.assertEqual(texts, [("1", GREETS), ("1", IMPLIED), ("1", WAITS), ("2.1", ITEM), ("2.1", OTHER_ITEM)])

    def test_a_sound_and_complete_catalogue_passes(self):
        status, output = self.check()
        self.assertEqual(status, 0, output)
        self.assertIn("4 requirements, 4 testable, 2 gaps", output)

    def test_gaps_are_named(self):
        _, output = self.check(more=["--gaps"])
        self.assertIn("RFC9999-1-waits", output)
        self.assertNotIn("RFC9999-1-greets", output)
        self.assertNotIn("RFC9999-1-first-too", output)

    def test_a_sentence_neither_registered_nor_excused_is_red(self):
        self.red(f"neither registered nor excused, section 1, {sentences.digest_of(WAITS)}", entries=[GOOD[0], *GOOD[2:]])
        self.red(f"neither registered nor excused, section 2.1, {sentences.digest_of(ITEM)}", excused={OTHER_ITEM: EXCUSED[OTHER_ITEM]})

    def test_without_texts_only_consistency_is_checked(self):
        status, output = self.check(entries=[GOOD[0]], excused={}, texts=False)
        self.assertEqual(status, 0, output)

    def test_a_digest_of_no_sentence_is_red(self):
        self.red("has no sentence with this sha256", entries=[*GOOD, entry("RFC9999-1-more", "A text that is not there.")])
        self.red("has no sentence with a keyword and this sha256", excused={**EXCUSED, IMPLIED + " ": "1 descriptive"}, entries=GOOD[:2])

    def test_a_wrong_section_is_red(self):
        self.red("the sentence stands in section 1", entries=[entry("RFC9999-2.1-greets", GREETS), *GOOD[1:]],
                 excused={ITEM: EXCUSED[ITEM], OTHER_ITEM: "2.1 definition"}, case="")
        self.red("the sentence stands in section 2.1", excused={**EXCUSED, ITEM: "1 descriptive"})

    def test_a_duplicate_id_is_red(self):
        self.red("RFC9999-1-greets is here a second time", entries=[*GOOD, GOOD[0]], texts=False)

    def test_a_case_that_names_no_requirement_is_red(self):
        self.red('no requirement is called "RFC9999-1-greet"', case="req: RFC9999-1-greet MUST\n", texts=False)
        self.red("RFC9999-1-greets is MUST, not SHOULD", case="req: RFC9999-1-greets SHOULD\n", texts=False)
        self.red('"req:" wants one id and its level', case="req: RFC9999-1-greets, RFC9999-1-waits\n", texts=False)

    def test_a_malformed_entry_is_red(self):
        for wanted, changes in (('"says" is missing', {"says": None}), ('"HAVE TO" is no level', {"level": "HAVE TO"}),
                                ('"boredom" is no effect', {"effect": "boredom"}), ('"moon" can be bound', {"binds": "[server, moon]"}),
                                ('key "colour" is unknown', {"colour": "red"}), ("no other requirement", {"same_as": "RFC9999-1-x"}),
                                ("no other requirement", {"same_as": "RFC9999-1-new"}), ("can only be lower-case", {"keyword": "x"}),
                                ("itself the same as another", {"same_as": "RFC9999-1-first-too"}),
                                ("no proper quoted text", {"says": '"open'})):
            self.red(wanted, entries=[*GOOD, entry("RFC9999-1-new", GREETS, **changes)], texts=False)
        for identity in ("RFC9999-1-New", "RFC9999-new", "rfc9999-1-new", "RFC9999-1-", "RFC9999-1-a--b"):
            self.red("an id is RFC, number, section", entries=[*GOOD, entry(identity, GREETS)], texts=False)
        self.red("stands in the file of RFC 9999", entries=[*GOOD, entry("RFC9998-1-new", GREETS)], texts=False)
        self.red("not in the layout", entries=[*GOOD, "   RFC9999-1-new: {level: MUST}\n"], texts=False)
        self.red("title or tier is missing", head="rfc: 9999\n\nrequirements:\n", texts=False)
        self.red("the file's name and its rfc, 9998, disagree", head=HEAD.replace("9999", "9998"), texts=False)

    def test_a_false_excuse_is_red(self):
        self.red('"lazy" is no excuse', excused={**EXCUSED, ITEM: "2.1 lazy"}, texts=False)
        self.red("restates no requirement", excused={**EXCUSED, ITEM: "2.1 restates RFC9999-1-nothing"}, texts=False)
        self.red("registered and excused", excused={**EXCUSED, GREETS: "1 descriptive"}, texts=False)
        self.red("say what made it obsolete", excused={**EXCUSED, ITEM: "2.1 obsolete"}, texts=False)
        self.red("64 lower-case hexadecimal digits", excused={**EXCUSED, "z" * 64: "1 descriptive"}, texts=False)

    def test_only_capitals_count_where_the_text_says_so(self):
        head = HEAD.replace("tier: 1\n", "tier: 1\nkeywords: upper-case\n")
        status, output = self.check(head=head, entries=[GOOD[0], *GOOD[2:]])
        self.assertEqual(status, 0, output)

    def test_only_the_sections_named_count(self):
        head = HEAD.replace("tier: 1\n", 'tier: 1\nsections: ["2"]\n')
        status, output = self.check(head=head, entries=[GOOD[0]])
        self.assertEqual(status, 0, output)

    def test_the_record_counts_and_a_stale_one_is_red(self):
        with tempfile.TemporaryDirectory() as scratch:
            record = ["--record", f"{scratch}/r.md"]
            status, output = self.check(more=record)
            self.assertEqual(status, 0, output)
            with open(f"{scratch}/r.md", encoding="utf-8") as f:
                self.assertIn("| Test Protocol | 4 | 2 | 2 | 0 | 1 | 4 |", f.read())
            status, output = self.check(more=record, texts=False)
            self.assertEqual(status, 0, output)
            self.red("r.md: older than", more=record, texts=False, entries=GOOD[:3])
            self.red("r.md: older than", more=record, texts=False, excused={ITEM: EXCUSED[ITEM]})
            with open(f"{scratch}/r.md", "a", encoding="utf-8") as f:
                f.write("| [9998](x) | gone | 1 | 1 | 0 | 0 | 0 | 1 |\n")
            self.red("holds RFC 9998, which has no file", more=record, texts=False)


if __name__ == "__main__":
    unittest.main()
