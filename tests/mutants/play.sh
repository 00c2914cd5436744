#!/bin/sh
# play.sh OUT PROGRAM WORK MUTANT SUITE [WHAT]: plays one suite against the server PROGRAM that is broken in one way, "none"
# for none.  WORK/killed/MUTANT is then the list of cases that failed, WORK/passed/SUITE that of those which passed unbroken.
set -eu
out=$1 program=$2 work=$3 mutant=$4 suite=$5 what=${6:-}
cd "$(dirname "$0")/../.."
. tests/results.sh
own=$work/play-$(echo "$suite" | tr / -)-$mutant
trap 'rm -rf "$own"' EXIT
mkdir -p "$own"

# like_the_reference NAME LINE: a target NAME, which is the reference with a line more in its configuration.
like_the_reference()
{
	mkdir "$own/$1"
	sed "s/^target: .*/target: $1/" scenarios/targets/reference.yaml >"$own/$1.yaml"
	{
		cat scenarios/targets/reference/postriderd.conf
		echo "$2"
	} >"$own/$1/postriderd.conf"
	chosen="$chosen --target $own/$1.yaml"
}

case $suite in
delay)
	chosen='pop3/rfc2449/6.5 pop3/rfc2449/8.1.1'
	like_the_reference delay 'pop3: { login_delay: 30s }'
	;;
impatient)
	chosen='pop3/rfc1939/3/autologout-removes-nothing --slow'
	like_the_reference impatient 'timeouts: { pop3: 1s }'
	;;
restarts) chosen='relay/rfc5321/4.5.4.1 relay/rfc5321/6.1 --tag slow' ;; # few accounts: a start looks at each
relay | relay/*) chosen="$suite --jobs 150" ;; # what a broken relay does not do is waited for, side by side
*) chosen=$suite ;; # or several
esac

broken=
[ "$mutant" = none ] || broken="--mutant $mutant"
# shellcheck disable=SC2016 # the script that is written expands these
printf '#!/bin/sh\nif [ "$1" = serve ]; then exec %s "$@" %s; fi\nexec %s "$@"\n' "$program" "$broken" "$program" >"$own/postriderd"
chmod 755 "$own/postriderd"
status=0
# shellcheck disable=SC2086 # words
"$out/bin/postrider" conform $chosen --program "$own/postriderd" --results "$own/results" --tap "$own/tap" \
	--strict --quiet --seed 1 >"$own/said" 2>&1 || status=$?
[ -e "$own/tap" ] || : >"$own/tap"
# What went wrong otherwise is no failure: "not ok", and another word below it.
awk '/^not ok/ { name = $NF } /^# fail: / { print name }' "$own/tap" >"$own/failed"

if [ "$mutant" = none ]; then
	sed -n 's/^ok [0-9]* - \([^ ]*\)$/\1/p' "$own/tap" >"$work/passed/$suite"
	if [ "$status" -eq 0 ]; then
		pass "mutants: nothing fails in $suite when nothing is broken"
	else
		fail "mutants: $suite fails although nothing is broken" "$own/said"
		cat "$own/failed"
	fi
elif [ "$status" -eq 1 ] && [ -s "$own/failed" ]; then # killed by a case that fails, not by a harness that does
	cp "$own/failed" "$work/killed/$mutant"
	printf 'killed    %-24s by %s of %s, as %s\n' "$mutant" "$(wc -l <"$own/failed")" "$suite" "$(head -1 "$own/failed")"
	pass "mutants: $mutant ($what) is noticed"
else
	rm -f "$work/killed/$mutant"
	printf 'SURVIVED  %-24s %s\n' "$mutant" "$what"
	fail "mutants: $mutant ($what) is not noticed" "$own/said"
fi
