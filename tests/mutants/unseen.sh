#!/bin/sh
# unseen.sh OUT WORK: which requirements of tier 1 that bind a server or a relay have a case that passes on the reference, and none
# that any mutant of WORK/killed.tsv has turned red: nothing shows yet that these cases can fail.
set -eu
out=$1 work=$2
cd "$(dirname "$0")/../.."
for binds in server submission delivery client relay reporter; do
	"$out/bin/postrider" list --requirements --binds $binds
done >"$work/requirements"
grep -l '^tier: 1$' scenarios/requirements/*.yaml | sed 's/.*rfc\([0-9]*\).yaml/RFC\1/' >"$work/tier-1"
cat "$work"/passed/* >"$work/passed.txt"
awk -F '[ \t]' '
	FILENAME ~ /tier-1$/     { tier_1[$1]; next }
	FILENAME ~ /passed.txt$/ { passed[$1]; next }
	FILENAME ~ /killed.tsv$/ { red[$2]; next }
	/^RFC/                   { id = $1; wanted = substr(id, 1, index(id, "-") - 1) in tier_1 && !(id in seen); if (wanted) seen[id] = "" }
	/^    case/ && wanted && $6 in passed { judged[id] = judged[id] " " $6; if ($6 in red) shown[id] }
	END {
		for (id in judged) { all++; if (id in shown) continue; missing++; print "unseen  " id ": " judged[id] | "sort" }
		close("sort")
		printf "%d of %d requirements of tier 1 that the reference carries have a case that a mutant turned red\n", all - missing, all
	}' "$work/tier-1" "$work/passed.txt" "$work/killed.tsv" "$work/requirements"
