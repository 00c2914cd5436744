#!/bin/sh
# setup-targets.sh POSTRIDER [NAME...]: fetches the packages of targets, and
# puts each target's into a directory of its own, build/targets/NAME.
#
# Nothing is installed: Debian's packages are unpacked, no script of theirs
# runs, no server starts, and MTAs that could not be installed together lie
# beside each other.  What a package depends on and this machine does not have
# is unpacked with it.  npm packages come with the versions and digests of
# packaging/targets/NAME/package-lock.json.  Needs apt and npm, not root.  A
# second run changes nothing.
set -eu
PATH=${PATH:-/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin}
export PATH
postrider=$(realpath "$1")
shift
cd "$(dirname "$0")/.."
exec </dev/null
to=$PWD/build/targets

die()
{
	echo "setup-targets: $*" >&2
	exit 1
}

# What would be installed if the target's packages were: themselves, and what they need that is not here.
needed_packages()
{
	apt-get -q -s --no-install-recommends install "$@" 2>/dev/null | awk '/^Inst / { print $2 }'
	printf '%s\n' "$@"
}

# Debian's /bin, /sbin and /lib are links into /usr.
merge_usr()
{
	for part in bin sbin lib lib64; do
		[ -d "$1/$part" ] || continue
		mkdir -p "$1/usr/$part"
		cp -a "$1/$part/." "$1/usr/$part"
		rm -rf "${1:?}/$part"
	done
}

unpack_debs()
{
	name=$1
	shift
	needed=$(needed_packages "$@" | sort -u)
	# shellcheck disable=SC2086 # one word per package
	echo "setup-targets: $name: unpacking" $needed
	mkdir -p "$to/$name.new/debs"
	(
		cd "$to/$name.new/debs"
		# shellcheck disable=SC2086
		apt-get -q -o APT::Sandbox::User=root download $needed >../apt.log 2>&1
	) || { cat "$to/$name.new/apt.log" >&2; die "apt-get could not download the packages of $name"; }
	for deb in "$to/$name.new/debs/"*.deb; do
		dpkg-deb -x "$deb" "$to/$name.new"
		dpkg-deb -f "$deb" Package Version | paste -sd ' ' >>"$to/$name.new/versions"
	done
	rm -rf "$to/$name.new/debs" "$to/$name.new/apt.log"
	merge_usr "$to/$name.new"
}

install_npm()
{
	name=$1
	lock=packaging/targets/$name
	command -v npm >/dev/null || die "npm not found; it is in package npm"
	echo "setup-targets: $name: npm ci of $lock"
	mkdir -p "$to/$name.new"
	cp "$lock/package.json" "$lock/package-lock.json" "$to/$name.new"
	(
		cd "$to/$name.new"
		[ -n "${HOME:-}" ] || { HOME=$PWD/home && export HOME; }
		npm ci --no-audit --no-fund --ignore-scripts --no-update-notifier --omit=dev --omit=optional --loglevel=error
	) || die "npm ci failed in $to/$name.new"
}

# What was fetched for which list; another list fetches anew.
wanted_state()
{
	printf '%s\n' "$1"
	cat "packaging/targets/$2/package-lock.json" 2>/dev/null || :
}

all=$("$postrider" targets --packages) || die "the targets have mistakes"
names=${*:-$(printf '%s\n' "$all" | cut -d' ' -f1 | sort -u)}
updated=
for name in $names; do
	list=$(printf '%s\n' "$all" | grep "^$name ") || die "target $name has no packages"
	if [ -f "$to/$name/done" ] && [ "$(wanted_state "$list" "$name")" = "$(cat "$to/$name/done")" ]; then
		continue
	fi
	if [ -z "$updated" ] && [ "$(id -u)" = 0 ]; then
		apt-get -q update >/dev/null 2>&1 || echo 'setup-targets: apt-get update failed; trying with the package lists that are here' >&2
		updated=y
	fi
	rm -rf "$to/$name.new"
	debs=$(printf '%s\n' "$list" | awk '$2 == "deb" { print $3 }')
	# shellcheck disable=SC2086
	[ -z "$debs" ] || unpack_debs "$name" $debs
	case $list in
	*' npm '*) install_npm "$name" ;;
	esac
	wanted_state "$list" "$name" >"$to/$name.new/done"
	chmod 755 "$to/$name.new"
	rm -rf "${to:?}/$name"
	mv "$to/$name.new" "$to/$name"
done
echo 'setup-targets: everything needed is there'
