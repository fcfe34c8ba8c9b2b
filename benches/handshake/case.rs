//! What can be measured, and its names.

use std::fmt;

use countersign::testing::KeyType;
use rustls::crypto::{CryptoProvider, SupportedKxGroup, aws_lc_rs};

/// One number of the tables: one side's work in one kind of handshake.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Case {
    pub(crate) setting: Setting,
    pub(crate) side: Side,
    pub(crate) kind: Kind,
}

/// Where both sides do it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Setting {
    pub(crate) exchange: Exchange,
    /// The type of all keys: both sides' and the authorities'.
    pub(crate) key: KeyType,
    /// How many certificates are between the leaf and the root.
    pub(crate) intermediates: usize,
    /// `accept` and `connect`; otherwise rustls' connections with the gate.
    pub(crate) tokio: bool,
}

impl Setting {
    pub(crate) fn cases(self) -> impl Iterator<Item = Case> {
        Side::ALL.into_iter().flat_map(move |side| {
            Kind::ALL.map(|kind| Case {
                setting: self,
                side,
                kind,
            })
        })
    }
}

/// The only key exchange of both sides.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exchange {
    X25519,
    /// X25519MLKEM768, our default.
    Hybrid,
}

impl Exchange {
    pub(crate) fn group(self) -> &'static dyn SupportedKxGroup {
        match self {
            Self::X25519 => aws_lc_rs::kx_group::X25519,
            Self::Hybrid => aws_lc_rs::kx_group::X25519MLKEM768,
        }
    }

    pub(crate) fn provider(self) -> CryptoProvider {
        CryptoProvider {
            kx_groups: vec![self.group()],
            ..aws_lc_rs::default_provider()
        }
    }
}

/// Which side is timed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Server,
    Client,
}

impl Side {
    pub(crate) const ALL: [Self; 2] = [Self::Server, Self::Client];
}

/// What the two sides know of each other.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Known,
    FirstSight,
    Resumed,
}

impl Kind {
    pub(crate) const ALL: [Self; 3] = [Self::Known, Self::FirstSight, Self::Resumed];
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            setting,
            side,
            kind,
        } = self;
        write!(f, "{setting} {side}, {kind}")
    }
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = name_of(self.key);
        write!(f, "{} {key}/{}", self.exchange, self.intermediates)?;
        if !self.tokio {
            f.write_str(" without tokio")?;
        }
        Ok(())
    }
}

pub(crate) fn name_of(key: KeyType) -> &'static str {
    match key {
        KeyType::P256 => "P-256",
        KeyType::P384 => "P-384",
        KeyType::Ed25519 => "Ed25519",
        KeyType::Rsa2048 => "RSA-2048",
        _ => "another key",
    }
}

impl fmt::Display for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::X25519 => "X25519",
            Self::Hybrid => "X25519MLKEM768",
        })
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Server => "server",
            Self::Client => "client",
        })
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Known => "known chain",
            Self::FirstSight => "first sight",
            Self::Resumed => "resumed",
        })
    }
}
