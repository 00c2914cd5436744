# results.sh: counting tests; sourced by the scripts beside it.
#
# One line per test goes to the file $RESULTS: pass|fail|skip, a tab, the name,
# and for a skip another tab and the reason.  A script started by tests/check.sh
# adds to check's file; started alone, it makes its own and ends in the closing
# line.  Nothing run counts as a failure: a check that cannot fail is a defect.
# shellcheck shell=sh

PATH=${PATH:-/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin}
export PATH

results_begin()
{
	results_own=
	[ -z "${RESULTS:-}" ] || return 0
	RESULTS=$(mktemp)
	export RESULTS
	results_own=y
	trap 'rm -f "$RESULTS"' EXIT
	trap 'exit 130' HUP INT TERM
}

pass()
{
	printf 'pass\t%s\n' "$1" >>"$RESULTS"
}

# fail NAME [FILE]: FILE holds what the test printed.
fail()
{
	printf 'fail\t%s\n' "$1" >>"$RESULTS"
	echo "FAILED $1"
	[ $# -lt 2 ] || sed 's/^/    | /' "$2"
}

skip()
{
	printf 'skip\t%s\t%s\n' "$1" "$2" >>"$RESULTS"
}

# step NAME COMMAND...: one test that passes when the command does; shows its output when not.
step()
{
	step_name=$1
	shift
	step_log=$(mktemp)
	if "$@" >"$step_log" 2>&1; then
		pass "$step_name"
	else
		fail "$step_name" "$step_log"
	fi
	rm -f "$step_log"
}

results_count()
{
	awk -F '\t' -v kind="$1" '$1 == kind { n++ } END { print n + 0 }' "$RESULTS"
}

# Prints the closing line when this script is the outermost one, and ends it.
results_end()
{
	[ -n "$results_own" ] || exit 0
	passed=$(results_count pass)
	failed=$(results_count fail)
	skipped=$(results_count skip)
	[ $((passed + failed)) -gt 0 ] || echo 'nothing was run'
	awk -F '\t' '$1 == "fail" { print "failed: " $2 } $1 == "skip" { print "skipped: " $2 ": " $3 }' "$RESULTS" | sort -u
	echo "$passed passed, $failed failed, $skipped skipped"
	[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
	exit
}
