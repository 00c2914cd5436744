#!/bin/sh
# setup.sh [GROUP...]: installs what is missing to build, test and demonstrate
# postrider: Debian packages of packaging/debian-packages, and the locked npm
# packages of packaging/npm into build/npm.
#
# Says what it will install and asks nothing.  Needs root only when a Debian
# package is missing.  A second run changes nothing.  Needs no environment and
# no terminal.
set -eu
PATH=${PATH:-/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin}
export PATH
cd "$(dirname "$0")/.."
exec </dev/null
groups=${*:-build demo test}

die()
{
	echo "setup: $*" >&2
	exit 1
}

# Packages of the wanted groups that are not here, one a line.
missing_packages()
{
	awk -v groups=" $groups " '
		{ sub(/#.*/, "") }
		/^\[/ { gsub(/[][ \t]/, ""); wanted = index(groups, " " $0 " "); next }
		NF && wanted { print $1, $2 }' packaging/debian-packages |
	while read -r package command; do
		[ -n "$command" ] && command -v "$command" >/dev/null && continue
		# shellcheck disable=SC2016 # dpkg-query replaces ${...}, not the shell
		status=$(dpkg-query -W -f '${db:Status-Status}\n' "$package" 2>/dev/null) || status=
		case $status in
		installed*) ;;
		*) echo "$package" ;;
		esac
	done
}

# Packages that bring daemons must not start them: this machine may be
# someone's work place.  An existing policy is left alone.
policy=/usr/sbin/policy-rc.d
policy_ours=
forget_policy()
{
	[ -z "$policy_ours" ] || rm -f "$policy"
	policy_ours=
}

install_packages()
{
	echo "setup: installing Debian packages: $*"
	command -v apt-get >/dev/null ||
		die "this is no Debian; install what corresponds to these packages, then run make without setup"
	[ "$(id -u)" = 0 ] || die "installing them needs root; run: sudo make setup"
	trap forget_policy EXIT
	trap 'exit 1' HUP INT TERM
	if [ ! -e "$policy" ]; then
		policy_ours=y
		printf '#!/bin/sh\nexit 101\n' >"$policy"
		chmod 755 "$policy"
	fi
	export DEBIAN_FRONTEND=noninteractive
	apt-get -q update || echo 'setup: apt-get update failed; trying with the package lists that are here' >&2
	apt-get -q -y --no-install-recommends install "$@" || die "apt-get could not install: $*"
	forget_policy
}

# npm packages are used by tests only.  The lock names versions and digests.
install_npm()
{
	to=build/npm
	if [ -f $to/done ] && cmp -s packaging/npm/package-lock.json $to/done; then
		return
	fi
	command -v npm >/dev/null || die 'npm not found, though its package is installed'
	echo "setup: installing npm packages into $to:" \
		"$(sed -n '/"dependencies"/,/}/s/^[[:blank:]]*"\([a-z].*\)": "\(.*\)".*/\1 \2/p' packaging/npm/package.json | tr '\n' ' ')"
	rm -rf $to
	mkdir -p $to
	cp packaging/npm/package.json packaging/npm/package-lock.json $to
	(
		cd $to
		# Without HOME npm would write its cache beside the root directory.
		[ -n "${HOME:-}" ] || { HOME=$PWD/home && export HOME; }
		npm ci --no-audit --no-fund --ignore-scripts --no-update-notifier --loglevel=error
	) || die "npm ci failed in $to"
	cp packaging/npm/package-lock.json $to/done
}

missing=$(missing_packages)
# shellcheck disable=SC2086 # one word per package
[ -z "$missing" ] || install_packages $missing
case " $groups " in
*' test '*) install_npm ;;
esac
echo 'setup: everything needed is installed'
