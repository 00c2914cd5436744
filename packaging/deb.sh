#!/bin/sh
# deb.sh BUILD [TO]: makes TO/postrider_VERSION_ARCH.deb (TO is BUILD/deb
# when absent) of what `make install` puts below PREFIX=/usr.
#
# Needs dpkg-deb and dpkg-shlibdeps (package dpkg-dev), not root.  The same
# tree gives the same package: times are those of the last commit, or of
# $SOURCE_DATE_EPOCH.
set -eu
PATH=${PATH:-/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin}
export PATH
build=$(realpath "$1")
out=$(realpath -m "${2:-$1/deb}")
cd "$(dirname "$0")/.."

for tool in dpkg-deb dpkg-shlibdeps; do
	command -v $tool >/dev/null || {
		echo "deb: $tool not found; it is in package dpkg-dev" >&2
		exit 1
	}
done
version=$(cat VERSION)
arch=$(dpkg --print-architecture)
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || date +%s)}
export SOURCE_DATE_EPOCH
maintainer=${DEB_MAINTAINER:-postrider authors <postrider@postrider.example>}

rm -rf "$out"
mkdir -p "$out"
stage=$out/stage
make --no-print-directory install BUILD="$build" DESTDIR="$stage" PREFIX=/usr >"$out/install.log" 2>&1 || {
	cat "$out/install.log" >&2
	exit 1
}
strip --strip-unneeded --remove-section=.comment --remove-section=.note "$stage"/usr/bin/*
find "$stage/usr/share/man" -type f -exec gzip -9n {} +

doc=$stage/usr/share/doc/postrider
install -d "$doc"
{
	cat packaging/debian/copyright
	sed -n '3,$s/^/ /p' LICENSE | sed 's/^ $/ ./'
} >"$doc/copyright"
install -m 644 README.md ARCHITECTURE.md CHANGELOG.md docs/*.md "$doc"
{
	printf 'postrider (%s) unstable; urgency=medium\n\n  * CHANGELOG.md beside this file says what changed.\n\n' "$version"
	printf ' -- %s  %s\n' "$maintainer" "$(LC_ALL=C date -u -R -d "@$SOURCE_DATE_EPOCH")"
} | gzip -9n >"$doc/changelog.gz"

# What the programs are linked with, from the packages that these libraries came in.
mkdir -p "$out/shlibs/debian"
printf 'Source: postrider\nMaintainer: %s\n\nPackage: postrider\nArchitecture: any\n' "$maintainer" \
	>"$out/shlibs/debian/control"
depends=$(cd "$out/shlibs" && dpkg-shlibdeps -O "$stage"/usr/bin/* 2>"$out/shlibs.log" | sed -n 's/^shlibs:Depends=//p')
[ -n "$depends" ] || {
	cat "$out/shlibs.log" >&2
	exit 1
}

install -d "$stage/DEBIAN"
size=$(du -sk --exclude=DEBIAN "$stage" | cut -f1)
sed -e "s|@VERSION@|$version|; s|@ARCH@|$arch|; s|@SIZE@|$size|; s|@MAINTAINER@|$maintainer|" \
	-e "s|@DEPENDS@|$depends|" packaging/debian/control.in >"$stage/DEBIAN/control"
(cd "$stage" && find usr -type f -print0 | sort -z | xargs -0 md5sum) >"$stage/DEBIAN/md5sums"
find "$stage" -type d -exec chmod 755 {} +
# Templates of scripts.
grep -rlI '^#!' "$stage/usr/share/postrider" | xargs -r chmod 755
find "$stage" -exec touch -hcd "@$SOURCE_DATE_EPOCH" {} +
dpkg-deb --root-owner-group --build "$stage" "$out/postrider_${version}_$arch.deb" >/dev/null
rm -rf "$stage" "$out/shlibs" "$out/install.log" "$out/shlibs.log"
echo "deb: $out/postrider_${version}_$arch.deb"
