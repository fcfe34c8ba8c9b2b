//! The observations about a server besides its chain.

use std::fmt;

use serde::Serialize;

use super::style::{field, heading};
use super::text::on_one_line;
use crate::inspect::connect::{Answer, LISTENING, Seen};

/// What does not apply, or was not observed, is `null`.
#[derive(Serialize)]
pub(super) struct Connection {
    address: Option<String>,
    tls: Option<Tls>,
    key_proven: Option<bool>,
    asks_for_certificate: Option<bool>,
    /// The authorities in its request; empty means any.
    authorities: Vec<String>,
    /// Whether one of them issued a certificate of our chain.
    ours_is_among: Option<bool>,
    sent_ours: bool,
    answer: Option<Decision>,
}

#[derive(Serialize)]
struct Tls {
    version: String,
    cipher_suite: String,
    key_exchange: String,
}

#[derive(Serialize)]
struct Decision {
    /// `admitted`, `refused` or `closed`.
    code: &'static str,
    /// The number of the alert (RFC 8446 section 6).
    alert: Option<u8>,
    message: String,
}

impl Connection {
    pub(super) fn new(seen: &Seen) -> Self {
        Self {
            address: seen.address.map(|address| address.to_string()),
            tls: seen.parameters.as_ref().map(|parameters| Tls {
                version: parameters.version.clone(),
                cipher_suite: parameters.cipher_suite.clone(),
                key_exchange: parameters.key_exchange.clone(),
            }),
            key_proven: seen.key_proven,
            asks_for_certificate: seen.asked,
            authorities: seen.authorities.iter().map(ToString::to_string).collect(),
            ours_is_among: seen.ours_is_among,
            sent_ours: seen.sent,
            answer: seen.answer.as_ref().map(|answer| match answer {
                Answer::Admitted => Decision {
                    code: "admitted",
                    alert: None,
                    message: format!("no rejection came within {LISTENING:?}"),
                },
                Answer::Refused(alert) => Decision {
                    code: "refused",
                    alert: Some(alert.alert().into()),
                    message: on_one_line(&alert.to_string()),
                },
                Answer::Closed => Decision {
                    code: "closed",
                    alert: None,
                    message: "it closed the connection without saying why; see its log".into(),
                },
            }),
        }
    }

    /// Whether the server proves its key, and admits us if our certificate was sent. It is good that it
    /// rejects a client without a certificate.
    pub(super) fn is_good(&self) -> bool {
        let refused = self
            .answer
            .as_ref()
            .is_none_or(|decision| decision.code != "admitted");
        self.key_proven != Some(false) && !(refused && self.sent_ours)
    }
}

impl fmt::Display for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.address {
            Some(address) => heading(f, format_args!("The server at {address}"))?,
            None => heading(f, format_args!("No server was reached"))?,
        }
        let mut line = |name: &str, value: &str| field(f, name, value);
        if let Some(tls) = &self.tls {
            line("TLS", &tls.version)?;
            line("cipher suite", &tls.cipher_suite)?;
            line("key exchange", &tls.key_exchange)?;
        }
        match self.key_proven {
            Some(true) => line("its key", "proven: it owns the key of its certificate")?,
            Some(false) => line("its key", "NOT PROVEN: the certificate may be stolen")?,
            None => {}
        }
        match self.asks_for_certificate {
            Some(true) => line("asks for ours", "yes")?,
            Some(false) => line("asks for ours", "NO: it does not authenticate its clients")?,
            None => {}
        }
        if self.asks_for_certificate == Some(true) {
            if self.authorities.is_empty() {
                line("from", "any authority")?;
            }
            for (index, name) in self.authorities.iter().enumerate() {
                line(if index == 0 { "from" } else { "" }, name)?;
            }
            line(
                "sent",
                match (self.sent_ours, self.ours_is_among) {
                    (true, Some(false)) => "our certificate, which is from none of these",
                    (true, _) => "our certificate",
                    (false, Some(_)) => "none: the server supports no signature scheme of our key",
                    (false, None) => "none: --cert and --key give one",
                },
            )?;
        }
        match &self.answer {
            Some(decision) => line(
                "answer",
                &format!("{}: {}", decision.code.to_uppercase(), decision.message),
            ),
            None => Ok(()),
        }
    }
}
