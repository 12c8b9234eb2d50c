#!/usr/bin/env bash
# Makes the root file system of a Debian release with some packages, and prints its folder. It is cached,
# so it must be used below an overlay.
#
#   debootstrapped.sh SUITE PACKAGE…
#
# It needs root.
set -euo pipefail

here=$(realpath "$(dirname "${BASH_SOURCE[0]}")")
source "$here/cache.bash"
source "$here/../../packaging/apt.bash"
source "$here/debian-release.bash"

make_root() { # SUITE PACKAGE… FOLDER
  local new=${*: -1} packages
  packages=$(printf ',%s' "${@:2:$#-2}")
  debootstrap --variant=minbase --include="${packages:1}" "$1" "$new" \
    "$(own_archive deb "$1" | sed 's/.*\] \([^ ]*\) .*/\1/')" >"$new.log" 2>&1 || { tail -n 5 "$new.log" >&2; exit 1; }
  rm -rf "$new"/var/cache/apt/archives/*.deb
}

# The version of base-files is that of the point release.
use_release deb "$1" base-files "${@:2}"
cached "debian-$1" "${BASH_SOURCE[0]}" -- make_root "$@"
printf '%s\n' "$folder"
