#!/bin/bash
# check.sh: everything that must hold before a change goes in.  Ends in one
# line: N passed, N failed, N skipped.  Exit status 1 when anything failed or
# nothing ran.
set -eu
cd "$(dirname "$0")/.."
. tests/results.sh
exec </dev/null
# A make of its own for each part: nothing of the calling make's flags or job server.
unset MAKEFLAGS MFLAGS MAKELEVEL CC MODE CFLAGS CPPFLAGS LDFLAGS
export LC_ALL=C
export BUILD=${BUILD:-build}
FUZZ_RUNS=${FUZZ_RUNS:-10000}
jobs=$(nproc 2>/dev/null || echo 2)
unset RESULTS
results_begin

# part TEXT COMMAND...: announces, runs, says how long it took and what it added.
part()
{
	local text=$1 begin=$SECONDS before_pass before_fail
	shift
	before_pass=$(results_count pass)
	before_fail=$(results_count fail)
	printf '== %s\n' "$text"
	"$@" || true
	[ $(($(results_count pass) + $(results_count fail))) -gt $((before_pass + before_fail)) ] || fail "$text: nothing was run"
	printf '   %s: %d ok, %d failed, %d s\n' "$text" $(($(results_count pass) - before_pass)) \
		$(($(results_count fail) - before_fail)) $((SECONDS - begin))
}

# shellcheck disable=SC2317 # called through part
build()
{
	local name=$1
	shift
	step "$name" make -j"$jobs" BUILD="$BUILD" "$@"
}

# Tests run only on what was built: a stale program must not pass for a new one.
# shellcheck disable=SC2317 # called through part
run()
{
	make -s BUILD="$BUILD" "$@" || fail "make $*"
}

part 'build, gcc' build 'build with gcc' all unit-build
part 'lint' run lint
part 'requirement catalogue' run check-requirements
part 'build, clang' build 'build with clang' CC=clang MODE=clang all unit-build
part 'unit tests' run unit
part 'end-to-end tests' run e2e
part 'build, gcc with ASan and UBSan' build 'build with sanitizers' MODE=asan all unit-build
part 'unit tests under sanitizers' run MODE=asan unit
part 'end-to-end tests under sanitizers' run MODE=asan e2e
part 'build, fuzzers' build 'build fuzzers' CC=clang MODE=fuzz fuzz-build
part "fuzzers, $FUZZ_RUNS inputs each" run CC=clang MODE=fuzz FUZZ_RUNS="$FUZZ_RUNS" fuzz-short

printf '== done in %d s\n' "$SECONDS"
results_end
