//! The proxies in front of a server: `--proxy-protocol NET` and `--identity-from-proxy PATTERN=HEADER`.

use countersign::integration::http::{IdentityHeader, ProxiedIdentity};
use countersign::proxy_protocol::Trusted;
use countersign::{Acceptor, Decision, ListenerBuilder, Peer, Policy};
use http::HeaderName;

use super::allow::AllowList;
use super::identity::{Identity, IdentityKind};
use crate::terminal::Failure;

#[derive(Clone, Debug, Default, clap::Args)]
pub struct ProxyOptions {
    /// Demand a PROXY header, version 1 or 2, of connections from this address or network, and refuse it
    /// from others
    #[arg(long, value_name = "NET")]
    proxy_protocol: Vec<String>,
    /// Take the client's identity from the header that proxies with this identity set: client-cert, xfcc,
    /// aws-alb, nginx or haproxy; the pattern as for --allow; nginx:NAME and haproxy:NAME:CHAIN name other
    /// headers than X-SSL-Client-Cert and X-SSL-Client-Chain
    #[arg(long, value_name = "PATTERN=HEADER")]
    identity_from_proxy: Vec<String>,
}

/// The proxies whose header is believed, by their own identity.
#[derive(Debug)]
pub struct IdentityProxies(Vec<(String, IdentityHeader)>);

impl ProxyOptions {
    /// Whether any option is given.
    pub fn is_given(&self) -> bool {
        self.has_proxy_protocol() || !self.identity_from_proxy.is_empty()
    }

    /// Whether proxies send PROXY headers.
    pub fn has_proxy_protocol(&self) -> bool {
        !self.proxy_protocol.is_empty()
    }

    /// Sets the proxies that send a PROXY header.
    pub fn proxy_protocol<I: Send + Sync + 'static>(
        &self,
        builder: ListenerBuilder<I>,
    ) -> Result<ListenerBuilder<I>, Failure> {
        if !self.has_proxy_protocol() {
            return Ok(builder);
        }
        let trusted = Trusted::nets(&self.proxy_protocol)
            .map_err(|error| format!("--proxy-protocol: {error}"))?;
        Ok(builder.proxy_protocol(trusted))
    }

    /// The proxies that vouch for clients.
    pub fn identity_proxies(&self) -> Result<IdentityProxies, Failure> {
        let parse = |option: &String| {
            // Names may have equals signs, headers have none.
            let (pattern, header) = option.rsplit_once('=').ok_or_else(|| {
                format!("--identity-from-proxy {option}: write PATTERN=HEADER, such as edge.example=xfcc")
            })?;
            let header = header_of(header)
                .ok_or_else(|| format!("--identity-from-proxy {option}: the header is one of client-cert, xfcc, aws-alb, nginx, nginx:NAME, haproxy, haproxy:NAME:CHAIN"))?;
            Ok((pattern.to_owned(), header))
        };
        let all = self.identity_from_proxy.iter().map(parse);
        Ok(IdentityProxies(all.collect::<Result<_, String>>()?))
    }
}

fn header_of(text: &str) -> Option<IdentityHeader> {
    let mut parts = text.split(':');
    let name = parts.next()?;
    let names: Option<Vec<HeaderName>> = parts.map(|name| name.parse().ok()).collect();
    match (name, &names?[..]) {
        ("client-cert", []) => Some(IdentityHeader::ClientCert),
        ("xfcc", []) => Some(IdentityHeader::Xfcc),
        ("aws-alb", []) => Some(IdentityHeader::AwsAlb),
        ("nginx", []) => Some(IdentityHeader::NGINX),
        ("nginx", [name]) => Some(IdentityHeader::Nginx(name.clone())),
        ("haproxy", []) => Some(IdentityHeader::HAPROXY),
        ("haproxy", [certificate, chain]) if certificate != chain => {
            Some(IdentityHeader::Haproxy {
                certificate: certificate.clone(),
                chain: chain.clone(),
            })
        }
        _ => None,
    }
}

impl IdentityProxies {
    /// Lets these proxies connect, beside the clients that `clients` allows. A client behind a proxy is
    /// allowed by `clients` alone.
    pub fn or(
        &self,
        kind: IdentityKind,
        clients: impl Policy<Identity> + 'static,
    ) -> Result<impl Policy<Identity> + 'static, Failure> {
        let patterns: Vec<_> = self.0.iter().map(|(pattern, _)| pattern.clone()).collect();
        let proxies = AllowList::parse_option("--identity-from-proxy", kind, &patterns)?;
        Ok(move |peer: &Peer<Identity>| {
            let rule = proxies.rule_for(peer.identity());
            match rule.filter(|_| peer.vouched_by().is_none()) {
                Some(rule) => Decision::allow(format!("--identity-from-proxy {rule}")),
                None => clients.authorize(peer),
            }
        })
    }

    /// What takes the identity of a request's client from these proxies; `None` without proxies.
    pub fn layer(
        self,
        kind: IdentityKind,
        acceptor: &Acceptor<Identity>,
    ) -> Result<Option<ProxiedIdentity<Identity>>, Failure> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let mut proxied = ProxiedIdentity::new(acceptor);
        for (pattern, header) in self.0 {
            let which = AllowList::parse_option("--identity-from-proxy", kind, &[pattern])?;
            proxied = proxied.from_proxies(which, header);
        }
        Ok(Some(proxied))
    }
}
