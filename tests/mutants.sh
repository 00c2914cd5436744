#!/bin/sh
# mutants.sh OUT MUTANTS [NAME...]: the conformance suite is tested.  The server
# in MUTANTS/bin breaks one behaviour at a time; a case must fail each time, and
# none when nothing is broken.
set -eu
out=$1
mutants=$2
shift 2
cd "$(dirname "$0")/.."
. tests/results.sh
results_begin
work=$(mktemp -d)
trap 'rm -rf "$work"; [ -z "$results_own" ] || rm -f "$RESULTS"' EXIT
program=$(realpath "$mutants/bin/postriderd")

# play SUITE [MUTANT]: plays the suite against the server, broken so; what failed is in $work/failed.
play()
{
	# shellcheck disable=SC2016 # the script that is written expands these
	printf '#!/bin/sh\nif [ "$1" = serve ]; then exec %s "$@" %s; fi\nexec %s "$@"\n' \
		"$program" "${2:+--mutant $2}" "$program" >"$work/postriderd"
	chmod 755 "$work/postriderd"
	status=0
	"$out/bin/postrider" conform "$1" --program "$work/postriderd" --results "$work/results" --tap "$work/tap" \
		--strict --quiet --seed 1 >"$work/said" 2>&1 || status=$?
	sed -n 's/^not ok [0-9]* - //p' "$work/tap" >"$work/failed"
	rm -rf "$work/results"
}

for suite in smtp submission lmtp pop3; do
	play "$suite"
	if [ "$status" -eq 0 ]; then
		pass "mutants: nothing fails in $suite when nothing is broken"
	else
		cat "$work/said" "$work/failed"
		fail "mutants: $suite fails although nothing is broken"
	fi
done
"$program" mutants | while IFS='	' read -r name suite what; do
	[ $# -eq 0 ] || case " $* " in *" $name "*) ;; *) continue ;; esac
	play "$suite" "$name"
	# Killed by a case that fails, not by a harness that does.
	if [ "$status" -eq 1 ]; then
		printf 'killed    %-24s by %s of %s, as %s\n' "$name" "$(wc -l <"$work/failed")" "$suite" "$(head -1 "$work/failed")"
		pass "mutants: $name ($what) is noticed"
	else
		printf 'SURVIVED  %-24s %s\n' "$name" "$what"
		cat "$work/said"
		fail "mutants: $name ($what) is not noticed"
	fi
done
results_end
