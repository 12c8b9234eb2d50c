#!/usr/bin/env bash
# Builds git from the source of another Debian release: the cases need a git that supports `state[]`
# (2.46 and later), one that doesn't, and the newest.
#
#   build-git.sh trixie FOLDER      FOLDER/bin/git
#
# It installs nothing from the other release.
set -euo pipefail

release=$1
folder=$(realpath -m "$2")

say() { printf 'build-git.sh: %s\n' "$*" >&2; }

as_root=()
if [[ $(id -u) != 0 ]]; then as_root=(sudo); fi
needed=(gcc make libc6-dev libcurl4-openssl-dev zlib1g-dev xz-utils)
if ! dpkg-query --show "${needed[@]}" >/dev/null 2>&1; then
  say "installing ${needed[*]}"
  "${as_root[@]}" apt-get update -qq
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y -qq --no-install-recommends "${needed[@]}" >&2
fi

source "$(dirname "${BASH_SOURCE[0]}")/debian-release.bash"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
use_release deb-src "$release" "$work"
mkdir "$work/source"
cd "$work"
"${apt[@]}" source -qq --download-only git >&2
tar -xf git_*.orig.tar.xz -C source --strip-components=1

say "building git of Debian $release"
rm -rf "$folder"
make -C source -s -j "$(nproc)" NO_GETTEXT=1 NO_TCLTK=1 NO_PERL=1 NO_PYTHON=1 NO_EXPAT=1 \
  NO_OPENSSL=1 NO_RUST=1 CFLAGS=-O1 "prefix=$folder" all install >"$work/log" 2>&1 ||
  { tail -n 30 "$work/log" >&2; exit 1; }
"$folder/bin/git" --version >&2
touch "$folder/.whole"
