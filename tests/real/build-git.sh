#!/usr/bin/env bash
# Builds git from the source of another Debian release, and prints its folder, which has bin/git. It is
# cached. The cases need a git that supports `state[]` (2.46 and later), one that doesn't, and the newest.
#
#   build-git.sh trixie
#
# It installs nothing from the other release.
set -euo pipefail

say() { printf 'build-git.sh: %s\n' "$*" >&2; }

here=$(realpath "$(dirname "${BASH_SOURCE[0]}")")
source "$here/cache.bash"
source "$here/../../packaging/apt.bash"
source "$here/debian-release.bash"

build_git() { # RELEASE FOLDER
  local work=${2%/*} needed
  needed=(gcc make libc6-dev libcurl4-openssl-dev zlib1g-dev xz-utils)
  if ! dpkg-query --show "${needed[@]}" >/dev/null 2>&1; then
    install_packages "${needed[@]}"
  fi
  mkdir "$work/source"
  (cd "$work" && "${apt[@]}" source -qq --download-only git >&2)
  tar -xf "$work"/git_*.orig.tar.xz -C "$work/source" --strip-components=1

  say "building git of Debian $1"
  # git remembers where it is installed: the final name, not the temporary one.
  make -C "$work/source" -s -j "$(nproc)" NO_GETTEXT=1 NO_TCLTK=1 NO_PERL=1 NO_PYTHON=1 NO_EXPAT=1 \
    NO_OPENSSL=1 NO_RUST=1 CFLAGS=-O1 "prefix=$folder" "DESTDIR=$work/root" all install >"$work/log" 2>&1 ||
    { tail -n 30 "$work/log" >&2; exit 1; }
  mv "$work/root$folder" "$2"
  "$2/bin/git" --version >&2
}

use_release deb-src "$1" git
cached "git-$1" "${BASH_SOURCE[0]}" -- build_git "$1"
printf '%s\n' "$folder"
