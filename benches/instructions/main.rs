//! The instructions of six fixed paths, counted by valgrind's callgrind: `bash benches/instructions/run`.
//!
//! A count does not depend on load, so it can be compared with one of another day. `counts.toml` has the kept
//! counts. The bench fails when a path takes over 2 % more than kept, and asks for a renewal when it takes
//! over 2 % less; `--renew` writes the file. Other arguments select paths: all words must be in the name.
//!
//! Everything runs in memory, as in the bench `handshake`. callgrind collects in the work of the measured side
//! alone, from the first byte of the connection to the first byte of the application, session tickets included.
//! Peers, start-up and certificates are not counted.
//!
//! Two figures are compared with the kept ones:
//!
//! * the **ratio** to the reference that is counted in the same run. A compiler, a C library or a processor
//!   changes both sides alike, so it is compared everywhere.
//! * the **count** itself, only where compiler, valgrind and architecture are those of the kept counts. It
//!   also notices what changes both sides, such as a new version of rustls.
//!
//! aws-lc chooses its code by CPUID, and valgrind presents a processor of its own to the program: one with AVX2
//! and without SHA extensions, AVX-512, or vector AES. So the counts are those of other code than a new processor
//! runs, with SHA-256 in software, and hardly depend on the machine.
//!
//! Signatures, keys and hash seeds are random. Each batch has new ones; the result is the median of the batches,
//! and the spread of the batches is printed.

mod callgrind;
mod kept;
mod paths;
mod request;
mod stranger;

use std::process::ExitCode;

use kept::Kept;

fn main() -> ExitCode {
    let (options, words): (Vec<String>, Vec<String>) = std::env::args()
        .skip(1)
        .partition(|argument| argument.starts_with("--"));
    let has = |name: &str| options.iter().any(|option| option == name);
    if has(callgrind::MEASURE) {
        paths::measure(&words, paths::BATCHES, 1);
        return ExitCode::SUCCESS;
    }
    if !has("--bench") {
        // As a test, a short run without valgrind shows that everything works.
        paths::measure(&words, 1, 10);
        kept::check();
        return ExitCode::SUCCESS;
    }
    let Some(toolchain) = callgrind::toolchain() else {
        println!("skipped: valgrind is not installed");
        let is_ci = std::env::var_os("CI").is_some_and(|value| value == "true");
        return if is_ci {
            ExitCode::FAILURE
        } else {
            ExitCode::SUCCESS
        };
    };
    let counted = callgrind::run(&words);
    let kept = Kept::load();
    let is_good = kept.compare(&counted, &toolchain);
    if has("--renew") {
        kept.renewed(&counted, toolchain).save();
        return ExitCode::SUCCESS;
    }
    if is_good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
