#!/bin/sh
# includes.sh: who may include whom.
#
# One line per folder: its path, then the prefixes its quoted includes may
# have.  The longest matching folder decides.  A source file whose folder no
# line covers is an error, so a new folder cannot slip by.
set -eu

RULES='
base                        base/
reference-server            base/ reference-server/
reference-server/core       base/span.h base/buf.h base/err.h reference-server/core/
reference-server/policy     base/span.h base/buf.h base/err.h reference-server/core/ reference-server/policy/
reference-server/store      base/ reference-server/core/ reference-server/policy/ reference-server/store/
reference-server/drive      base/ reference-server/core/ reference-server/policy/ reference-server/store/ reference-server/drive/ reference-server/config.h
harness                     base/ harness/
harness/wire                base/span.h base/buf.h base/err.h harness/wire/
harness/scenario            base/ harness/wire/ harness/scenario/
harness/world               base/ harness/wire/ harness/scenario/ harness/world/
harness/peer                base/ harness/wire/ harness/scenario/ harness/world/ harness/peer/
harness/load                base/ harness/wire/ harness/scenario/ harness/world/ harness/load/
harness/fault               base/ harness/wire/ harness/scenario/ harness/world/ harness/fault/
harness/judge               base/ harness/wire/ harness/scenario/ harness/world/ harness/peer/ harness/load/ harness/fault/ harness/judge/
harness/conform             base/ harness/wire/ harness/scenario/ harness/world/ harness/peer/ harness/load/ harness/fault/ harness/judge/ harness/conform/
harness/cli                 base/ harness/ reports/
reports                     base/ reports/
tests/unit/base             base/ tests/
tests/unit/server           base/ reference-server/ tests/
tests/unit/harness          base/ harness/ reports/ tests/
tests/fuzz/base             base/ tests/
tests/fuzz/server           base/ reference-server/ tests/
tests/fuzz/harness          base/ harness/ reports/ tests/
tests/differential          base/ reference-server/ harness/ tests/
tests/bench                 base/ reference-server/ harness/ tests/
tests                       base/ tests/
'
# Folders without input, output, clock or memory of their own: their system headers are limited too.
PURE=' reference-server/core reference-server/policy harness/wire '
PURE_SYSTEM=' assert.h inttypes.h limits.h stdbool.h stddef.h stdint.h string.h '

# shellcheck disable=SC2016 # the awk program is meant literally
find . \( -path ./build -o -path ./.git -o -name node_modules \) -prune -o -name '*.[ch]' -print | sed 's,^\./,,' | sort |
	xargs awk -v rules="$RULES" -v pure="$PURE" -v pure_system="$PURE_SYSTEM" '
BEGIN {
	count = split(rules, line, "\n")
	for (i = 1; i <= count; i++)
		if (split(line[i], word, " ") > 1)
			allowed[word[1]] = line[i]
}
function complain(what) { print FILENAME ":" FNR ": " what; bad = 1 }
FNR == 1 {
	folder = FILENAME
	do sub("/[^/]*$", "", folder); while (!(folder in allowed) && index(folder, "/"))
	own_header = FILENAME
	sub(/\.c$/, ".h", own_header)
	must_lead = FILENAME ~ /\.c$/ && FILENAME !~ /(^tests\/|\/main\.c$)/
	if (!(folder in allowed)) complain("no rule in tests/lint/includes.sh covers this folder")
}
/^[ \t]*#[ \t]*include/ && must_lead {
	# Its own header, where there is one; parts of a larger module lead with one of its folder.
	must_lead = 0
	split($0, quoted, "\"")
	if (quoted[2] != own_header) {
		lone = (getline line_read <own_header) < 0
		close(own_header)
		if (!lone || index(quoted[2], folder "/") != 1) complain("the first include must be \"" own_header "\"")
	}
}
/^[ \t]*#[ \t]*include[ \t]*"/ {
	split($0, quoted, "\"")
	count = split(allowed[folder], word, " ")
	for (i = 2; i <= count && index(quoted[2], word[i]) != 1; i++) continue
	if (i > count) complain(folder " may not include " quoted[2])
}
/^[ \t]*#[ \t]*include[ \t]*</ && index(pure, " " folder " ") {
	split($0, system_name, /[<>]/)
	if (!index(pure_system, " " system_name[2] " ")) complain("a pure folder may not include <" system_name[2] ">")
}
END { exit bad }'
