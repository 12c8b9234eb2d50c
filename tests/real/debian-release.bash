# Sourced by what needs something of another Debian release: an apt beside the system's, which is
# neither changed nor asked to install anything.
#
# `use_release KIND SUITE FOLDER` fetches the lists (KIND: deb or deb-src) into FOLDER and sets `apt`
# to the command. Where the packages come from is what this machine's own apt says, with the
# suite's name in place of its own; they are checked by the signature as any other.

use_release() {
  local kind=$1 suite=$2 folder=$3
  mkdir -p "$folder"/{lists/partial,cache/archives/partial}
  own_archive "$kind" "$suite" >"$folder/sources.list"
  if [[ ! -s $folder/sources.list ]]; then
    # A machine made anew has no lists, and knows of no archive without them.
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

# The line of the machine's own main archive; never the one of security updates or of others.
own_archive() {
  apt-get indextargets --format '$(ORIGIN) $(COMPONENT) $(REPO_URI) $(RELEASE)' |
    awk -v kind="$1" -v suite="$2" '$1 == "Debian" && $2 == "main" && $4 !~ /-/ {
      print kind, "[signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]", $3, suite, "main"; exit }'
}
