#!/usr/bin/env bash
# Unpacks packages of another Debian release into a folder of their own. The system itself doesn't
# change.
#
#   debian-unpacked.sh FOLDER SUITE PACKAGE…
#
# FOLDER is replaced unless it already holds these packages.
set -euo pipefail

folder=$1 suite=$2
shift 2
wanted="$suite: $*"
if [[ $(cat "$folder/.holds" 2>/dev/null) == "$wanted" ]]; then exit 0; fi

source "$(dirname "${BASH_SOURCE[0]}")/debian-release.bash"
here=$(mktemp -d)
trap 'rm -rf "$here"' EXIT
use_release deb "$suite" "$here"
mkdir "$here/debs"
(cd "$here/debs" && "${apt[@]}" download -qq "$@")

rm -rf "$folder"
mkdir -p "$folder"
for deb in "$here"/debs/*.deb; do dpkg -x "$deb" "$folder"; done
printf '%s\n' "$wanted" >"$folder/.holds"
