# Sourced by scripts that need something from another Debian release. It sets up a separate apt, so
# that the system itself doesn't change.
#
# `use_release KIND SUITE FOLDER` fetches the lists (KIND: deb or deb-src) into FOLDER and sets `apt`
# to the command. The packages come from the archive that this machine's own apt uses, with the
# suite's name in place of its own. apt checks their signatures as usual.

use_release() {
  local kind=$1 suite=$2 folder=$3
  mkdir -p "$folder"/{lists/partial,cache/archives/partial}
  own_archive "$kind" "$suite" >"$folder/sources.list"
  if [[ ! -s $folder/sources.list ]]; then
    # A fresh machine has no package lists, and without them apt names no archive.
    local as_root=()
    if [[ $(id -u) != 0 ]]; then as_root=(sudo); fi
    "${as_root[@]}" apt-get update -qq
    own_archive "$kind" "$suite" >"$folder/sources.list"
  fi
  if [[ ! -s $folder/sources.list ]]; then
    printf '%s: this machine'\''s apt names no Debian archive\n' "${0##*/}" >&2
    return 1
  fi
  : >"$folder/status"
  apt=(
    apt-get
    -o Dir::Etc::SourceList="$folder/sources.list" -o Dir::Etc::SourceParts=/dev/null
    -o Dir::State::Lists="$folder/lists" -o Dir::State::status="$folder/status"
    -o Dir::Cache="$folder/cache" -o APT::Sandbox::User="$(id -un)" -o Debug::NoLocking=true
  )
  "${apt[@]}" update -qq
}

# Prints the line of the machine's own main archive, never of security updates or other archives.
own_archive() {
  apt-get indextargets --format '$(ORIGIN) $(COMPONENT) $(REPO_URI) $(RELEASE)' |
    awk -v kind="$1" -v suite="$2" '$1 == "Debian" && $2 == "main" && $4 !~ /-/ {
      print kind, "[signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]", $3, suite, "main"; exit }'
}
