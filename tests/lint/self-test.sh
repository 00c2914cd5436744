#!/bin/sh
# self-test.sh COMPILER: every rule can fail.  Makes a small tree that keeps all
# rules, sees each rule pass there, then breaks each rule once and sees it fail
# for that reason.
set -eu
cd "$(dirname "$0")/../.."
. tests/results.sh
results_begin
compiler=${1:-cc}
rules=$PWD/tests/lint
scratch=$(mktemp -d)
tree=$scratch/tree
log=$scratch/log
mkdir "$tree"
trap 'rm -rf "$scratch"; [ -z "$results_own" ] || rm -f "$RESULTS"' EXIT

# A tree that keeps every rule.
clean_tree()
{
	find "$tree" -mindepth 1 -delete
	(
		cd "$tree"
		mkdir -p base reference-server/core harness/wire tests packaging/npm docs/man reports
		cp "$rules/../../.clang-format" .
		printf '#ifndef BASE_SPAN_H\n#define BASE_SPAN_H\nint span_of(int a);\n#endif\n' >base/span.h
		printf '#ifndef POISON_H\n#define POISON_H\n#endif\n' >base/poison.h
		printf '#include "base/span.h"\n\nint span_of(int a)\n{\n\treturn a;\n}\n' >base/span.c
		printf '#ifndef CORE_H\n#define CORE_H\n#include "base/span.h"\nint core(int a);\n#endif\n' >reference-server/core/core.h
		printf '#include "reference-server/core/core.h"\n\nint core(int a)\n{\n\treturn span_of(a);\n}\n' >reference-server/core/core.c
		printf '#ifndef WIRE_H\n#define WIRE_H\nint wire(int a);\n#endif\n' >harness/wire/wire.h
		printf '#include "harness/wire/wire.h"\n\nint wire(int a)\n{\n\treturn a;\n}\n' >harness/wire/wire.c
		printf '#!/bin/sh\nset -eu\necho clean\n' >tests/clean.sh
		printf 'import os\nprint(os.name)\n' >tests/clean.py
		printf '{ "version": "1" }\n' >packaging/npm/package-lock.json
		printf '.Dd March 1, 2026\n.Dt CLEAN 1\n.Os\n.Sh NAME\n.Nm clean\n.Nd a clean page\n.Sh DESCRIPTION\nText.\n' >docs/man/clean.1
	)
}

compile_pure()
{
	"$compiler" -I. -c -o core.o reference-server/core/core.c
}

run_rule()
{
	case $1 in
	pure) compile_pure && sh "$rules/pure.sh" core.o ;;
	pure-empty) sh "$rules/pure.sh" ;;
	headers) sh "$rules/headers.sh" "$compiler" ;;
	*) sh "$rules/$1.sh" ;;
	esac
}

# passes RULE: in the clean tree.
passes()
{
	clean_tree
	if (cd "$tree" && run_rule "$1") >"$log" 2>&1; then
		pass "lint self-test: $1 passes a clean tree"
	else
		fail "lint self-test: $1 passes a clean tree" "$log"
	fi
}

# breaks RULE EXPECTED-WORDS SCRIPT: the script runs in a clean tree and breaks the rule.
breaks()
{
	clean_tree
	(cd "$tree" && eval "$3")
	if (cd "$tree" && run_rule "$1") >"$log" 2>&1; then
		fail "lint self-test: $1 must see: $2"
	elif grep -q -e "$2" "$log"; then
		pass "lint self-test: $1 sees: $2"
	else
		fail "lint self-test: $1 must say: $2" "$log"
	fi
}

for rule in includes words headers pure independent format shell python manuals alone unfinished; do
	passes "$rule"
done

core=reference-server/core/core.c
wire=harness/wire/wire.c
breaks includes 'may not include harness/wire' "echo '#include \"harness/wire/wire.h\"' >>$core"
breaks includes 'may not include reference-server' "echo '#include \"reference-server/core/core.h\"' >>$wire"
breaks includes 'may not include base/loop.h' "echo '#include \"base/loop.h\"' >>$core"
breaks includes 'may not include <stdlib.h>' "echo '#include <stdlib.h>' >>$core"
breaks includes 'first include must be' "printf '#include <string.h>\n#include \"base/span.h\"\n' >base/span.c"
breaks includes 'covers this folder' "mkdir new; echo >new/a.c"
breaks words 'names a mail protocol' "echo '/* an SMTP reply */' >>base/span.h"
breaks headers 'does not compile alone' "echo 'int later(struct unknown_type t[2]);' >>base/span.h; echo 'size_t n;' >>base/span.h"
breaks headers 'does not compile alone' "echo 'struct twice { int a; };' >>base/span.h"
breaks pure 'calls write' "printf 'long write(int, const void *, unsigned long);\nlong shout(void)\n{\n\treturn write(1, \"\", 0);\n}\n' >>$core"
breaks pure 'calls malloc' "printf 'void *malloc(unsigned long);\nvoid *get(void)\n{\n\treturn malloc(1);\n}\n' >>$core"
breaks pure 'calls time' "printf 'long time(long *);\nlong now(void)\n{\n\treturn time(0);\n}\n' >>$core"
breaks pure-empty 'nothing was checked' true
six_lines='\ta = a * 3;\n\ta = a + 7;\n\ta = a << 1;\n\ta = a ^ 5;\n\ta = a - 9;\n\ta = a / 2;\n'
# Different blanks and comments do not hide a copy.
breaks independent 'the same 6 lines' "printf 'int f(int a)\n{\n$six_lines}\n' >>$core
	printf 'int g(int a)\n{\n$six_lines}\n' | sed 's/ = /  =/; s/;/; \/* why *\//' >>$wire"
breaks format 'clang-format-violations' "echo 'int  f( int a );' >>base/span.h"
breaks shell 'SC2086' "printf 'cat \$1\n' >>tests/clean.sh"
breaks python 'not in the standard library' "echo 'import requests' >>tests/clean.py"
breaks manuals 'WARNING' "printf '.Sh NAME\n' >>docs/man/clean.1"
breaks manuals 'no man page' "rm docs/man/clean.1"
breaks alone 'outside the project' "echo '/* see /wo''rk/notes */' >>base/span.h"
breaks alone 'outside the project' "echo '/* see ../sha''red/notes */' >>base/span.h"
breaks alone 'names a host' "echo '{ \"resolved\": \"x\" }' >packaging/npm/package-lock.json"
breaks unfinished 'marked in code' "echo '/* TO''DO */' >>base/span.h"
results_end
