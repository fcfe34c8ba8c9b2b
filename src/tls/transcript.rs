//! Whether a server requested our certificate, seen by a configuration alone.
//!
//! A program that drives rustls calls no code of ours after the handshake, and rustls calls no verifier with
//! that fact: [`ResolvesClientCert`](rustls::client::ResolvesClientCert) is called when a server asks, and does
//! not know for which connection. A thread-local is of no use for that, because a runtime may feed the parts
//! of one handshake from different threads. The one object of a connection that a configuration supplies is
//! the hash of its transcript. So the cipher suites of an exported configuration hash through
//! [`Observed`], which reads the type of each handshake message that passes.
//!
//! rustls computes that hash, or extends it, immediately before it calls the verifier with the signature, on
//! the same thread (0.23: `client/tls13.rs`, `ExpectCertificateVerify`, and `client/tls12.rs`,
//! `ExpectServerDone`). So [`Observed`] writes what it has seen to the thread, and the verifier compares it
//! with what it has to verify. Whatever does not fit counts as a server that did not ask.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::crypto::CryptoProvider;
use rustls::crypto::hash::{Context, Hash, HashAlgorithm, Output};
use rustls::{CipherSuiteCommon, SupportedCipherSuite, Tls12CipherSuite, Tls13CipherSuite};

/// RFC 9846 section 4, RFC 5246 section 7.4.
const CERTIFICATE_REQUEST: u8 = 13;
const SERVER_HELLO_DONE: u8 = 14;

thread_local! {
    static LAST: RefCell<Option<Seen>> = const { RefCell::new(None) };
}

/// What this thread has last done with a transcript.
pub(super) struct Seen {
    /// The hash of the transcript, if it was computed last, and not extended.
    hash: Option<Output>,
    asked: bool,
    /// The type of the last message, if the transcript ends with it.
    last: Option<u8>,
}

impl Seen {
    /// Takes what this thread has last done.
    pub(super) fn take() -> Option<Self> {
        LAST.take()
    }

    /// Whether the server asked, if this is the transcript that it has signed (RFC 9846 section 4.4.3: the
    /// signed content ends with its hash).
    pub(super) fn asked_in_signed(&self, signed: &[u8]) -> bool {
        let hash = self.hash.as_ref().map(Output::as_ref);
        self.asked && hash.is_some_and(|hash| !hash.is_empty() && signed.ends_with(hash))
    }

    /// Whether the server asked, if its messages before our certificate end here (TLS 1.2).
    pub(super) fn asked_before_done(&self) -> bool {
        self.asked && self.hash.is_none() && self.last == Some(SERVER_HELLO_DONE)
    }
}

/// The same provider, with cipher suites whose transcripts are observed.
pub(super) fn observed(provider: &CryptoProvider) -> Arc<CryptoProvider> {
    let mut provider = provider.clone();
    for suite in &mut provider.cipher_suites {
        *suite = observed_suite(*suite);
    }
    Arc::new(provider)
}

/// rustls has its suites as `&'static`, so each is made once and kept, by the address of the original.
fn observed_suite(original: SupportedCipherSuite) -> SupportedCipherSuite {
    static MADE: Mutex<Option<HashMap<usize, SupportedCipherSuite>>> = Mutex::new(None);

    let address = match original {
        SupportedCipherSuite::Tls12(suite) => std::ptr::from_ref(suite).addr(),
        SupportedCipherSuite::Tls13(suite) => std::ptr::from_ref(suite).addr(),
    };
    // No panic leaves it half-changed.
    let mut made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
    let made = made.get_or_insert_default();
    *made.entry(address).or_insert_with(|| match original {
        SupportedCipherSuite::Tls12(suite) => {
            SupportedCipherSuite::Tls12(Box::leak(Box::new(Tls12CipherSuite {
                common: observed_common(&suite.common),
                prf_provider: suite.prf_provider,
                kx: suite.kx,
                sign: suite.sign,
                aead_alg: suite.aead_alg,
            })))
        }
        SupportedCipherSuite::Tls13(suite) => {
            SupportedCipherSuite::Tls13(Box::leak(Box::new(Tls13CipherSuite {
                common: observed_common(&suite.common),
                hkdf_provider: suite.hkdf_provider,
                aead_alg: suite.aead_alg,
                quic: suite.quic,
            })))
        }
    })
}

fn observed_common(common: &CipherSuiteCommon) -> CipherSuiteCommon {
    CipherSuiteCommon {
        suite: common.suite,
        hash_provider: Box::leak(Box::new(Observed(common.hash_provider))),
        confidentiality_limit: common.confidentiality_limit,
    }
}

/// A hash whose incremental computations are read as handshake messages.
struct Observed(&'static dyn Hash);

impl Hash for Observed {
    fn start(&self) -> Box<dyn Context> {
        Box::new(Transcript {
            hash: self.0.start(),
            messages: Messages::default(),
        })
    }

    fn hash(&self, data: &[u8]) -> Output {
        self.0.hash(data)
    }

    fn output_len(&self) -> usize {
        self.0.output_len()
    }

    fn algorithm(&self) -> HashAlgorithm {
        self.0.algorithm()
    }

    fn fips(&self) -> bool {
        self.0.fips()
    }
}

struct Transcript {
    hash: Box<dyn Context>,
    messages: Messages,
}

impl Context for Transcript {
    fn fork_finish(&self) -> Output {
        let output = self.hash.fork_finish();
        LAST.set(Some(Seen {
            hash: Some(Output::new(output.as_ref())),
            asked: self.messages.asked,
            last: self.messages.last(),
        }));
        output
    }

    fn fork(&self) -> Box<dyn Context> {
        Box::new(Self {
            hash: self.hash.fork(),
            messages: self.messages.clone(),
        })
    }

    fn finish(self: Box<Self>) -> Output {
        LAST.set(None);
        self.hash.finish()
    }

    fn update(&mut self, data: &[u8]) {
        self.hash.update(data);
        self.messages.read(data);
        LAST.set(Some(Seen {
            hash: None,
            asked: self.messages.asked,
            last: self.messages.last(),
        }));
    }
}

/// The types of the messages of a transcript. Each has a header of four bytes: its type, and its length
/// without the header.
#[derive(Clone, Debug, Default)]
pub(super) struct Messages {
    header: [u8; 4],
    /// How many bytes of the header were read.
    of_header: usize,
    /// How many bytes of the message are still to come.
    left: usize,
    last: Option<u8>,
    pub(super) asked: bool,
}

impl Messages {
    pub(super) fn read(&mut self, mut data: &[u8]) {
        while !data.is_empty() {
            if self.left > 0 {
                let body = self.left.min(data.len());
                self.left -= body;
                data = &data[body..];
                continue;
            }
            if self.of_header == self.header.len() {
                self.of_header = 0; // the message before is complete
            }
            let missing = (self.header.len() - self.of_header).min(data.len());
            let (read, rest) = data.split_at(missing);
            self.header[self.of_header..self.of_header + missing].copy_from_slice(read);
            self.of_header += missing;
            data = rest;
            if self.of_header == self.header.len() {
                let [kind, high, middle, low] = self.header;
                self.left = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
                self.last = Some(kind);
                self.asked |= kind == CERTIFICATE_REQUEST;
            }
        }
    }

    /// The type of the last message, if what was read ends with it.
    pub(super) fn last(&self) -> Option<u8> {
        let is_whole = self.left == 0 && self.of_header == self.header.len();
        self.last.filter(|_| is_whole)
    }
}

impl fmt::Debug for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seen")
            .field("asked", &self.asked)
            .field("last", &self.last)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u8, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(body.len()).unwrap().to_be_bytes();
        [&[kind], &length[1..], body].concat()
    }

    fn read<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> Messages {
        let mut messages = Messages::default();
        for part in parts {
            messages.read(part);
        }
        messages
    }

    #[test]
    fn messages_are_read_in_parts_of_any_size() {
        let transcript = [
            message(1, &[CERTIFICATE_REQUEST; 300]),
            message(2, &[1; 70_000]),
            message(CERTIFICATE_REQUEST, &[]),
            message(SERVER_HELLO_DONE, &[]),
        ]
        .concat();
        for size in [1, 2, 3, 4, 5, 299, 304, 70_000, transcript.len()] {
            let messages = read(transcript.chunks(size));
            assert!(messages.asked, "{size}");
            assert_eq!(messages.last(), Some(SERVER_HELLO_DONE), "{size}");
        }
    }

    #[test]
    fn the_bytes_of_a_message_are_no_request() {
        let inside = message(CERTIFICATE_REQUEST, &[]);
        let messages = read([&*message(1, &inside), &*message(SERVER_HELLO_DONE, &[])]);
        assert!(!messages.asked);
        let cut = message(11, &[0; 8]);
        let messages = read([&cut[..7]]);
        assert_eq!(messages.last(), None, "the message is not complete");
        assert_eq!(read([]).last(), None);
    }

    #[test]
    fn only_the_transcript_that_was_signed_counts() {
        let seen = |hash: &[u8], asked| Seen {
            hash: (!hash.is_empty()).then(|| Output::new(hash)),
            asked,
            last: Some(11),
        };
        assert!(seen(b"hash", true).asked_in_signed(b"context hash"));
        assert!(!seen(b"hash", false).asked_in_signed(b"context hash"));
        assert!(!seen(b"other", true).asked_in_signed(b"context hash"));
        assert!(!seen(b"", true).asked_in_signed(b"context hash"));
        assert!(!seen(b"", true).asked_before_done());
    }

    #[test]
    #[cfg(any(feature = "aws-lc-rs", feature = "ring"))]
    fn an_observed_provider_computes_the_same_and_is_made_once() {
        #[cfg(feature = "aws-lc-rs")]
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        #[cfg(not(feature = "aws-lc-rs"))]
        let provider = rustls::crypto::ring::default_provider();
        let (first, again) = (observed(&provider), observed(&provider));
        assert_eq!(first.cipher_suites, provider.cipher_suites);
        assert_eq!(first.fips(), provider.fips());
        let hello = message(1, b"hello");
        for (number, suite) in first.cipher_suites.iter().enumerate() {
            let of = |suite: &SupportedCipherSuite| match suite {
                SupportedCipherSuite::Tls12(suite) => suite.common.hash_provider,
                SupportedCipherSuite::Tls13(suite) => suite.common.hash_provider,
            };
            let (here, original) = (of(suite), of(&provider.cipher_suites[number]));
            assert!(std::ptr::addr_eq(here, of(&again.cipher_suites[number])));
            assert_eq!(here.algorithm(), original.algorithm());
            assert_eq!(here.output_len(), original.output_len());
            let mut context = here.start();
            context.update(&hello);
            let expected = original.hash(&hello);
            assert_eq!(context.fork_finish().as_ref(), expected.as_ref());
            assert!(Seen::take().is_some_and(|seen| !seen.asked));
            context.update(&message(CERTIFICATE_REQUEST, &[]));
            let forked = context.fork().fork_finish();
            assert!(Seen::take().is_some_and(|seen| seen.asked_in_signed(forked.as_ref())));
            assert_eq!(context.finish().as_ref(), forked.as_ref());
            assert!(Seen::take().is_none());
        }
    }
}
