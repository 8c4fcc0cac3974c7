#!/usr/bin/env bash
# Installs what the tests need on a Debian machine with git and Rust, and runs all tests.
# Arguments go to `cargo test`, for example: bash .ci/test.sh -p certkit-core
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=lib.sh
. .ci/lib.sh

# The peer that must understand everything that certkit writes. Raised deliberately, with a look at its changes.
certbot_version=5.8.0
certbot_venv=$PWD/target/certbot-venv

# Prints a Python that certbot runs on (3.10 or newer) and that can make virtual environments.
find_python() {
    local python
    for python in python3 /usr/bin/python3 python3.14 python3.13 python3.12 python3.11 python3.10; do
        if "$python" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 10))' >/dev/null 2>&1; then
            printf '%s\n' "$python"
            return 0
        fi
    done
    return 1
}

install_certbot() {
    if [ "$("$certbot_venv/bin/certbot" --version 2>/dev/null)" = "certbot $certbot_version" ]; then
        return 0
    fi
    say "installing certbot $certbot_version into target/certbot-venv"
    local python
    if ! python=$(find_python); then
        install_packages python3 python3-venv
        hash -r
        python=$(find_python) || fail "there is no Python 3.10 or newer with venv"
    fi
    rm -rf "$certbot_venv"
    mkdir -p target
    "$python" -m venv "$certbot_venv"
    retry "$certbot_venv/bin/pip" install --quiet --disable-pip-version-check --retries 5 "certbot==$certbot_version" ||
        fail "certbot could not be installed from PyPI"
}

# `certbot_program` in testkit looks in the same place.
[ -n "${CERTKIT_TEST_CERTBOT:-}" ] || install_certbot

command -v cargo >/dev/null || fail "cargo is missing: install Rust from https://rustup.rs"
# `kill` as a program of its own is in procps; `command -v` would find the shell's.
need cc=gcc pebble=pebble pebble-challtestsrv=pebble nginx=nginx openssl=openssl strace=strace ps=procps unshare=util-linux setpriv=util-linux mount=mount script=bsdutils systemd-analyze=systemd
[ -e /usr/include/stdlib.h ] || install_packages libc6-dev
retry cargo fetch --locked --quiet

say "cargo test"
if [ $# -gt 0 ]; then
    cargo test --locked --no-fail-fast "$@"
else
    cargo test --locked --no-fail-fast --workspace --all-features
fi
