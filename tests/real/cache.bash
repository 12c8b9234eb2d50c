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
# Prints what is mounted below a folder, the deepest first.
mounted_below() { # FOLDER
  local folder place
  folder=$(realpath -e -- "$1") || return
  while read -r _ place _; do
    # A space is \040 there.
    printf -v place %b "$place"
    if [[ $place == "$folder"/* ]]; then printf '%s\n' "$place"; fi
  done </proc/self/mounts | sort -r
}
# Removes a folder or file. A killed debootstrap leaves /proc and /sys mounted in it, and nothing may change
# or remove what is in those. What can't be removed stays, with a warning.
remove_from_cache() { # PATH
  local place
  if [[ ! -e $1 && ! -L $1 ]]; then return; fi
  if [[ -d $1 && ! -L $1 ]]; then
    while read -r place; do
      umount "$place" || umount --lazy "$place" || :
    done < <(mounted_below "$1")
    if ! place=$(mounted_below "$1") || [[ $place ]]; then
      printf 'cache.bash: warning: something is mounted below %s, so it stays\n' "$1" >&2
      return
    fi
    # Only folders, because files may be linked to others in the cache.
    find "$1" -xdev -type d ! -perm -u=w -exec chmod u+w {} + || :
  fi
  rm -rf --one-file-system "$1" || printf 'cache.bash: warning: %s could not be removed\n' "$1" >&2
}
remove_unfinished() {
  if [[ $unfinished ]]; then
    remove_from_cache "$unfinished"
    unfinished=''
  fi
}
trap remove_unfinished EXIT
mkdir -p "$cache"
# What a killed run left.
while read -r unused; do
  remove_from_cache "$unused"
done < <(find "$cache" -mindepth 1 -maxdepth 1 -name '*.tmp-??????' -mtime +1)
while read -r unused; do
  remove_from_cache "${unused%.made}"
  # Else the next run tries again.
  if [[ ! -e ${unused%.made} ]]; then remove_from_cache "$unused"; fi
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
