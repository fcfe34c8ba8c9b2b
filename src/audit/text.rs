//! Events on one line, for people.

use std::fmt;

use super::AuditEvent;
use crate::pki::text::Escaped;

impl fmt::Display for AuditEvent {
    /// What happened, to whom, and why, with control characters and bidirectional marks escaped:
    /// `client refused: spiffe://example.org/web: denied by policy: …`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.title())?;
        if let Some(who) = &self.identity {
            write!(f, ": {} ({})", Escaped(&who.text), who.proof.as_str())?;
        }
        if let Some(request) = &self.request {
            write!(
                f,
                ": {} {}",
                Escaped(&request.method),
                Escaped(&request.path)
            )?;
        }
        if let Some(rule) = &self.rule {
            write!(f, ": by the rule \"{}\"", Escaped(rule))?;
        }
        if !self.reloaded.is_empty() {
            write!(f, ": {}", self.reloaded.join(", "))?;
        }
        match &self.detail {
            Some(detail) => write!(f, ": {}", Escaped(detail)),
            None => Ok(()),
        }
    }
}
