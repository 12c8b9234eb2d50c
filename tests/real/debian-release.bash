# Sourced after cache.bash by scripts that need something from another Debian release. It sets up a
# separate apt, so that the system itself doesn't change.
#
# `use_release KIND SUITE PACKAGE…` sets `apt` to the command, and `resolved` to the versions of these
# packages, for `cached`. KIND is deb or deb-src. The packages come from the archive that this machine's
# own apt uses, with the suite's name in place of its own. apt checks their signatures as usual.
#
# The lists are in the cache too, and are at most an hour old. Without a network, the old ones stay in use.

use_release() {
  local kind=$1 suite=$2 folder=$cache/apt-$1-$2 source
  shift 2
  mkdir -p "$folder"/{lists/partial,cache/archives/partial}
  # Until this script ends. Another run that wants the same then finds it made.
  local lock
  exec {lock}>"$folder/lock"
  flock "$lock"
  source=$(own_archive "$kind" "$suite")
  if [[ ! $source ]]; then
    # A fresh machine has no package lists, and without them apt names no archive.
    update_package_lists
    source=$(own_archive "$kind" "$suite")
  fi
  if [[ ! $source ]]; then
    printf '%s: this machine'\''s apt names no Debian archive\n' "${0##*/}" >&2
    return 1
  fi
  : >"$folder/status"
  local options=(
    -o Dir::Etc::SourceList="$folder/sources.list" -o Dir::Etc::SourceParts=/dev/null
    -o Dir::State::Lists="$folder/lists" -o Dir::State::status="$folder/status"
    -o Dir::Cache="$folder/cache" -o Dir::Cache::pkgcache=pkgcache.bin -o Dir::Cache::srcpkgcache=srcpkgcache.bin
    -o Acquire::Languages=none -o APT::Sandbox::User="$(id -un)" -o Debug::NoLocking=true
  )
  apt=(apt-get "${options[@]}")
  if [[ $source != "$(cat "$folder/sources.list" 2>/dev/null)" ]]; then
    printf '%s\n' "$source" >"$folder/sources.list"
    rm -f "$folder/updated"
  fi
  if [[ ! $(find "$folder/updated" -mmin -60 2>/dev/null) ]]; then
    if "${apt[@]}" update -qq >&2; then
      touch "$folder/updated"
    elif [[ ! -e $folder/updated ]]; then
      return 1
    fi
  fi
  # PACKAGE | VERSION | …, and a source may have several versions at a time.
  resolved=$(apt-cache "${options[@]}" madison "$@" | awk -F ' *[|] *' '{ sub(/^ */, ""); print $1, $2 }' | sort -u)
  if [[ ! $resolved ]]; then
    printf '%s: Debian %s has none of %s\n' "${0##*/}" "$suite" "$*" >&2
    return 1
  fi
}

# Prints the line of the machine's own main archive, never of security updates or other archives.
own_archive() {
  apt-get indextargets --format '$(ORIGIN) $(COMPONENT) $(REPO_URI) $(RELEASE)' |
    awk -v kind="$1" -v suite="$2" '$1 == "Debian" && $2 == "main" && $4 !~ /-/ {
      print kind, "[signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]", $3, suite, "main"; exit }'
}
