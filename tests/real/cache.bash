# Sourced by scripts that need something expensive: a built program, installed packages, a root file
# system. It is made once and cached in ${XDG_CACHE_HOME:-~/.cache}/hallpass-tests, so that a fresh clone
# finds it.
#
# `cached NAME FILE… -- COMMAND…` sets `folder` to NAME-HASH in the cache. The hash covers the contents of
# the files (the recipe and the lock files), the command, the processor, this machine's Debian, and
# `resolved`: the versions of Debian packages that the command takes (see debian-release.bash). If the
# folder is missing, `COMMAND… NEW` makes it under a temporary name, and it is renamed when complete: an
# interrupted run leaves no half of it, and two runs at once don't disturb each other. Nothing may write
# into it afterwards.
#
# The file NAME-HASH.made beside it contains the seconds that this took, and its time is that of the last
# use. What wasn't used for 30 days is removed.
#
# With HALLPASS_TEST_CACHE_LOG=FILE, it adds a line to the file: `warm NAME SECONDS` or
# `cold NAME SECONDS`.

cache=${XDG_CACHE_HOME:-$HOME/.cache}/hallpass-tests
resolved=''
unfinished=''
remove_unfinished() {
  if [[ $unfinished ]]; then
    chmod -R u+w "$unfinished"
    rm -rf "$unfinished"
    unfinished=''
  fi
}
trap remove_unfinished EXIT
mkdir -p "$cache"
# What a killed run left.
find "$cache" -mindepth 1 -maxdepth 1 -name '*.tmp-??????' -mtime +1 -exec rm -rf {} +
while read -r unused; do
  rm -rf "${unused%.made}" "$unused"
done < <(find "$cache" -mindepth 1 -maxdepth 1 -name '*.made' -mtime +30)

cached() {
  local name=$1 recipe=()
  shift
  while [[ $1 != -- ]]; do
    recipe+=("$1")
    shift
  done
  shift
  local hash
  hash=$({
    cat "${recipe[@]}"
    printf '%s\n' "$@"
    uname -m
    cat /etc/debian_version 2>/dev/null || :
    if [[ $resolved ]]; then printf '%s\n' "$resolved"; fi
  } | sha256sum | head -c 12)
  folder=$cache/$name-$hash
  local made=$folder.made state=warm started=$SECONDS
  if [[ ! -e $folder ]]; then
    state=cold
    unfinished=$(mktemp -d "$cache/$name.tmp-XXXXXX")
    chmod 755 "$unfinished"
    "$@" "$unfinished/new"
    printf '%d\n' $((SECONDS - started)) >"$made"
    # Another run may have finished first.
    mv -T "$unfinished/new" "$folder" 2>/dev/null || [[ -e $folder ]]
    remove_unfinished
  fi
  touch "$made"
  if [[ ${HALLPASS_TEST_CACHE_LOG-} ]]; then
    printf '%s %s %d\n' $state "$name" "$(<"$made")" >>"$HALLPASS_TEST_CACHE_LOG"
  fi
}
