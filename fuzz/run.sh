#!/usr/bin/env bash
# Builds the fuzz targets, and runs them:
#
#     bash fuzz/run.sh                  # all targets, 20 s each
#     bash fuzz/run.sh 600 crl pem      # these targets, 600 s each
#     bash fuzz/run.sh merge            # adds the new inputs that reach new code to fuzz/corpus
#
# Every toolchain can build them; RUSTUP_TOOLCHAIN chooses one. The flags are those of cargo-fuzz
# without a sanitizer: the crate forbids unsafe code, and without one there are ten times as many runs.
# A run starts from fuzz/corpus and from the inputs that earlier runs found, which are kept in the
# target folder, in `fuzz-corpus`. An input that fails is written to fuzz/artifacts.
set -euo pipefail
cd "$(dirname "$0")"

seconds=20
merge=false
case "${1:-}" in
    merge) merge=true; shift ;;
    [0-9]*) seconds=$1; shift ;;
esac
targets=("$@")
if ((${#targets[@]} == 0)); then
    for file in fuzz_targets/*.rs; do targets+=("$(basename "$file" .rs)"); done
fi

export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$PWD/target}"
kept="$CARGO_TARGET_DIR/fuzz-corpus"
host=$(rustc -vV | sed -n 's/^host: //p')
coverage="-Cpasses=sancov-module"
for option in \
    -sanitizer-coverage-level=4 \
    -sanitizer-coverage-inline-8bit-counters \
    -sanitizer-coverage-pc-table \
    -sanitizer-coverage-trace-compares \
    -sanitizer-coverage-stack-depth \
    -simplifycfg-branch-fold-threshold=0; do
    coverage+=" -Cllvm-args=$option"
done
# With --target, the flags do not reach build scripts and macros.
RUSTFLAGS="$coverage -Ccodegen-units=1 -Cdebug-assertions --cfg fuzzing" \
    cargo build --locked --release --bins --target "$host"

# Keeps only inputs that reach code which no other input reaches.
merge() {
    local log="$CARGO_TARGET_DIR/fuzz-$1.merge.log"
    shift
    "$@" >"$log" 2>&1 || { cat "$log"; return 1; }
}

fuzz() {
    local target=$1 program="$CARGO_TARGET_DIR/$host/release/$1" found
    mkdir -p "$kept/$target" "artifacts/$target"
    if $merge; then
        merge "$target" "$program" -merge=1 "corpus/$target" "$kept/$target"
        echo "$target: $(find "corpus/$target" -type f | wc -l) inputs in the corpus"
        return
    fi
    "$program" -max_total_time="$seconds" -timeout=10 -print_final_stats=1 \
        -artifact_prefix="artifacts/$target/" "$kept/$target" "corpus/$target"
    found=$(mktemp -d)
    merge "$target" "$program" -merge=1 "$found" "$kept/$target" "corpus/$target"
    rm -rf "${kept:?}/$target"
    mv "$found" "$kept/$target"
    echo "$target: $(find "$kept/$target" -type f | wc -l) inputs are kept"
}

# As many at a time as there are processors.
failed=()
declare -A running=()
finish_one() {
    local finished code=0 target
    wait -n -p finished "${!running[@]}" || code=$?
    target=${running[$finished]}
    unset "running[$finished]"
    printf '\n--- %s\n' "$target"
    # Neither progress nor dictionaries, nor the sanitizer's functions that are missing.
    grep -avE '^(#[0-9]|"|#####|.*NEW_FUNC|INFO|WARNING: Failed to find function)' "$CARGO_TARGET_DIR/fuzz-$target.log" || true
    if ((code != 0)); then failed+=("$target"); fi
}
for target in "${targets[@]}"; do
    if ((${#running[@]} >= $(nproc))); then finish_one; fi
    (set -e; fuzz "$target") >"$CARGO_TARGET_DIR/fuzz-$target.log" 2>&1 </dev/null &
    running[$!]=$target
done
while ((${#running[@]})); do finish_one; done

if ((${#failed[@]})); then
    echo "FAILED: ${failed[*]}"
    exit 1
fi
