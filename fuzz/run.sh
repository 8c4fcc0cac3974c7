#!/usr/bin/env bash
# Fuzzes every target with the stable compiler, from the seeds and from what was found before. A crash, a hang of five seconds or
# more than 512 MiB ends with status 1 and leaves the input in fuzz/artifacts/TARGET/.
#
#   fuzz/run.sh [SECONDS [TARGET...]]      10 seconds for each of all targets without arguments
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
seconds=${1:-10}
shift $(($# > 0 ? 1 : 0))

target_dir=${CARGO_TARGET_DIR:-$PWD/../target/fuzz}
triple=$(rustc -vV | sed -n 's/^host: //p')
# What cargo-fuzz sets, without the sanitizers, which need a nightly compiler: there is no unsafe code of ours to look at.
coverage="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table"
# With --target the flags are not those of build scripts and macros.
RUSTFLAGS="$coverage --cfg fuzzing" \
    cargo build --quiet --locked --release --target "$triple" --target-dir "$target_dir"

if [ $# = 0 ]; then
    set -- $(cargo metadata --locked --no-deps --format-version 1 | grep -o '"kind":\["bin"\],"crate_types":\["bin"\],"name":"[a-z0-9_]*"' |
        sed 's/.*"name":"\(.*\)"/\1/')
fi
for target in "$@"; do
    mkdir -p "corpus/$target" "artifacts/$target"
    log="artifacts/$target/last-run.log"
    # The first folder is where new inputs go; the seeds are only read.
    if ! "$target_dir/$triple/release/$target" "corpus/$target" "seeds/$target" -max_total_time="$seconds" -timeout=5 \
        -rss_limit_mb=512 -max_len=16384 -print_final_stats=1 -artifact_prefix="artifacts/$target/" >"$log" 2>&1; then
        tail -n 40 "$log"
        printf 'error: %s failed; its input is in fuzz/artifacts/%s/\n' "$target" "$target" >&2
        exit 1
    fi
    printf '%-16s %s executions in %s s\n' "$target" "$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")" "$seconds"
done
