#!/bin/sh
# shell.sh: shellcheck on every shell script.
set -eu
find . \( -path ./build -o -path ./.git -o -name node_modules \) -prune -o \( -name '*.sh' -o -path ./.ci/run \) -print | sort |
	xargs shellcheck -x
