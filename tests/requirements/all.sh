#!/bin/sh
# all.sh [RFC-TEXTS]: the requirement catalogue, and that its checker can fail.
# With the directory of the RFC texts the catalogue is held against them, and the
# record in reports/published is written anew.
set -eu
cd "$(dirname "$0")/../.."
. tests/results.sh
results_begin
step 'requirements: the checker turns red' python3 -B tests/requirements/test_check.py
step 'requirements: the catalogue is sound' python3 -B tests/requirements/check.py \
	${1:+--texts "$1"} --record reports/published/requirements.md
python3 -B tests/requirements/check.py ${1:+--texts "$1"} 2>/dev/null || true
results_end
