#!/usr/bin/env bash
# Makes the root file system of a Debian release, with git, and prints its folder. It must be used
# read-only (below an overlay), because it is cached under a name that changes with this script.
#
#   debootstrapped.sh SUITE
#
# It needs root.
set -euo pipefail

suite=$1
here=$(realpath "$(dirname "${BASH_SOURCE[0]}")")
hash=$(sha256sum "${BASH_SOURCE[0]}" | head -c 12)
folder=${XDG_CACHE_HOME:-$HOME/.cache}/hallpass-tests/debian-$suite-$hash
if [[ -e $folder ]]; then
  printf '%s\n' "$folder"
  exit 0
fi

mkdir -p "$(dirname "$folder")"
# On the same file system, so that the finished folder can be renamed.
work=$(mktemp -d "$folder.XXXXXX")
trap 'rm -rf "$work"' EXIT
source "$here/debian-release.bash"
mkdir -p "$work/apt"
archive=$(own_archive deb "$suite" | sed 's/.*\] \([^ ]*\) .*/\1/')
if [[ -z $archive ]]; then
  apt-get update -qq >&2
  archive=$(own_archive deb "$suite" | sed 's/.*\] \([^ ]*\) .*/\1/')
fi
chmod 755 "$work"
debootstrap --variant=minbase --include=git,ca-certificates,man-db,bash-completion \
  "$suite" "$work/root" "$archive" >"$work/log" 2>&1 || { tail -n 5 "$work/log" >&2; exit 1; }
rm -rf "$work"/root/var/cache/apt/archives/*.deb
# Another run may have finished first.
mv -T "$work/root" "$folder" 2>/dev/null || [[ -e $folder/etc/debian_version ]]
printf '%s\n' "$folder"
