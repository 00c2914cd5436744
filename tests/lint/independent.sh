#!/bin/sh
# independent.sh: the judge is no copy of the judged.  No run of six lines of
# code may stand in both harness/ and reference-server/; blanks, comments,
# includes and lines of braces do not count.
set -eu
# shellcheck disable=SC2016 # the awk program is meant literally
find reference-server harness -name '*.[ch]' | sort | xargs awk -v window=6 '
FNR == 1 { have = 0; in_comment = 0 }
{
	line = $0
	if (in_comment) {
		if (!sub(/^.*\*\//, "", line)) next
		in_comment = 0
	}
	gsub(/\/\*([^*]|\*[^\/])*\*\//, "", line)
	sub(/\/\/.*/, "", line)
	if (sub(/\/\*.*/, "", line)) in_comment = 1
	gsub(/[ \t]/, "", line)
	if (line == "" || line ~ /^[{}();]*$/ || line ~ /^#(include|ifndef|define|endif)/) next
	for (i = 1; i < window; i++) recent[i] = recent[i + 1]
	recent[window] = line
	if (++have < window) next
	run = ""
	for (i = 1; i <= window; i++) run = run "\n" recent[i]
	tree = FILENAME
	sub(/\/.*/, "", tree)
	if (!(run in seen)) { seen[run] = tree; where[run] = FILENAME ":" FNR }
	else if (seen[run] != tree) { print FILENAME ":" FNR ": the same " window " lines of code as " where[run]; bad = 1 }
}
END { exit bad }'
