#!/usr/bin/env bash
# Unpacks packages of a Debian release into a folder of their own, beside the system's, which is
# neither changed nor asked to install anything.
#
#   debian-unpacked.sh FOLDER SUITE PACKAGE…
#
# Where the packages come from is what this machine's own apt says, with the suite's name in place
# of its own; they are checked by the signature as any other. FOLDER is made anew where it does
# not hold these packages already.
set -euo pipefail

folder=$1 suite=$2
shift 2
wanted="$suite: $*"
if [[ $(cat "$folder/.holds" 2>/dev/null) == "$wanted" ]]; then exit 0; fi

here=$(mktemp -d)
trap 'rm -rf "$here"' EXIT
mkdir -p "$here"/{lists/partial,cache/archives/partial,etc,debs}

# The line of the machine's own main archive; never the one of security updates or of others.
apt-get indextargets --format '$(ORIGIN) $(COMPONENT) $(REPO_URI) $(RELEASE)' |
  awk -v suite="$suite" '$1 == "Debian" && $2 == "main" && $4 !~ /-/ {
    print "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]", $3, suite, "main"; exit }' \
  >"$here/sources.list"
if [[ ! -s $here/sources.list ]]; then
  echo "debian-unpacked.sh: this machine's apt names no Debian archive: run apt-get update" >&2
  exit 1
fi

: >"$here/status"
options=(
  -o Dir::Etc::SourceList="$here/sources.list" -o Dir::Etc::SourceParts=/dev/null
  -o Dir::State::Lists="$here/lists" -o Dir::State::status="$here/status"
  -o Dir::Cache="$here/cache" -o APT::Sandbox::User="$(id -un)" -o Debug::NoLocking=true
)
apt-get "${options[@]}" update -qq
(cd "$here/debs" && apt-get "${options[@]}" download -qq "$@")

rm -rf "$folder"
mkdir -p "$folder"
for deb in "$here"/debs/*.deb; do dpkg -x "$deb" "$folder"; done
printf '%s\n' "$wanted" >"$folder/.holds"
