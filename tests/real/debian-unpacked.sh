#!/usr/bin/env bash
# Unpacks packages of another Debian release, and prints their folder. It is cached. The system itself
# doesn't change.
#
#   debian-unpacked.sh SUITE PACKAGE…
set -euo pipefail

here=$(realpath "$(dirname "${BASH_SOURCE[0]}")")
source "$here/cache.bash"
source "$here/../../packaging/apt.bash"
source "$here/debian-release.bash"

unpack() { # SUITE PACKAGE… FOLDER
  local new=${*: -1} work deb
  work=${new%/*}
  mkdir "$work/debs"
  (cd "$work/debs" && "${apt[@]}" download -qq "${@:2:$#-2}")
  mkdir "$new"
  for deb in "$work"/debs/*.deb; do dpkg -x "$deb" "$new"; done
}

use_release deb "$@"
cached "debian-packages-$1-$2" "${BASH_SOURCE[0]}" -- unpack "$@"
printf '%s\n' "$folder"
