//! Our own certificates' end, told ahead.

use std::collections::HashMap;

use rustls_pki_types::UnixTime;

use super::status::{Own, time_left};
use crate::audit::{Action, Log};
use crate::pki::Fingerprint;
use crate::pki::time::Rfc3339;
use crate::{Certificate, ConnectionInfo};

/// What was told of which certificate.
#[derive(Default)]
pub(super) struct Expiry {
    told: HashMap<Fingerprint, Stage>,
}

/// How near the end is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Far,
    /// A third of the lifetime is left.
    Third,
    Tenth,
    Expired,
}

impl Expiry {
    /// Tells of each stage once, the last one if several have come at once.
    pub(super) fn look(&mut self, log: &Log, own: &[Own], now: UnixTime) {
        let mut told = HashMap::new();
        for (name, certificate) in own {
            let id = certificate.sha256();
            let stage = Stage::of(certificate, now);
            let before = self.told.get(&id).copied().unwrap_or(Stage::Far);
            // Two names may have the same certificate.
            if told.insert(id, stage.max(before)).is_none() && stage > before {
                tell(log, name.as_deref(), certificate, stage, now);
            }
        }
        self.told = told;
    }
}

impl Stage {
    fn of(certificate: &Certificate, now: UnixTime) -> Self {
        let end = certificate.not_after();
        let lifetime = end
            .as_secs()
            .saturating_sub(certificate.not_before().as_secs());
        let left = time_left(certificate, now).as_secs();
        if now > end {
            Self::Expired
        } else if left <= lifetime / 10 {
            Self::Tenth
        } else if left <= lifetime / 3 {
            Self::Third
        } else {
            Self::Far
        }
    }
}

fn tell(log: &Log, name: Option<&str>, certificate: &Certificate, stage: Stage, now: UnixTime) {
    let reason = match stage {
        Stage::Expired => "own_certificate_expired",
        _ => "own_certificate_expiring",
    };
    log.tell(Action::CertificateExpiring, Some(reason), |event| {
        let left = time_left(certificate, now).as_secs();
        event.detail = Some(match stage {
            Stage::Expired => format!(
                "{certificate} expired at {}",
                Rfc3339(certificate.not_after())
            ),
            _ => format!("{certificate} is valid for {left} more seconds: renew it"),
        });
        if let Some(name) = name {
            event.info = ConnectionInfo::default().with_server_name(name);
        }
        event.own_certificate = Some(certificate.clone());
    });
}
