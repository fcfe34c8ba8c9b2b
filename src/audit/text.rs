//! Events as one line for people.

use std::fmt;

use super::AuditEvent;
use crate::pki::text::{Bounded, Escaped};

/// A text of an event, escaped and cut after this number of bytes.
pub(super) struct Cut<'a>(pub(super) &'a str, pub(super) usize);

impl fmt::Display for Cut<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Bounded::new(f, self.1).text(self.0)
    }
}

/// The parts that a reload replaced, on one line.
pub(super) struct Parts<'a>(pub(super) &'a [String]);

impl fmt::Display for Parts<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let joined = self.0.join(", ");
        Cut(&joined, AuditEvent::MAX_PATH).fmt(f)
    }
}

impl fmt::Display for AuditEvent {
    /// The action, the peer and the detail, with control characters and bidirectional marks escaped:
    /// `client refused: spiffe://example.org/web (proven): denied by policy: …`. It has at most
    /// [`MAX_TEXT`](Self::MAX_TEXT) bytes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.title())?;
        if let Some(who) = &self.identity {
            let identity = Cut(&who.text, Self::MAX_IDENTITY);
            write!(f, ": {identity} ({})", who.proof.as_str())?;
        }
        if let Some(proxy) = &self.vouched_by {
            let proxy = Cut(&proxy.text, Self::MAX_PROXY);
            write!(f, ": vouched for by {proxy}")?;
        }
        if let Some(request) = &self.request {
            let method = Cut(&request.method, Self::MAX_METHOD);
            write!(f, ": {method} {}", Cut(&request.path, Self::MAX_PATH))?;
            if let Some(method) = &request.mcp_method {
                write!(f, " {}", Cut(method, Self::MAX_METHOD))?;
            }
            if let Some(name) = &request.mcp_name {
                write!(f, " {}", Cut(name, Self::MAX_MCP_NAME))?;
            }
        }
        if let Some(rule) = &self.rule {
            write!(f, ": by the rule \"{}\"", Escaped(rule))?;
        }
        if !self.reloaded.is_empty() {
            write!(f, ": {}", Parts(&self.reloaded))?;
        }
        match &self.detail {
            Some(detail) => write!(f, ": {}", Cut(detail, Self::MAX_DETAIL)),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::{
        Action, Alert, AuditedIdentity, AuditedRequest, Proof, Stage, Suppressed, Traffic,
    };
    use crate::peer::ConnectionInfo;
    use crate::pki::Certificate;
    use crate::side::Side;
    use crate::testing::TestCa;

    fn hostile(text: &str) -> Certificate {
        let mut leaf = TestCa::new(text).leaf().common_name(text);
        for number in 0..100 {
            leaf = leaf.attribute("2.5.4.3", 0x0c, text.as_bytes());
            leaf = leaf.uri(&format!("{text}{number}")).dns(text);
        }
        let issued = leaf.serial(&[0x8f; 4000]).issue();
        Certificate::from_der(issued.leaf_der()).unwrap()
    }

    /// An event with more in every field than any real event has, and not shortened.
    fn full(text: &str, side: Side) -> AuditEvent {
        let mut event = AuditEvent::new(Action::ReloadApplied, side, Some(text.into()));
        let certificate = hostile(text);
        event.connection = Some(u64::MAX);
        event.stage = Some(Stage::Transport);
        event.reason = Some("too_many_handshakes_of_address");
        event.detail = Some(text.into());
        event.rule = Some(text.to_owned().into());
        event.identity = Some(AuditedIdentity {
            text: text.into(),
            proof: Proof::Proven,
        });
        event.vouched_by = event.identity.clone();
        let addr = std::net::SocketAddr::from(([0xffff; 8], u16::MAX));
        event.info = ConnectionInfo::default()
            .with_remote_addr(addr)
            .with_local_addr(addr)
            .with_proxy_addr(addr)
            .with_server_name(text)
            .with_alpn(text.as_bytes());
        event.alert = Some(Alert::Received(text.to_owned().into()));
        event.generation = u64::MAX;
        event.duration = Some(std::time::Duration::MAX);
        event.traffic = Some(Traffic {
            received: u64::MAX,
            sent: u64::MAX,
        });
        event.request = Some(AuditedRequest {
            method: text.into(),
            path: text.into(),
            mcp_method: Some(text.into()),
            mcp_name: Some(text.into()),
        });
        event.set_certificates(&vec![certificate.clone(); 40]);
        event.own_certificate = Some(certificate);
        event.reloaded = vec![text.into(); 1000];
        event.dropped = Some(u64::MAX);
        event.suppressed = Some(Suppressed {
            action: Action::NotIdentified,
            count: u64::MAX,
        });
        event
    }

    #[test]
    fn no_text_exceeds_the_limits_of_an_event() {
        for piece in [
            "x",
            "\"",
            "\\",
            "\u{1}",
            "\u{202e}",
            "é",
            "例",
            "\u{e0001}",
            "\" \n",
        ] {
            for side in [Side::Server, Side::Client] {
                let mut event = full(&piece.repeat(2_500), side);
                for _ in 0..2 {
                    let line = event.to_string();
                    assert!(line.len() <= AuditEvent::MAX_TEXT, "{}", line.len());
                    assert!(line.contains("…(+"), "a cut is visible: {line}");
                    #[cfg(feature = "audit-json")]
                    {
                        // A failure has an error in place of the reloaded parts.
                        event.action = Action::ReloadApplied;
                        let reload = event.to_json().len();
                        event.action = Action::Denied;
                        let failure = event.to_json().len();
                        let longest = reload.max(failure);
                        assert!(longest <= AuditEvent::MAX_JSON, "{piece:?}: {longest}");
                    }
                    event.shorten();
                }
                let own = event.detail.as_ref().unwrap().len();
                assert!(own <= AuditEvent::MAX_DETAIL + 64, "{own}");
            }
        }
    }
}
