#!/bin/sh
# unit.sh OUT TEST...: runs unit test programs and counts their tests.
#
# Every test counts for itself.  A program that dies takes the tests it had
# not finished with it: they count as failed.
set -eu
cd "$(dirname "$0")/.."
. tests/results.sh
out=$1
shift
results_begin
log=$(mktemp)
trap 'rm -f "$log"; [ -z "$results_own" ] || rm -f "$RESULTS"' EXIT

for program in "$@"; do
	name=${program#"$out"/tests/}
	status=0
	CMOCKA_MESSAGE_OUTPUT=TAP timeout -k 5 300 "$program" >"$log" 2>&1 </dev/null || status=$?
	before=$(results_count fail)
	awk -v prefix="$(basename "$out") $name" '
		/^1\.\.[0-9]+$/ { planned += substr($0, 4) }
		# cmocka knows no reason for a skip: what the test printed last is taken for it.
		/^(not )?ok [0-9]+ # SKIP/ { sub(/.*# SKIP */, ""); print "skip\t" prefix " " $0 "\t" (said == "" ? "no reason given" : said); said = ""; seen++; next }
		/^ok [0-9]+ - / { sub(/^ok [0-9]+ - /, ""); print "pass\t" prefix " " $0; seen++ }
		/^not ok [0-9]+ - / { sub(/^not ok [0-9]+ - /, ""); print "fail\t" prefix " " $0; seen++; failed++ }
		/^(not )?ok / { said = "" }
		!/^(not )?ok |^1\.\.|^#|^[ \t]*$/ { said = $0; gsub(/\t/, " ", said) }
		END {
			for (i = seen; i < planned; i++) print "fail\t" prefix " (not finished) " i + 1
			if (!planned) print "fail\t" prefix " ran no test"
		}' "$log" >>"$RESULTS"
	after=$(results_count fail)
	if [ "$status" -ne 0 ] && [ "$after" -eq "$before" ]; then
		printf 'fail\t%s exit status %s\n' "$name" "$status" >>"$RESULTS"
		after=$((after + 1))
	fi
	if [ "$after" -gt "$before" ]; then
		echo "FAILED $name, exit status $status:"
		sed 's/^/    | /' "$log"
	fi
done
results_end
