//! Post-quantum key exchange and identities with OpenSSL 4 (that of Python's `cryptography`) and with Go, each
//! as client and as server. Go has ML-DSA since 1.27; the one before it has the key exchange alone.
#![allow(clippy::unwrap_used)] // helpers of tests, too

mod key_formats;
mod only;
mod peers;
mod without_ml_dsa;
