# Short names for what is done often: `just --list`. CI runs `.ci/run`, which does all of it.

features := "webpki-roots,ring,encrypted-keys,serde,spiffe-bundle,notify,audit-json,metrics,http,tower,hyper,axum,tonic,stream,spiffe,testing"

# Format and clippy, as CI has them
check:
    cargo fmt --check
    cargo clippy --locked --workspace --all-targets -- -D warnings
    cargo clippy --locked --no-default-features -- -D warnings

# The library's tests; no other program is needed
test *args:
    cargo test --locked {{ args }}

# Everything, also what talks to openssl, curl and others
test-all:
    cargo test --locked --workspace

# The lines that tests execute, by module: of the workspace, or `just coverage -p countersign --lib`
coverage *args:
    bash .ci/coverage {{ args }}

# Everything at once over real sockets, for so many minutes, in release mode
soak minutes="30":
    tests/chaos/soak {{ minutes }}

# Small changes of the code that no test notices (.ci/mutants/run): `just mutants`
mutants *args:
    bash .ci/mutants/run {{ args }}

# The documentation as docs.rs shows it; warnings are errors
docs *args:
    RUSTDOCFLAGS=-Dwarnings cargo doc --locked --no-deps --features {{ features }} {{ args }}

# The rendered manual: links, cut lines, long paragraphs (needs Chromium and PyPI's playwright)
rendered: docs
    python3 manual/rendered.py target/doc/countersign

# The README's first steps, in an empty folder
newcomer:
    bash manual/newcomer.sh

# One benchmark, such as `just bench handshake`
bench name:
    cargo bench --locked --workspace --bench {{ name }}

# One fuzz target, for a minute; CONTRIBUTING.md lists them
fuzz target seconds="60":
    bash fuzz/run.sh {{ seconds }} {{ target }}

# The public API, compared with its snapshot
api:
    cargo run --locked -p countersign-api

# What is not audited in Cargo.lock, and whether the package is reproducible
supply-chain:
    bash .ci/audited
    bash .ci/reproducible

# What breaks with the pre-releases of rustls 0.24
rustls-next:
    bash .ci/rustls-next

# Everything that a change must pass
ci:
    bash .ci/run
