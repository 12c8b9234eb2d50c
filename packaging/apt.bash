# Sourced by scripts that install Debian packages, as root or with sudo.

# Waits up to five minutes while another apt or dpkg is running.
apt_get() {
  local as_root=()
  if [[ $(id -u) != 0 ]]; then as_root=(sudo); fi
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive LC_ALL=C \
    apt-get -o DPkg::Lock::Timeout=300 "$@"
}

update_package_lists() {
  local log ends=$((SECONDS + 300))
  # apt-get itself doesn't wait for the lock of the package lists.
  until log=$(apt_get update -qq 2>&1); do
    if [[ $log != *'Could not get lock'* ]] || ((SECONDS > ends)); then
      printf '%s\n' "$log" >&2
      return 1
    fi
    sleep 1
  done
}

install_packages() { # PACKAGE…
  local script=${0##*/}
  if ! command -v apt-get >/dev/null; then
    printf '%s: apt-get not found. Install the programs from these Debian packages, then run this script again: %s\n' "$script" "$*" >&2
    return 1
  fi
  printf '%s: installing %s\n' "$script" "$*" >&2
  update_package_lists
  apt_get install -y -qq --no-install-recommends "$@" >&2
}
