#!/usr/bin/env bash
# Builds a real kube-apiserver from Debian's source of Kubernetes 1.20, the last one that has its
# dependencies with it, and unpacks Debian's etcd beside it. Prints the folder that holds both.
#
# The build takes some ten minutes, so its result is cached under a name that changes with this
# script. Nothing is installed.
set -euo pipefail

say() { printf 'build-kube-apiserver.sh: %s\n' "$*" >&2; }

here=$(realpath "$(dirname "${BASH_SOURCE[0]}")")
source "$here/cache.bash"
source "$here/../../packaging/apt.bash"
source "$here/debian-release.bash"

build() { # FOLDER
  local work=${1%/*} go etcd types inputs
  go=$("$here/debian-unpacked.sh" bookworm golang-1.19-go golang-1.19-src)/usr/lib/go-1.19/bin/go
  etcd=$("$here/debian-unpacked.sh" bookworm etcd-server)/usr/bin/etcd
  mkdir -p "$work/source/src/k8s.io/kubernetes" "$1"
  cd "$work"
  "${apt[@]}" source -qq --download-only kubernetes >&2
  tar -xf kubernetes_*.orig.tar.gz -C source/src/k8s.io/kubernetes --strip-components=1
  cp "$etcd" "$1/"

  say "building kube-apiserver, which takes some ten minutes"
  export GOPATH=$work/source GOCACHE=$work/cache GO111MODULE=off CGO_ENABLED=0
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
  local version=k8s.io/component-base/version
  nice -n 15 "$go" build -p 1 -tags providerless -o "$1/kube-apiserver" \
    -ldflags "-s -w -X $version.gitVersion=v1.20.2 -X $version.gitMajor=1 -X $version.gitMinor=20" \
    k8s.io/kubernetes/cmd/kube-apiserver >&2
}

use_release deb-src bookworm kubernetes etcd
cached kube-apiserver "${BASH_SOURCE[0]}" "$here/debian-unpacked.sh" -- build
printf '%s\n' "$folder"
