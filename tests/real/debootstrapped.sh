#!/usr/bin/env bash
# Makes the root file system of a Debian release, with git, and prints its folder. It is cached, so it must
# be used below an overlay.
#
#   debootstrapped.sh SUITE
#
# It needs root.
set -euo pipefail

here=$(realpath "$(dirname "${BASH_SOURCE[0]}")")
source "$here/cache.bash"
source "$here/debian-release.bash"

make_root() { # SUITE FOLDER
  local archive
  archive=$(own_archive deb "$1" | sed 's/.*\] \([^ ]*\) .*/\1/')
  if [[ -z $archive ]]; then
    apt-get update -qq >&2
    archive=$(own_archive deb "$1" | sed 's/.*\] \([^ ]*\) .*/\1/')
  fi
  debootstrap --variant=minbase --include=git,ca-certificates,man-db,bash-completion \
    "$1" "$2" "$archive" >"$2.log" 2>&1 || { tail -n 5 "$2.log" >&2; exit 1; }
  rm -rf "$2"/var/cache/apt/archives/*.deb
}

cached "debian-$1" "${BASH_SOURCE[0]}" -- make_root "$1"
printf '%s\n' "$folder"
