//! Limits of an event: its length, its memory, and whether an unauthenticated peer can cause it.

use std::borrow::Cow;

use super::{Action, Alert, AuditEvent, AuditedIdentity, PresentedCertificate, Proof, Stage};
use crate::peer::ConnectionInfo;
use crate::pki::memory::{allocated, of_certificate};
use crate::pki::text::{MAX_SENTENCE, MAX_VALUE, shorten};

impl AuditEvent {
    /// The maximum size of an event as one line (`Display`), and of a line of [`Tracing`](super::Tracing):
    /// 8 KiB.
    pub const MAX_TEXT: usize = 8 * 1024;
    /// The maximum size of an event as JSON, in the sink `Json`: 25 KiB. A usual event has about 2 KiB.
    pub const MAX_JSON: usize = 25 * 1024;
    /// The maximum number of certificates: the default limit of a chain.
    pub(super) const MAX_CERTIFICATES: usize = 10;
    /// The maximum bytes of an identity: the limit of URIs and SPIFFE IDs.
    pub(super) const MAX_IDENTITY: usize = 2048;
    /// The maximum bytes of the identity of a proxy.
    pub(super) const MAX_PROXY: usize = 160;
    /// The maximum bytes of cause and remedy.
    pub(super) const MAX_DETAIL: usize = 2048;
    /// The maximum bytes of a request's path.
    pub(super) const MAX_PATH: usize = MAX_SENTENCE;
    /// The maximum bytes of a request's method.
    pub(super) const MAX_METHOD: usize = 64;
    /// The maximum bytes of a name of the Model Context Protocol.
    pub(super) const MAX_MCP_NAME: usize = 128;
    /// The maximum number of parts of a reload, and the maximum bytes of each.
    pub(super) const MAX_PARTS: (usize, usize) = (16, MAX_VALUE);

    /// Cuts texts that are too long.
    pub(super) fn shorten(&mut self) {
        if let Some(detail) = &mut self.detail {
            shorten(detail, Self::MAX_DETAIL);
        }
        if let Some(identity) = &mut self.identity {
            shorten(&mut identity.text, Self::MAX_IDENTITY);
        }
        if let Some(proxy) = &mut self.vouched_by {
            shorten(&mut proxy.text, Self::MAX_PROXY);
        }
        if let Some(request) = &mut self.request {
            shorten(&mut request.method, Self::MAX_METHOD);
            shorten(&mut request.path, Self::MAX_PATH);
            if let Some(method) = &mut request.mcp_method {
                shorten(method, Self::MAX_METHOD);
            }
            if let Some(name) = &mut request.mcp_name {
                shorten(name, Self::MAX_MCP_NAME);
            }
        }
        if let Some(rule) = &mut self.rule {
            shorten_cow(rule);
        }
        if let Some(Alert::Sent(name) | Alert::Received(name)) = &mut self.alert {
            shorten_cow(name);
        }
        let (parts, bytes) = Self::MAX_PARTS;
        if self.reloaded.len() > parts {
            let more = self.reloaded.len() - parts;
            self.reloaded.truncate(parts);
            self.reloaded.push(format!("and {more} more"));
        }
        self.reloaded
            .iter_mut()
            .for_each(|part| shorten(part, bytes));
        self.info.shorten(MAX_VALUE);
    }

    /// Whether it is the refusal of a peer that had not proven its key. Any peer can cause such events at
    /// no cost, as often as it can connect. Examples are a connection that a listener sheds, a chain that
    /// is not trusted, and a handshake that fails. A denial by the policy is not among them.
    ///
    /// Such events are [limited](super#refusals-of-unauthenticated-peers). To write them to separate
    /// files, put [`Filter`](super::Filter)s around two sinks.
    pub fn is_unauthenticated(&self) -> bool {
        let is_proven = |who: &AuditedIdentity| who.proof == Proof::Proven;
        let stage = self.stage.unwrap_or(Stage::Transport);
        is_unauthenticated(self.action, stage, &self.info)
            && !self.identity.as_ref().is_some_and(is_proven)
    }

    /// The approximate memory of the event in bytes, including the certificates that it shares with a
    /// connection.
    pub(super) fn memory(&self) -> usize {
        let text = |text: &String| allocated(text.capacity());
        let request = self.request.as_ref();
        let parts = [
            allocated(size_of::<Self>() + 2 * size_of::<usize>()), // with the counters of an Arc
            self.detail.as_ref().map_or(0, text),
            self.rule.as_deref().map_or(0, |rule| allocated(rule.len())),
            self.identity.as_ref().map_or(0, |who| text(&who.text)),
            self.vouched_by.as_ref().map_or(0, |who| text(&who.text)),
            request.map_or(0, |it| {
                let mcp = it.mcp_method.iter().chain(&it.mcp_name);
                text(&it.method) + text(&it.path) + mcp.map(text).sum::<usize>()
            }),
            self.info.memory(),
            allocated(self.reloaded.capacity() * size_of::<String>()),
            self.reloaded.iter().map(text).sum(),
            allocated(self.certificates.capacity() * size_of::<PresentedCertificate>()),
            self.own_certificate.as_ref().map_or(0, of_certificate),
        ];
        let certificates = self.certificates.iter();
        let certificates = certificates.filter_map(PresentedCertificate::certificate);
        parts.iter().sum::<usize>() + certificates.map(of_certificate).sum::<usize>()
    }
}

/// Whether an attempt was refused before the peer had proven its key. A peer that resumes a session
/// proved it when the session began.
pub(crate) fn is_unauthenticated(action: Action, stage: Stage, info: &ConnectionInfo) -> bool {
    let is_refusal = action.ends_attempt() && action != Action::Admitted;
    is_refusal && stage <= Stage::Proof && !info.is_resumed()
}

fn shorten_cow(text: &mut Cow<'static, str>) {
    if text.len() > MAX_VALUE {
        shorten(text.to_mut(), MAX_VALUE);
    }
}
