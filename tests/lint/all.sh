#!/bin/sh
# all.sh COMPILER PURE-OBJECT...: the rules of the tree; each is one test.
# Then shows that each rule can fail: see self-test.sh.
set -eu
cd "$(dirname "$0")/../.."
. tests/results.sh
results_begin
compiler=$1
shift
step 'lint: include directions' sh tests/lint/includes.sh
step 'lint: no mail word in base' sh tests/lint/words.sh
step 'lint: headers compile alone' sh tests/lint/headers.sh "$compiler"
step 'lint: pure folders do no input or output' sh tests/lint/pure.sh "$@"
step 'lint: harness and server share no code' sh tests/lint/independent.sh
step 'lint: C files are formatted' sh tests/lint/format.sh
step 'lint: shell scripts' sh tests/lint/shell.sh
step 'lint: python files' sh tests/lint/python.sh
step 'lint: manuals' sh tests/lint/manuals.sh
step 'lint: the project stands alone' sh tests/lint/alone.sh
step 'lint: nothing is marked unfinished' sh tests/lint/unfinished.sh
# Its red cases are in tests/requirements/test_check.py.
step 'lint: cases and requirement catalogue agree' python3 -B tests/requirements/check.py --record reports/published/requirements.md
sh tests/lint/self-test.sh "$compiler"
results_end
