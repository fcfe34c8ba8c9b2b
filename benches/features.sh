#!/usr/bin/env bash
# Prints what each set of features costs to build: the number of crates, and the time of a cold build.
#
#     bash benches/features.sh            # all sets, in a temporary target folder
#
# It downloads everything before the clock starts. The count includes build scripts and macros, and
# excludes this crate.
set -euo pipefail
cd "$(dirname "$0")/.."

SETS=(
    "--no-default-features --features ring"
    "--no-default-features --features aws-lc-rs"
    "" # the default: aws-lc-rs and tokio
    "--no-default-features --features ring,tokio"
    "--features audit-json"
    "--features metrics"
    "--features notify"
    "--features http"
    "--features tower"
    "--features hyper"
    "--features axum"
    "--features tonic"
    "--features stream"
    "--features spiffe"
    "--features audit-json,metrics,notify,spiffe-bundle,webpki-roots,tower,hyper,axum,tonic,stream,spiffe"
)

cargo fetch --locked --quiet
target=$(mktemp -d)
trap 'rm -rf "$target"' EXIT
printf '%-90s %7s %12s\n' "features" "crates" "cold build"
for set in "${SETS[@]}"; do
    # shellcheck disable=SC2086 # several words
    crates=$(cargo tree --locked $set --edges normal,build --prefix none --format '{p}' |
        sed 's/ (\*)$//' | sort -u | grep -cv '^countersign ')
    rm -rf "$target"/*
    start=$(date +%s.%N)
    # shellcheck disable=SC2086
    CARGO_TARGET_DIR="$target" cargo build --locked --quiet --lib $set
    end=$(date +%s.%N)
    seconds=$(awk "BEGIN { print $end - $start }")
    printf '%-90s %7d %10.1f s\n' "${set:-(default)}" "$crates" "$seconds"
done
