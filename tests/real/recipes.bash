# Sourced by tests/run: how it makes what it caches. Each function's last argument is the folder to make.
# This file is part of each cached folder's name, so a change makes all of them anew.

make_npm() { # FOLDER NEW
  say "installing the npm packages of $1/package-lock.json"
  mkdir "$2"
  cp "$1/package.json" "$1/package-lock.json" "$2/"
  npm ci --prefix "$2" --ignore-scripts --no-audit --no-fund --loglevel=error >&2
}

make_python() { # LOCK NEW
  say "installing the Python packages of $1"
  virtualenv --quiet --python=python3 "$2" >&2
  "$2/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes \
    --requirement "$1" >&2
}

make_kube_rs() { # NEW
  say "building tests/real/kubernetes/kube-rs"
  cargo build --quiet --locked --manifest-path tests/real/kubernetes/kube-rs/Cargo.toml --target-dir "$1.target"
  mkdir -p "$1/debug"
  cp "$1.target/debug/kube-rs-client" "$1/debug/"
}
