//! Private keys in tokens: SoftHSM, a TPM, and signers that are slow.
#![cfg(unix)] // SoftHSM and swtpm
#![allow(clippy::unwrap_used)] // helpers of tests, too

mod both_sides;
mod errors;
mod returning;
mod slow;
mod softhsm;
mod tool;
mod tpm;
