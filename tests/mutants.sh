#!/bin/sh
# mutants.sh OUT MUTANTS [NAME...]: the conformance suite is tested.  The server
# in MUTANTS/bin breaks one behaviour at a time; a case of its suite must fail
# each time, and none when nothing is broken.  With names only these mutants,
# with SHARD=I/N only the Ith of N parts; JOBS of them at a time.  With PARTS=1
# only the part of the suite that a mutant was written with is played, not the
# whole: an answer in a tenth of the time, without the list of what else noticed;
# what comes of it lies in MUTANTS/parts, and leaves the list of the whole alone.
#
# MUTANTS/killed.tsv says which cases failed under which mutant (mutant, case).
# It keeps what earlier runs of some of them found, and a run of all begins anew.
set -eu
out=$1
mutants=$2
shift 2
cd "$(dirname "$0")/.."
. tests/results.sh
results_begin
program=$(realpath "$mutants/bin/postriderd")
[ -z "${PARTS:-}" ] || mutants=$mutants/parts
[ $# -gt 0 ] || [ -n "${SHARD:-}" ] || rm -rf "$mutants/killed"
mkdir -p "$mutants/killed" "$mutants/passed"

# One line for each mutant that is asked for: name, suite, what is broken.  The table names the part that was written with the mutant.
"$program" mutants | awk -F '\t' -v OFS='\t' -v names=" $* " -v shard="${SHARD:-1/1}" -v parts="${PARTS:-}" '
	BEGIN { split(shard, part, "/") }
	names != "  " && !index(names, " " $1 " ") { next }
	n++ % part[2] != part[1] - 1 { next }
	!parts { sub(/\/.*/, "", $2) }
	{ print }' >"$mutants/chosen.tsv"
{
	cut -f2 "$mutants/chosen.tsv" | sed 's|/.*||' | sort -u | sed 's/.*/none\t&\tnothing/'
	cat "$mutants/chosen.tsv"
} | tr '\t\n' '\0\0' | xargs -0 -n 3 -P "${JOBS:-3}" sh tests/mutants/play.sh "$out" "$program" "$mutants"

for list in "$mutants"/killed/*; do
	[ ! -e "$list" ] || sed "s|^|${list##*/}\t|" "$list"
done >"$mutants/killed.tsv"
[ -n "${PARTS:-}" ] || sh tests/mutants/unseen.sh "$out" "$mutants"
results_end
