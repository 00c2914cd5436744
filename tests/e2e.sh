#!/bin/sh
# e2e.sh OUT [WORD...]: end-to-end tests on the programs in OUT/bin; with
# words, only the tests whose name holds one of them.
set -eu
cd "$(dirname "$0")/.."
. tests/results.sh
results_begin
status=0
python3 -B tests/e2e/run.py "$@" </dev/null || status=$?
[ "$status" -le 1 ] || fail "e2e runner, exit status $status"
results_end
