#!/bin/sh
# python.sh: every Python file compiles; nothing but the standard library and tests' own modules.
set -eu
find tests packaging reports -name node_modules -prune -o -name '*.py' -print | sort | xargs python3 -B -c '
import ast, sys, os
own = {os.path.basename(path)[:-3] for path in sys.argv[1:]}
bad = 0
for path in sys.argv[1:]:
    tree = ast.parse(open(path).read(), path)
    for node in ast.walk(tree):
        names = [a.name for a in node.names] if isinstance(node, ast.Import) else \
            [node.module] if isinstance(node, ast.ImportFrom) else []
        for name in names:
            top = name.split(".")[0]
            if top not in sys.stdlib_module_names and top not in own:
                print(f"{path}:{node.lineno}: {top} is not in the standard library")
                bad = 1
sys.exit(bad)'
