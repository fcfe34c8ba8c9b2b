#!/usr/bin/env bash
# Builds the fuzz targets, and runs them:
#
#     bash fuzz/run.sh                  # all targets, 20 s each
#     bash fuzz/run.sh 600 crl pem      # these targets, 600 s each
#     bash fuzz/run.sh replay           # every input in fuzz/corpus once: CI does this, as a search is another each time
#     bash fuzz/run.sh curve 64 crl     # this target for 64 s, from fuzz/corpus alone: edges over time
#     bash fuzz/run.sh table            # the curves of the runs so far
#     bash fuzz/run.sh merge            # adds the new inputs that reach new code to fuzz/corpus
#
# The last line of each target has the edges of the code that its inputs reach (cov), the features that
# libFuzzer counts (ft: edges with how often they are taken), the runs, and the inputs that are kept.
# `curve` appends a row to fuzz-curves.tsv in the target folder for each doubling of the time, and prints
# all rows of its targets as a table.
#
# Targets that compare with OpenSSL do so where pkg-config finds libcrypto.
# Every toolchain can build them; RUSTUP_TOOLCHAIN chooses one. The flags are those of cargo-fuzz
# without a sanitizer: the crate forbids unsafe code, and without one there are ten times as many runs.
# A run starts from fuzz/corpus and from the inputs that earlier runs found, which are kept in the
# target folder, in `fuzz-corpus`. An input that fails is written to fuzz/artifacts.
set -euo pipefail
cd "$(dirname "$0")"

seconds=20
merge=false
curve=false
replay=false
shows=false
case "${1:-}" in
    merge) merge=true; shift ;;
    replay) replay=true; shift ;;
    table) shows=true; shift ;;
    curve) curve=true; seconds=$2; shift 2 ;;
    [0-9]*) seconds=$1; shift ;;
esac
targets=("$@")
if ((${#targets[@]} == 0)); then
    for file in fuzz_targets/*.rs; do targets+=("$(basename "$file" .rs)"); done
fi

export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$PWD/target}"
kept="$CARGO_TARGET_DIR/fuzz-corpus"

# The edges after each doubling of the time, and at the end.
table() {
    echo
    echo '| target | seconds | runs | edges after 1, 2, 4, … s, and at the end |'
    echo '|---|---|---|---|'
    local target
    for target in "${targets[@]}"; do
        grep -a "^$target"$'\t' "$CARGO_TARGET_DIR/fuzz-curves.tsv" | sort -s -n -k 2,2 |
            awk -F '\t' '{ edges = edges (NR > 1 ? ", " : "") $3; time = $2; runs = $5 }
                END { if (NR) printf "| `%s` | %d | %d | %s |\n", $1, time, runs, edges }' || true
    done
}
if $shows; then
    table
    exit
fi
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
features=()
if pkg-config --exists libcrypto 2>/dev/null; then features=(--features openssl); fi
# With --target, the flags do not reach build scripts and macros.
RUSTFLAGS="$coverage -Ccodegen-units=1 -Cdebug-assertions --cfg fuzzing" \
    cargo build --locked --release --bins --target "$host" "${features[@]}"

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
        merge "$target" "$program" -merge=1 -use_counters=0 "corpus/$target" "$kept/$target"
        echo "$target: $(find "corpus/$target" -type f | wc -l) inputs in the corpus"
        return
    fi
    if $replay; then
        "$program" -runs=0 -timeout=10 -artifact_prefix="artifacts/$target/" "corpus/$target"
        summary "$target" "corpus/$target"
        return
    fi
    found=$(mktemp -d)
    if $curve; then
        "$program" -max_total_time="$seconds" -timeout=10 \
            -artifact_prefix="artifacts/$target/" "$found" "corpus/$target" 2>&1 | timed "$target"
        cp -r "$found/." "$kept/$target"
        rm -rf "$found"
        summary "$target"
        return
    fi
    "$program" -max_total_time="$seconds" -timeout=10 -print_final_stats=1 \
        -artifact_prefix="artifacts/$target/" "$kept/$target" "corpus/$target" || {
        rm -rf "$found"
        return 1
    }
    merge "$target" "$program" -merge=1 "$found" "$kept/$target" "corpus/$target"
    rm -rf "${kept:?}/$target"
    mv "$found" "$kept/$target"
    summary "$target"
}

# The last line of a run: `#12 DONE cov: 1 ft: 2 corp: 3/4b lim: 5 exec/s: 6 rss: 7Mb`.
summary() {
    local target=$1 inputs=${2:-$kept/$1} done
    done=$(grep -aE '^#[0-9]+[[:space:]]+DONE' "$CARGO_TARGET_DIR/fuzz-$target.log" | tail -n 1)
    echo "$target: $(field cov "$done") edges, $(field ft "$done") features, $(runs "$done") runs," \
        "$(field exec/s "$done")/s, $(find "$inputs" -type f | wc -l) inputs are kept"
}
field() { sed -nE "s|.* $1: ([0-9]+).*|\\1|p" <<<"$2"; }
runs() { sed -nE 's/^#([0-9]+).*/\1/p' <<<"$1"; }

# Copies the log of a run, and appends a row to the curves for each doubling of the time.
timed() {
    local target=$1 line row='' next=1 start=$SECONDS rows="$CARGO_TARGET_DIR/fuzz-curves.tsv"
    put() { printf '%s\t%s\t%s\n' "$target" "$next" "$row" >>"$rows"; }
    sed -i "/^$target\t/d" "$rows" 2>/dev/null || true
    while IFS= read -r line; do
        printf '%s\n' "$line"
        if [[ $line != '#'*cov:* ]]; then continue; fi
        while ((SECONDS - start >= next)); do
            put
            next=$((next * 2))
        done
        if [[ $line =~ ^#([0-9]+).*cov:\ ([0-9]+)\ ft:\ ([0-9]+)\ corp:\ ([0-9]+) ]]; then
            row="${BASH_REMATCH[2]}"$'\t'"${BASH_REMATCH[3]}"$'\t'"${BASH_REMATCH[1]}"$'\t'"${BASH_REMATCH[4]}"
        fi
    done
    next=$((SECONDS - start))
    put
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
if $curve; then table; fi

if ((${#failed[@]})); then
    echo "FAILED: ${failed[*]}"
    exit 1
fi
