#!/usr/bin/env bash
# Builds a real kube-apiserver from Debian's source of Kubernetes 1.20, the last one that has its
# dependencies with it, and unpacks Debian's etcd beside it. Prints the folder that holds both.
#
# The build takes some ten minutes, so its result is cached under a name that changes with this
# script. Nothing is installed.
set -euo pipefail

here=$(realpath "$(dirname "${BASH_SOURCE[0]}")")
hash=$(sha256sum "${BASH_SOURCE[0]}" | head -c 12)
folder=${XDG_CACHE_HOME:-$HOME/.cache}/hallpass-tests/kube-apiserver-$hash
if [[ -e $folder ]]; then
  printf '%s\n' "$folder"
  exit 0
fi

say() { printf 'build-kube-apiserver.sh: %s\n' "$*" >&2; }

mkdir -p "$(dirname "$folder")"
# On the same file system, so that the finished folder can be renamed.
work=$(mktemp -d "$folder.XXXXXX")
trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT

source "$here/debian-release.bash"
use_release deb-src bookworm "$work/apt"
mkdir -p "$work/source/src/k8s.io/kubernetes" "$work/done"
cd "$work"
"${apt[@]}" source -qq --download-only kubernetes >&2
tar -xf kubernetes_*.orig.tar.gz -C source/src/k8s.io/kubernetes --strip-components=1
"$here/debian-unpacked.sh" "$work/go" bookworm golang-1.19-go golang-1.19-src >&2
"$here/debian-unpacked.sh" "$work/etcd" bookworm etcd-server >&2
cp etcd/usr/bin/etcd done/

say "building kube-apiserver, which takes some ten minutes"
export GOPATH=$work/source GOCACHE=$work/cache GO111MODULE=off CGO_ENABLED=0
go=$work/go/usr/lib/go-1.19/bin/go
cd source/src/k8s.io/kubernetes
# The one generated file that the source lacks: the definitions of all types that are served.
mapfile -t types < <(
  grep -rl '+k8s:openapi-gen=' --include='*.go' \
    vendor/k8s.io/{api,apiextensions-apiserver,apimachinery,apiserver,client-go,kube-aggregator}/ |
    grep -v 'zz_generated\|/example' | xargs -n1 dirname | sort -u
)
inputs=$(printf ',k8s.io/kubernetes/%s' "${types[@]}")
nice -n 15 "$go" run k8s.io/kubernetes/vendor/k8s.io/kube-openapi/cmd/openapi-gen --logtostderr \
  -i "${inputs:1}" -p k8s.io/kubernetes/pkg/generated/openapi -O zz_generated.openapi \
  -h vendor/k8s.io/code-generator/hack/boilerplate.go.txt -r "$work/report" \
  --output-base "$work/source/src" >&2
# One package at a time, so that the machine stays usable. All dependencies are in the source. The
# clouds' own controllers would take as long again.
version=k8s.io/component-base/version
nice -n 15 "$go" build -p 1 -tags providerless -o "$work/done/kube-apiserver" \
  -ldflags "-s -w -X $version.gitVersion=v1.20.2 -X $version.gitMajor=1 -X $version.gitMinor=20" \
  k8s.io/kubernetes/cmd/kube-apiserver >&2
cd "$work"
# Another run may have finished first.
mv -T done "$folder" 2>/dev/null || [[ -e $folder/kube-apiserver ]]
printf '%s\n' "$folder"
