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

# The second certificate authority, with the server that it runs under. testkit knows its config and its insides a
# little: raised deliberately as well.
acme2certifier_version=0.46.3
waitress_version=3.0.2
acme2certifier_venv=$PWD/target/acme2certifier-venv

# The mail server, which has to understand what certkit sends.
aiosmtpd_version=1.4.6
aiosmtpd_venv=$PWD/target/aiosmtpd-venv

# Prints a Python that they run on (3.10 or newer) and that can make virtual environments.
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
    make_venv "$certbot_venv" "certbot==$certbot_version"
}

install_acme2certifier() {
    if [ "$(installed_in "$acme2certifier_venv")" = "$acme2certifier_version $waitress_version" ]; then
        return 0
    fi
    say "installing acme2certifier $acme2certifier_version into target/acme2certifier-venv"
    make_venv "$acme2certifier_venv" "acme2certifier==$acme2certifier_version" "waitress==$waitress_version"
}

install_aiosmtpd() {
    if [ "$("$aiosmtpd_venv/bin/python" -c 'from importlib.metadata import version; print(version("aiosmtpd"))' 2>/dev/null)" = "$aiosmtpd_version" ]; then
        return 0
    fi
    say "installing aiosmtpd $aiosmtpd_version into target/aiosmtpd-venv"
    make_venv "$aiosmtpd_venv" "aiosmtpd==$aiosmtpd_version"
}

# Prints the versions of acme2certifier and waitress in a virtual environment.
installed_in() {
    "$1/bin/python" -c 'from importlib.metadata import version as v; print(v("acme2certifier"), v("waitress"))' 2>/dev/null
}

# make_venv FOLDER REQUIREMENT...: a new virtual environment with these packages from PyPI.
make_venv() {
    local venv=$1 python
    shift
    if ! python=$(find_python); then
        install_packages python3 python3-venv
        hash -r
        python=$(find_python) || fail "there is no Python 3.10 or newer with venv"
    fi
    rm -rf "$venv"
    mkdir -p target
    "$python" -m venv "$venv"
    retry "$venv/bin/pip" install --quiet --disable-pip-version-check --retries 5 "$@" ||
        fail "could not be installed from PyPI: $*"
}

# `certbot_program` in testkit looks in the same place.
[ -n "${CERTKIT_TEST_CERTBOT:-}" ] || install_certbot
# `Acme2Certifier` in testkit likewise.
[ -n "${CERTKIT_TEST_ACME2CERTIFIER_PYTHON:-}" ] || install_acme2certifier
# `Smtp` in testkit likewise.
[ -n "${CERTKIT_TEST_AIOSMTPD_PYTHON:-}" ] || install_aiosmtpd

command -v cargo >/dev/null || fail "cargo is missing: install Rust from https://rustup.rs"
# `kill` as a program of its own is in procps; `command -v` would find the shell's.
need cc=gcc chromium=chromium postfix=postfix /usr/lib/dovecot/imap-login=dovecot-imapd /usr/lib/dovecot/pop3-login=dovecot-pop3d pebble=pebble pebble-challtestsrv=pebble nginx=nginx haproxy=haproxy faketime=faketime openssl=openssl strace=strace ps=procps unshare=util-linux setpriv=util-linux mount=mount chattr=e2fsprogs ip=iproute2 tc=iproute2 nft=nftables script=bsdutils promtool=prometheus prometheus=prometheus systemd-analyze=systemd
[ -e /usr/include/stdlib.h ] || install_packages libc6-dev
retry cargo fetch --locked --quiet

say "cargo test"
if [ $# -gt 0 ]; then
    cargo test --locked --no-fail-fast "$@"
else
    cargo test --locked --no-fail-fast --workspace --all-features
fi
