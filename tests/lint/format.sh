#!/bin/sh
# format.sh: every C file is formatted by .clang-format; `make format` does it.
set -eu
find . \( -path ./build -o -path ./.git -o -name node_modules \) -prune -o -name '*.[ch]' -print | sort |
	xargs -P 2 -n 40 clang-format --dry-run -Werror
