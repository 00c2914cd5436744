#!/usr/bin/env python3
"""publish.py BENCH.json... TO.md: a run of `make bench`, in one go or in parts, as
a page for reports/published, with every figure, its conditions and a plot of
how cost grows with sessions.  A figure that several parts have is the last
one's.  Comments are written by hand in TO.notes.md, which is put in front.
"""

import json
import os
import re
import subprocess
import sys

from bench import number

PLOT = """set terminal svg size 720,320 font 'sans,11' background '#ffffff'
set output '{svg}'
set logscale x
set xlabel 'sessions at a time'
set ylabel 'CPU of the relay, us a message'
set yrange [0:*]
set grid ytics lc rgb '#dddddd'
set border 3
set tics nomirror
set key off
plot '-' using 1:2:3:4 with yerrorlines lw 2 pt 7 lc rgb '#1f6f8b'
{rows}
e
"""


def spread(runs):
    return f"{number(min(runs))} to {number(max(runs))}"


def row(f):
    peer = f"{f['peer']}: {number(f['peer_value'])} ({spread(f['peer_runs'])})" if "peer" in f else ""
    aim = f"{f['target']}: {'reached' if f['reached'] else '**not reached**'}" if "target" in f else ""
    ratio = number(f["ratio"]) if "ratio" in f else ""
    return f"| {f['name']} | {number(f['value'])} {f['unit']} | {spread(f['runs'])} | {peer} | {ratio} | {aim} |"


def growth(figures, svg):
    rows = []
    for f in figures:
        found = re.fullmatch(r"CPU with (\d+) sessions", f["name"])
        if found:
            rows.append(f"{found[1]} {f['value']} {min(f['runs'])} {max(f['runs'])}")
    if not rows:
        return False
    subprocess.run(["gnuplot"], input=PLOT.format(svg=svg, rows="\n".join(rows)), text=True, check=True)
    return True


def conditions(result):
    m = result["machine"]
    return [
        f"{m['cpu']}, {m['cores']} cores, {m['memory_mib']} MiB; Linux {m['kernel']}; {m['file_system']}; "
        f"{m['postrider']} at {m['commit']}; Postfix {m['postfix'] or 'absent'}; Dovecot {m['dovecot'] or 'absent'}.",
        f"Began {result['began']}, took {max(1, round(result['took_s'] / 60))} minutes; {result['rounds']} rounds, sides in turns; "
        "medians, with the lowest and highest run.", ""]


def main():
    if len(sys.argv) < 3:
        print(__doc__, file=sys.stderr)
        return 2
    results = []
    for source in sys.argv[1:-1]:
        with open(source) as file:
            results.append(json.load(file))
    to = sys.argv[-1]
    figures = {f["name"]: f for result in results for f in result["figures"]}.values()
    lines = []
    notes = to.removesuffix(".md") + ".notes.md"
    if os.path.exists(notes):
        with open(notes) as file:
            lines.append(file.read().rstrip() + "\n")
    lines += ["## Conditions", "", *[line for result in results for line in conditions(result)]]
    lines += ["## Figures", "", "| what | median | range | peer, in the same run | ratio | aim |", "|---|--:|--:|---|--:|---|",
              *[row(f) for f in figures], ""]
    svg = to.removesuffix(".md") + "-growth.svg"
    if growth(figures, svg):
        lines += [f"![CPU per message by sessions]({os.path.basename(svg)})", ""]
    lines += ["## How each was measured", ""]
    lines += [f"- {f['name']}: {f['conditions']}." for f in figures if f["conditions"]]
    lines += [f"- Skipped: {s['name']}: {s['why']}." for result in results for s in result["skipped"]]
    lines += [f"- Failed: {s['name']}: {s['why']}." for result in results for s in result["failed"]]
    with open(to, "w") as file:
        file.write("\n".join(lines) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
