//! The proxies that are believed.

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};

use crate::Diagnostic;
use crate::diagnostic::display_diagnostic;
use crate::pki::text::Escaped;

/// The addresses of the proxies that send a PROXY header.
///
/// ```
/// use countersign::proxy_protocol::Trusted;
///
/// let proxies = Trusted::nets(["10.0.3.0/24", "2001:db8:3::/48", "192.0.2.10"])?;
/// # Ok::<(), countersign::proxy_protocol::NetError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trusted(Peers);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Peers {
    Every,
    Nets(Vec<Net>),
}

/// An address, of which the first `bits` count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Net {
    address: IpAddr,
    bits: u32,
}

impl Trusted {
    /// The proxies with an address in one of these networks: `10.0.3.0/24`, or an address alone.
    ///
    /// # Errors
    /// [`NetError`]: none at all; no address (`proxy.example`); a prefix that is too long (`10.0.0.0/33`)
    /// or not a plain number; bits after the prefix (`10.0.3.7/24`); an IPv4 network written as IPv6
    /// (`::ffff:10.0.0.0/104`).
    ///
    /// # Security
    /// Every host in these networks can state any client address. Name the proxies, and no more.
    pub fn nets<N: AsRef<str>>(nets: impl IntoIterator<Item = N>) -> Result<Self, NetError> {
        let nets = nets.into_iter().map(|net| Net::parse(net.as_ref()));
        let nets = nets.collect::<Result<Vec<_>, _>>()?;
        if nets.is_empty() {
            let problem = "there is none";
            return Err(NetError {
                net: String::new(),
                problem,
            });
        }
        Ok(Self(Peers::Nets(nets)))
    }

    /// Every peer, for a Unix socket or a network that only the proxy reaches.
    ///
    /// # Security
    /// Every peer that can connect can state any client address.
    pub const fn every_peer() -> Self {
        Self(Peers::Every)
    }

    /// Whether the peer at this address is a trusted proxy. A peer without an address is one only for
    /// [`every_peer`](Self::every_peer).
    pub fn contains(&self, address: Option<SocketAddr>) -> bool {
        match &self.0 {
            Peers::Every => true,
            Peers::Nets(nets) => address.is_some_and(|address| {
                let ip = address.ip().to_canonical();
                nets.iter().any(|net| net.contains(ip))
            }),
        }
    }
}

impl Net {
    fn parse(text: &str) -> Result<Self, NetError> {
        let problem = |problem| NetError {
            net: text.to_owned(),
            problem,
        };
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address
            .parse()
            .map_err(|_| problem("it is neither an address nor a network"))?;
        if address.to_canonical() != address {
            return Err(problem("it is an IPv4 address written as IPv6"));
        }
        let width = if address.is_ipv4() { 32 } else { 128 };
        let bits = match prefix {
            None => width,
            Some(prefix) => {
                let is_decimal = prefix.bytes().all(|byte| byte.is_ascii_digit());
                let is_canonical = prefix == "0" || !prefix.starts_with('0');
                let bits = prefix.parse().ok();
                bits.filter(|bits| is_decimal && is_canonical && *bits <= width)
                    .ok_or_else(|| problem("its prefix is not a number of bits"))?
            }
        };
        let net = Self { address, bits };
        if net.prefix_of(address) != number(address) {
            return Err(problem("it has bits after its prefix"));
        }
        Ok(net)
    }

    fn contains(self, address: IpAddr) -> bool {
        self.address.is_ipv4() == address.is_ipv4()
            && self.prefix_of(address) == number(self.address)
    }

    /// The address with the bits after the prefix cleared.
    fn prefix_of(self, address: IpAddr) -> u128 {
        let width = if address.is_ipv4() { 32 } else { 128 };
        let rest = width - self.bits;
        number(address)
            .checked_shr(rest)
            .unwrap_or(0)
            .checked_shl(rest)
            .unwrap_or(0)
    }
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(address.to_bits()),
        IpAddr::V6(address) => address.to_bits(),
    }
}

/// Why a network is invalid.
///
/// ```
/// use countersign::Diagnostic as _;
/// use countersign::proxy_protocol::Trusted;
///
/// let error = Trusted::nets(["10.0.3.7/24"]).unwrap_err();
/// assert_eq!(error.reason(), "invalid_net");
/// assert_eq!(error.cause(), "the network \"10.0.3.7/24\": it has bits after its prefix");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct NetError {
    net: String,
    problem: &'static str,
}

impl Diagnostic for NetError {
    fn reason(&self) -> &'static str {
        "invalid_net"
    }

    fn cause(&self) -> Cow<'_, str> {
        format!("the network \"{}\": {}", Escaped(&self.net), self.problem).into()
    }

    fn remedy(&self) -> Cow<'_, str> {
        "write an address such as 192.0.2.10, or a network such as 10.0.3.0/24 or 2001:db8:3::/48"
            .into()
    }
}

display_diagnostic!(NetError);

#[cfg(test)]
mod tests {
    use super::*;

    fn contains(trusted: &Trusted, ip: &str) -> bool {
        let ip: IpAddr = ip.parse().expect("an address");
        trusted.contains(Some(SocketAddr::new(ip, 4711)))
    }

    #[test]
    fn a_net_contains_its_addresses_in_either_spelling() {
        let trusted = Trusted::nets(["10.0.3.0/24", "192.0.2.10", "2001:db8::/33", "fd00::1"]);
        let trusted = trusted.expect("networks");
        for inside in [
            "10.0.3.0",
            "10.0.3.255",
            "::ffff:10.0.3.7",
            "192.0.2.10",
            "2001:db8:7fff::1",
            "fd00::1",
        ] {
            assert!(contains(&trusted, inside), "{inside}");
        }
        for outside in [
            "10.0.2.255",
            "10.0.4.0",
            "192.0.2.11",
            "2001:db8:8000::",
            "fd00::2",
            "::a00:307",
        ] {
            assert!(!contains(&trusted, outside), "{outside}");
        }
        assert!(!trusted.contains(None));
        assert!(Trusted::every_peer().contains(None));
    }

    #[test]
    fn the_whole_family_is_a_net_and_not_the_other_family() {
        let trusted = Trusted::nets(["0.0.0.0/0"]).expect("a network");
        assert!(contains(&trusted, "255.0.0.1") && !contains(&trusted, "::1"));
        let trusted = Trusted::nets(["::/0"]).expect("a network");
        assert!(contains(&trusted, "ffff::1") && !contains(&trusted, "127.0.0.1"));
    }

    #[test]
    fn an_ambiguous_net_is_an_error() {
        for net in [
            "",
            "proxy.example",
            "10.0.3.7/24",
            "10.0.0.0/33",
            "10.0.0.0/",
            "10.0.0.0/+8",
            "10.0.0.0/08",
            "10.0.0.0/-1",
            "10.0.0.0/8/8",
            "10.0.0/8",
            "010.0.0.0/8",
            "::1/129",
            "2001:db8::1/32",
            "::ffff:10.0.0.0/104",
            "::ffff:10.0.0.1",
            "10.0.0.0/255.0.0.0",
            " 10.0.0.0/8",
            "10.0.0.1:80",
        ] {
            let error = Trusted::nets([net]).expect_err(net);
            assert_eq!(error.reason(), "invalid_net", "{net}");
        }
        assert!(Trusted::nets([""; 0]).is_err());
    }
}
