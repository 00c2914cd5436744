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

# like_the_reference NAME LINE: the target file NAME.yaml in $work, the reference with a line more in its configuration.
like_the_reference()
{
	mkdir "$work/$1"
	sed "s/^target: .*/target: $1/" scenarios/targets/reference.yaml >"$work/$1.yaml"
	{
		cat scenarios/targets/reference/postriderd.conf
		echo "$2"
	} >"$work/$1/postriderd.conf"
}
like_the_reference delay 'pop3: { login_delay: 30s }'
like_the_reference impatient 'timeouts: { pop3: 1s }'

# choose SUITE: what `conform` is told for it.
choose()
{
	case $1 in
	delay) echo "pop3/rfc2449/6.5 pop3/rfc2449/8.1.1 --target $work/delay.yaml" ;;
	impatient) echo "pop3/rfc1939/3/autologout-removes-nothing --slow --target $work/impatient.yaml" ;;
	relay*) echo "$1 --jobs 300" ;; # what a broken relay does not do is waited for, side by side
	*) echo "$1" ;;
	esac
}

# play SUITE [MUTANT]: plays the suite against the server, broken so; what failed is in $work/failed.
play()
{
	# shellcheck disable=SC2016 # the script that is written expands these
	printf '#!/bin/sh\nif [ "$1" = serve ]; then exec %s "$@" %s; fi\nexec %s "$@"\n' \
		"$program" "${2:+--mutant $2}" "$program" >"$work/postriderd"
	chmod 755 "$work/postriderd"
	status=0
	# shellcheck disable=SC2046 # words
	"$out/bin/postrider" conform $(choose "$1") --program "$work/postriderd" --results "$work/results" --tap "$work/tap" \
		--strict --quiet --seed 1 >"$work/said" 2>&1 || status=$?
	sed -n 's/^not ok [0-9]* - //p' "$work/tap" >"$work/failed"
	rm -rf "$work/results"
}

for suite in smtp submission lmtp pop3 delay impatient relay; do
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
