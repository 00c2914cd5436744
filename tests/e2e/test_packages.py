"""The Debian package, and the one command for continuous integration."""

import glob
import os
import subprocess

import lib
from lib import OUT, ROOT, Skip, check, check_equal, need_tool, run_program, scratch, turns_red

lib.LENSES.update({"scenarios-are-left-out": "the package lacks what lies in /usr/share"})


def package():
    if os.path.basename(OUT) != "release":
        raise Skip("packages are made of release builds")
    need_tool("dpkg-shlibdeps")
    to = os.path.join(scratch(), "deb")
    status, out, err = run_program(["sh", "packaging/deb.sh", os.path.dirname(os.path.abspath(OUT)), to], cwd=ROOT, timeout_s=120)
    check_equal(status, 0, f"exit status of deb.sh, {out}{err}")
    path, = glob.glob(os.path.join(to, "postrider_*.deb"))
    return path


@turns_red("scenarios-are-left-out")
def test_the_package_works_where_it_is_unpacked():
    path, root = package(), os.path.join(scratch(), "root")
    fields = subprocess.run(["dpkg-deb", "-f", path, "Package", "Depends"], stdout=subprocess.PIPE, text=True, check=True).stdout
    check("Package: postrider" in fields and "libc6" in fields and "liblmdb0" in fields, f"what it depends on: {fields}")
    check_equal(run_program(["dpkg-deb", "-x", path, root])[0], 0, "exit status of dpkg-deb")
    if lib.lens == "scenarios-are-left-out":
        os.rename(os.path.join(root, "usr/share"), os.path.join(root, "usr/no-share"))
    environment = {k: v for k, v in os.environ.items() if not k.startswith("POSTRIDER")}
    status, out, err = run_program([os.path.join(root, "usr/bin/postrider"), "conform", "smtp/rfc5321/4.1.1.9", "--quiet"], cwd=scratch(), env=environment)
    check_equal(status, 0, f"exit status of conform, {out}{err}")
    check(os.path.exists(os.path.join(scratch(), "results/latest/report.html")), "there is a page")
    for name in ("man1/postrider.1.gz", "man5/postriderd.conf.5.gz", "man8/postriderd.8.gz"):
        check(os.path.exists(os.path.join(root, "usr/share/man", name)), f"the manual {name}")
    check("is no case" not in out + err, "cases were found")


@turns_red("output-is-silent", "server-dies-badly")
def test_one_command_judges_in_ci_and_leaves_what_services_read():
    """As `make ci` does after it has built; in a copy, for results/ci lies in the tree."""
    tree = os.path.join(scratch(), "tree")
    os.makedirs(tree)
    for name in ("packaging", "scenarios", "reports"):
        os.symlink(os.path.join(ROOT, name), os.path.join(tree, name))
    environment = dict(os.environ, PWD=tree)
    status, out, _ = run_program(["sh", os.path.join(tree, "packaging/ci.sh"), os.path.join(os.path.abspath(OUT), "bin"), "reference", "smtp/rfc5321/4.1.1.9"], cwd=tree, env=environment)
    check_equal(status, 0, "exit status")
    check("PASS  reference: " in out, f"the verdict is printed: {out}")
    for name in ("junit.xml", "conform.sarif", "summary.md", "result.json", "report.html"):
        check(os.path.getsize(os.path.join(tree, "results/ci", name)) > 0, f"{name} is there")
