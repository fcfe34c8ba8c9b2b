//! The cases that are measured, and their names.

use std::fmt;

use countersign::testing::KeyType;
use rustls::crypto::{CryptoProvider, SupportedKxGroup, aws_lc_rs};

/// The types of keys that are measured.
pub const KEYS: [KeyType; 5] = [
    KeyType::P256,
    KeyType::P384,
    KeyType::Ed25519,
    KeyType::Rsa2048,
    KeyType::MlDsa65,
];

/// The setting of the budgets.
pub const REFERENCE: Setting = Setting {
    exchange: Exchange::X25519,
    key: KeyType::P256,
    intermediates: 1,
    tokio: true,
};

/// The reference, with the default key exchange too, and without tokio.
pub const BUDGETED: [Setting; 3] = [
    REFERENCE,
    Setting {
        exchange: Exchange::Hybrid,
        ..REFERENCE
    },
    Setting {
        exchange: Exchange::Hybrid,
        tokio: false,
        ..REFERENCE
    },
];

/// Post-quantum in the key exchange and in all certificates.
pub const POST_QUANTUM: Setting = Setting {
    exchange: Exchange::Hybrid,
    key: KeyType::MlDsa65,
    ..REFERENCE
};

/// One number of the tables: the work of one side in one kind of handshake.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Case {
    pub setting: Setting,
    pub side: Side,
    pub kind: Kind,
}

/// The parameters that both sides share.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Setting {
    pub exchange: Exchange,
    /// The type of all keys: both sides' and the authorities'.
    pub key: KeyType,
    /// The number of certificates between the leaf and the root.
    pub intermediates: usize,
    /// Whether the sides use `accept` and `connect`, or rustls' connections with the gate.
    pub tokio: bool,
}

impl Setting {
    pub fn cases(self) -> impl Iterator<Item = Case> {
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
pub enum Exchange {
    X25519,
    /// X25519MLKEM768, the default of countersign.
    Hybrid,
}

impl Exchange {
    pub fn group(self) -> &'static dyn SupportedKxGroup {
        match self {
            Self::X25519 => aws_lc_rs::kx_group::X25519,
            Self::Hybrid => aws_lc_rs::kx_group::X25519MLKEM768,
        }
    }

    pub fn provider(self) -> CryptoProvider {
        CryptoProvider {
            kx_groups: vec![self.group()],
            ..aws_lc_rs::default_provider()
        }
    }
}

/// Which side is timed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Side {
    Server,
    Client,
}

impl Side {
    pub const ALL: [Self; 2] = [Self::Server, Self::Client];
}

/// What the timed side knows of its peer before the handshake.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It verified the chain before.
    Known,
    /// It did not verify the chain before.
    FirstSight,
    /// It resumes a session.
    Resumed,
}

impl Kind {
    pub const ALL: [Self; 3] = [Self::Known, Self::FirstSight, Self::Resumed];
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

pub fn name_of(key: KeyType) -> &'static str {
    match key {
        KeyType::P256 => "P-256",
        KeyType::P384 => "P-384",
        KeyType::Ed25519 => "Ed25519",
        KeyType::Rsa2048 => "RSA-2048",
        KeyType::MlDsa65 => "ML-DSA-65",
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
