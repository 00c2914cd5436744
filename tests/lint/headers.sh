#!/bin/sh
# headers.sh COMPILER...: every header compiles alone, and twice in one file.
set -eu
[ $# -gt 0 ] || set -- cc
# shellcheck disable=SC2016 # the inner shell expands these
find . \( -path ./build -o -path ./.git -o -name node_modules \) -prune -o -name '*.h' -print | sed 's,^\./,,' | sort |
	xargs -P 2 -I '{}' sh -c '
		header=$1
		shift
		printf "#include \"%s\"\n#include \"%s\"\n" "$header" "$header" |
			$* -std=c17 -D_GNU_SOURCE -Wall -Wextra -Werror -I. -include base/poison.h -fsyntax-only -x c - ||
			{ echo "$header: does not compile alone, twice"; exit 1; }' headers '{}' "$*"
