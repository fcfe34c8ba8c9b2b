#!/usr/bin/env bash
# The README's first steps, as a newcomer makes them: an empty folder, `cargo add`, the README's program,
# development certificates, and curl, which is allowed with one certificate and denied with another.
#
#     bash manual/newcomer.sh
#
# Fails when any step has another result than the README says. Needs curl. COUNTERSIGN may name an
# installed `countersign`; otherwise the tool of this repository is built. PORT is 18443 by default.
set -euo pipefail

repo=$(cd "$(dirname "$0")/.." && pwd)
port=${PORT:-18443}
# What `countersign dev-certs` writes, as the README's commands have it.
ca=ca.crt allowed=billing denied=shipping expired=expired

folder=$(mktemp -d)
server=
cleanup() {
    if [[ -n $server ]]; then kill "$server" 2>/dev/null && wait "$server" 2>/dev/null || true; fi
    rm -rf "$folder"
}
trap cleanup EXIT

# Compiled dependencies are shared with the repository's.
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$repo/target}

tool() {
    if [[ -n ${COUNTERSIGN:-} ]]; then
        "$COUNTERSIGN" "$@"
    else
        cargo run --quiet --manifest-path "$repo/Cargo.toml" -p countersign-cli -- "$@"
    fi
}

echo "== cargo init, cargo add"
cd "$folder"
cargo init --quiet --name newcomer --vcs none .
cp "$repo/Cargo.lock" . # the versions that the tests have; cargo adds what is missing
cargo add --quiet --path "$repo" countersign --features axum
cargo add --quiet axum
cargo add --quiet tokio --features rt-multi-thread,macros

echo "== the program of the README"
awk '/^```rust/ { inside = 1; next } /^```/ && inside { exit } inside' "$repo/README.md" |
    sed "s/127\.0\.0\.1:8443/127.0.0.1:$port/" >src/main.rs
grep -q "127.0.0.1:$port" src/main.rs || { echo "the README has no program on port 8443"; exit 1; }
cargo build --quiet

echo "== countersign dev-certs"
tool dev-certs . >/dev/null
for file in "$ca" server.crt server.key {$allowed,$denied,$expired}.{crt,key}; do
    [[ -s $file ]] || { echo "dev-certs has not written $file"; exit 1; }
done

echo "== the server"
"$CARGO_TARGET_DIR/debug/newcomer" >server.log 2>&1 &
server=$!
for _ in {1..100}; do
    if (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then break; fi
    kill -0 "$server" 2>/dev/null || { cat server.log; echo "the server has stopped"; exit 1; }
    sleep 0.1
done

call() { # with this client's certificate
    curl --silent --show-error --max-time 10 --cacert "$ca" "$@" "https://localhost:$port/" 2>&1
}

failed=0
expect() { # this text from curl, with these arguments
    local what=$1 text=$2 said
    shift 2
    said=$(call "$@") || true
    if [[ $said == *"$text"* ]]; then
        echo "   $what: $said"
    else
        echo "   $what: expected \"$text\", curl printed: $said"
        failed=1
    fi
}

echo "== curl"
expect "allowed" "hello spiffe://example.org/ns/billing/" --cert $allowed.crt --key $allowed.key
expect "denied by the policy" "access denied" --cert $denied.crt --key $denied.key
expect "expired" "certificate expired" --cert $expired.crt --key $expired.key
expect "without a certificate" "certificate required"
exit $failed
