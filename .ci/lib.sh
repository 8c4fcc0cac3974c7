# Shell functions for .ci/run, .ci/test.sh and examples/demo.sh. To be sourced, not run.
# shellcheck shell=bash

# Programs of the system (nginx) are not on every user's PATH.
PATH="$PATH:/usr/sbin:/sbin"

say() {
    printf '\n==> %s\n' "$*"
}

fail() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

# retry COMMAND...: three tries, for what goes through the network.
retry() {
    local try
    for try in 1 2 3; do
        "$@" && return 0
        [ "$try" = 3 ] || sleep $((try * 5))
    done
    return 1
}

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    else
        sudo -n "$@"
    fi
}

# need PROGRAM=PACKAGE...: installs the packages whose programs are missing, and only those. Services that come with
# them are not started, and one that runs already is left alone.
need() {
    local pair missing=()
    for pair in "$@"; do
        if ! command -v "${pair%%=*}" >/dev/null; then
            missing+=("${pair#*=}")
        fi
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    install_packages "${missing[@]}"
    hash -r
    for pair in "$@"; do
        command -v "${pair%%=*}" >/dev/null || fail "${pair%%=*} is still missing after ${pair#*=} was installed"
    done
}

# In a subshell, so that its trap does not replace the caller's.
install_packages() (
    say "installing: $*"
    command -v apt-get >/dev/null || fail "please install $*; this script can do it only where there is apt-get"
    if [ "$(id -u)" != 0 ] && ! sudo -n true 2>/dev/null; then
        fail "please run as root: apt-get install -y --no-install-recommends $*"
    fi
    # 101 means "forbidden by policy" to invoke-rc.d. A policy that the owner has set stays in force instead of ours.
    policy=/usr/sbin/policy-rc.d
    if [ ! -e "$policy" ] && [ ! -L "$policy" ]; then
        trap 'as_root rm -f "$policy"' EXIT
        as_root install -m 755 /dev/stdin "$policy" <<<$'#!/bin/sh\nexit 101'
    fi
    as_root apt-get -q -o Acquire::Retries=3 update </dev/null >/dev/null || true
    retry as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o Acquire::Retries=3 \
        -o Dpkg::Use-Pty=0 install --no-install-recommends "$@" </dev/null || fail "apt-get could not install: $*"
)

# The folder that cargo builds in.
target_dir() {
    cargo metadata --format-version 1 --no-deps | sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p'
}
