//! Reports that our own certificates expire soon, or have expired.

use std::collections::HashMap;

use rustls_pki_types::UnixTime;

use super::status::{NamedCertificate, time_left};
use crate::audit::{Action, Recorder};
use crate::pki::Fingerprint;
use crate::pki::time::Rfc3339;
use crate::{Certificate, ConnectionInfo};

/// The stage that was reported for each certificate.
#[derive(Default)]
pub(super) struct Expiry {
    reported: HashMap<Fingerprint, Stage>,
}

/// How much of the lifetime is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    MoreThanAThird,
    AThird,
    ATenth,
    Expired,
}

impl Expiry {
    /// Reports each stage once, and only the last of several that were reached at once.
    pub(super) fn check(&mut self, recorder: &Recorder, own: &[NamedCertificate], now: UnixTime) {
        let mut reported = HashMap::new();
        for (name, certificate) in own {
            let id = certificate.sha256();
            let stage = Stage::of(certificate, now);
            let before = self.reported.get(&id).copied();
            let before = before.unwrap_or(Stage::MoreThanAThird);
            // Two names may have the same certificate.
            if reported.insert(id, stage.max(before)).is_none() && stage > before {
                report(recorder, name.as_deref(), certificate, stage, now);
            }
        }
        self.reported = reported;
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
            Self::ATenth
        } else if left <= lifetime / 3 {
            Self::AThird
        } else {
            Self::MoreThanAThird
        }
    }
}

fn report(
    recorder: &Recorder,
    name: Option<&str>,
    certificate: &Certificate,
    stage: Stage,
    now: UnixTime,
) {
    let reason = match stage {
        Stage::Expired => "own_certificate_expired",
        _ => "own_certificate_expiring",
    };
    recorder.emit(Action::CertificateExpiring, Some(reason), |event| {
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

#[cfg(all(feature = "testing", any(feature = "aws-lc-rs", feature = "ring")))]
#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::audit::Memory;
    use crate::side::Side;
    use crate::testing::TestCa;

    #[test]
    fn each_stage_is_reported_once_and_says_what_is_left() {
        let at = |seconds| UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        let leaf = TestCa::new("Root").leaf().validity(at(1000), at(1900));
        let own = [(None, leaf.issue().certificate())];
        let memory = Memory::default();
        let sink = Box::new(memory.clone());
        let recorder = Recorder::new(sink, Side::Server, None, None, None);
        let mut expiry = Expiry::default();
        for (now, expected) in [
            (1599, None),
            (1600, Some("is valid for 300 more seconds")),
            (1601, None),
            (1809, None),
            (1810, Some("is valid for 90 more seconds")),
            // The last second of its validity.
            (1900, None),
            (1901, Some("expired at 1970-01-01T00:31:40Z")),
            (1902, None),
        ] {
            let before = memory.events().len();
            expiry.check(&recorder, &own, at(now));
            let events = memory.events();
            let new: Vec<_> = events[before..].iter().collect();
            assert_eq!(new.len(), usize::from(expected.is_some()), "{now}");
            if let Some(expected) = expected {
                let detail = new[0].detail.as_ref().unwrap();
                assert!(detail.contains(expected), "{now}: {detail}");
            }
        }
    }
}
