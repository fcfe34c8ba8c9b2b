//! Client certificates in the headers that proxies set, and what a forger would send in their place.

use countersign::testing::{Issued, TestCa};
use rustls_pki_types::CertificateDer;

/// A kind of header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Format {
    ClientCert,
    Xfcc,
    AwsAlb,
    Nginx,
    Haproxy,
}

pub const FORMATS: [Format; 5] = [
    Format::ClientCert,
    Format::Xfcc,
    Format::AwsAlb,
    Format::Nginx,
    Format::Haproxy,
];

pub type Headers = Vec<(String, String)>;

/// Headers that are refused.
pub struct Forgery {
    pub format: Format,
    pub what: &'static str,
    pub headers: Headers,
    pub reason: &'static str,
}

/// The base64 lines of PEM, in one.
fn base64_of_pem(pem: &str) -> String {
    pem.lines()
        .filter(|line| !line.starts_with("-----"))
        .collect()
}

/// Each certificate of a chain in base64, leaf first.
fn base64(issued: &Issued) -> Vec<String> {
    let pem = issued.chain_pem();
    let blocks = pem.split_inclusive("-----END CERTIFICATE-----");
    let blocks = blocks.map(base64_of_pem);
    blocks.filter(|block| !block.is_empty()).collect()
}

/// Bytes in base64.
pub fn encoded(bytes: &[u8]) -> String {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let mut three = [0; 3];
        three[..chunk.len()].copy_from_slice(chunk);
        let number = u32::from_be_bytes([0, three[0], three[1], three[2]]);
        for place in 0..4 {
            if place <= chunk.len() {
                let digit = number >> (18 - 6 * place) & 63;
                text.push(ALPHABET[digit as usize] as char);
            } else {
                text.push('=');
            }
        }
    }
    text
}

/// PEM as Envoy, nginx and AWS encode it.
pub fn url(pem: &str) -> String {
    pem.replace('\n', "%0A")
        .replace(' ', "%20")
        .replace('+', "%2B")
        .replace('/', "%2F")
        .replace('=', "%3D")
}

/// As AWS does, which leaves `+=/`.
fn url_of_aws(pem: &str) -> String {
    pem.replace('\n', "%0A").replace(' ', "%20")
}

fn joined(chain: &[CertificateDer<'_>]) -> Vec<u8> {
    chain.iter().flat_map(|der| der.to_vec()).collect()
}

fn leaf_pem(issued: &Issued) -> String {
    issued.leaf_only().chain_pem()
}

fn header(name: &str, value: impl Into<String>) -> (String, String) {
    (name.to_owned(), value.into())
}

fn sha256(issued: &Issued) -> String {
    issued.certificate().sha256().to_string()
}

/// What a proxy with this format sends for a client.
pub fn forwarded(format: Format, client: &Issued) -> Headers {
    let base64 = base64(client);
    match format {
        Format::ClientCert => {
            let mut headers = vec![header("Client-Cert", format!(":{}:", base64[0]))];
            if base64.len() > 1 {
                let issuers: Vec<_> = base64[1..].iter().map(|it| format!(":{it}:")).collect();
                headers.push(header("Client-Cert-Chain", issuers.join(", ")));
            }
            headers
        }
        Format::Xfcc => {
            let (leaf, chain) = (url(&leaf_pem(client)), url(&client.chain_pem()));
            let hash = sha256(client);
            let value = format!(
                "By=spiffe://example.org/edge;Hash={hash};Cert=\"{leaf}\";Chain=\"{chain}\";Subject=\"\""
            );
            vec![header("X-Forwarded-Client-Cert", value)]
        }
        Format::AwsAlb => vec![header(
            "X-Amzn-Mtls-Clientcert",
            url_of_aws(&client.chain_pem()),
        )],
        Format::Nginx => vec![header("X-SSL-Client-Cert", url(&leaf_pem(client)))],
        Format::Haproxy => {
            let mut headers = vec![header("X-SSL-Client-Cert", &*base64[0])];
            let issuers: Vec<u8> = joined(&client.chain()[1..]);
            if !issuers.is_empty() {
                headers.push(header("X-SSL-Client-Chain", encoded(&issuers)));
            }
            headers
        }
    }
}

/// What AWS sends in its verify mode.
pub fn verified_by_aws(client: &Issued) -> Headers {
    let serial: String = client
        .serial()
        .iter()
        .map(|it| format!("{it:02X}"))
        .collect();
    vec![
        header("X-Amzn-Mtls-Clientcert-Leaf", url_of_aws(&leaf_pem(client))),
        header("X-Amzn-Mtls-Clientcert-Serial-Number", serial),
        header("X-Amzn-Mtls-Clientcert-Issuer", "CN=Issuing CA"),
        header("X-Amzn-Mtls-Clientcert-Subject", "CN=client"),
        header(
            "X-Amzn-Mtls-Clientcert-Validity",
            "NotBefore=2025-01-01T00:00:00Z;NotAfter=2035-01-01T00:00:00Z",
        ),
    ]
}

/// Certificates with which forgeries are made.
pub struct Cast {
    /// The authority of the clients.
    pub issuing: TestCa,
    /// Trusted, allowed; by an intermediate.
    pub client: Issued,
    /// Trusted, allowed; it stands for the victim of a forgery.
    pub other: Issued,
    /// Trusted, and not allowed.
    pub mallory: Issued,
    /// With the client's names, by an authority that is not trusted.
    pub impostor: Issued,
    pub expired: Issued,
}

impl Cast {
    pub fn new(ca: &TestCa) -> Self {
        let issuing = ca.intermediate("Issuing CA");
        let named = |ca: &TestCa, name: &str| ca.leaf().dns(name).uri(&format!("urn:{name}"));
        Self {
            client: named(&issuing, "client.example").issue(),
            other: named(&issuing, "other.example").issue(),
            mallory: named(&issuing, "mallory.example").issue(),
            impostor: named(&TestCa::new("Strange Root"), "client.example").issue(),
            expired: named(&issuing, "client.example").expired().issue(),
            issuing,
        }
    }

    /// More than forty requests of a proxy that must not pass.
    pub fn forgeries(&self) -> Vec<Forgery> {
        let mut all = self.of_every_format();
        all.extend(self.of_rfc_9440());
        all.extend(self.of_envoy());
        all.extend(self.of_aws());
        all.extend(self.of_nginx());
        all.extend(self.of_haproxy());
        all
    }

    fn of_every_format(&self) -> Vec<Forgery> {
        let mut all = Vec::new();
        for format in FORMATS {
            let mut add = |what, headers: Headers, reason| {
                all.push(Forgery {
                    format,
                    what,
                    headers,
                    reason,
                });
            };
            let good = forwarded(format, &self.client);
            let victim = forwarded(format, &self.other);
            let (name, value) = good[0].clone();
            let with = |more: (String, String)| [good.clone(), vec![more]].concat();
            add("no header", Vec::new(), "proxied_identity_missing");
            add(
                "the header twice",
                with(good[0].clone()),
                "proxied_identity_repeated",
            );
            add(
                "two clients",
                with(victim[0].clone()),
                "proxied_identity_repeated",
            );
            let spelled = name.replace('-', "_");
            add(
                "an underscore beside it",
                with((spelled.clone(), victim[0].1.clone())),
                "proxied_identity_mixed",
            );
            add(
                "an underscore alone",
                vec![(spelled, value.clone())],
                "proxied_identity_mixed",
            );
            let dotted = name.replacen('-', ".", 1);
            add(
                "a dot beside it",
                with((dotted, value.clone())),
                "proxied_identity_mixed",
            );
            let other = FORMATS
                .into_iter()
                .find(|it| forwarded(*it, &self.client)[0].0 != name)
                .unwrap();
            let other = forwarded(other, &self.other)[0].clone();
            add(
                "another format beside it",
                with(other.clone()),
                "proxied_identity_mixed",
            );
            add(
                "another format alone",
                vec![other],
                "proxied_identity_mixed",
            );
            add(
                "hop by hop",
                with(header("Connection", format!("keep-alive, {name}"))),
                "proxied_identity_mixed",
            );
            add(
                "joined by a comma",
                vec![(name.clone(), format!("{value}, {value}"))],
                "proxied_identity_malformed",
            );
            add(
                "joined without a space",
                vec![(name.clone(), format!("{value},{value}"))],
                "proxied_identity_malformed",
            );
            add(
                "empty",
                vec![(name.clone(), String::new())],
                "proxied_identity_malformed",
            );
            add(
                "cut short",
                vec![(name.clone(), value[..value.len() - 9].to_owned())],
                "proxied_identity_malformed",
            );
            add(
                "a space within",
                vec![(name.clone(), value.replacen("MII", "M II", 1))],
                "proxied_identity_malformed",
            );
            add(
                "a tab within",
                vec![(name.clone(), value.replacen("MII", "M\tII", 1))],
                "proxied_identity_malformed",
            );
            add(
                "an encoded letter",
                vec![(name.clone(), value.replacen("MII", "%4DII", 1))],
                "proxied_identity_malformed",
            );
            add(
                "text after it",
                vec![(name.clone(), format!("{value} x"))],
                "proxied_identity_malformed",
            );
            add(
                "too large",
                vec![(name.clone(), value.clone() + &"A".repeat(65_536))],
                "proxied_identity_too_large",
            );
            add(
                "another authority",
                forwarded(format, &self.impostor),
                "unknown_issuer",
            );
            add("expired", forwarded(format, &self.expired), "expired");
            add("not allowed", forwarded(format, &self.mallory), "denied");
        }
        all
    }

    fn of_rfc_9440(&self) -> Vec<Forgery> {
        let base64 = base64(&self.client);
        let (leaf, issuer) = (&base64[0], &base64[1]);
        let whole = self.client.leaf_der().to_vec();
        let with_rest = encoded(&[&whole[..], &[0]].concat());
        let twice = encoded(&[&whole[..], &whole].concat());
        let cut = encoded(&whole[..whole.len() - 1]);
        let value = |value: String| vec![header("Client-Cert", value)];
        let chain = |value: String| {
            vec![
                header("Client-Cert", format!(":{leaf}:")),
                header("Client-Cert-Chain", value),
            ]
        };
        let malformed = "proxied_identity_malformed";
        let url_safe = leaf.replace('+', "-").replace('/', "_");
        [
            ("without colons", value(leaf.clone()), malformed),
            ("one colon", value(format!(":{leaf}")), malformed),
            ("nothing in colons", value("::".into()), malformed),
            ("more padding", value(format!(":{leaf}=:")), malformed),
            (
                "URL-safe base64",
                value(format!(":{url_safe}-_:")),
                malformed,
            ),
            ("a parameter", value(format!(":{leaf}:;a=1")), malformed),
            ("an inner list", value(format!("(:{leaf}:)")), malformed),
            ("a string", value(format!("\"{leaf}\"")), malformed),
            ("PEM", value(url(&leaf_pem(&self.client))), malformed),
            (
                "bytes after the certificate",
                value(format!(":{with_rest}:")),
                malformed,
            ),
            (
                "two certificates in one",
                value(format!(":{twice}:")),
                malformed,
            ),
            (
                "a certificate that is cut",
                value(format!(":{cut}:")),
                malformed,
            ),
            (
                "a chain alone",
                vec![header("Client-Cert-Chain", format!(":{leaf}:"))],
                "proxied_identity_missing",
            ),
            ("an empty chain", chain(String::new()), malformed),
            (
                "an empty member",
                chain(format!(":{issuer}:, , :{issuer}:")),
                malformed,
            ),
            (
                "a comma at the end",
                chain(format!(":{issuer}:,")),
                malformed,
            ),
            (
                "eleven certificates",
                chain(vec![format!(":{issuer}:"); 10].join(",")),
                "proxied_identity_too_large",
            ),
            (
                "a split chain",
                [
                    chain(format!(":{issuer}:")),
                    vec![header("Client-Cert-Chain", format!(":{issuer}:"))],
                ]
                .concat(),
                "proxied_identity_repeated",
            ),
            (
                "a chain in another spelling",
                [
                    chain(format!(":{issuer}:")),
                    vec![header("Client_Cert-Chain", format!(":{issuer}:"))],
                ]
                .concat(),
                "proxied_identity_mixed",
            ),
        ]
        .into_iter()
        .map(|(what, headers, reason)| Forgery {
            format: Format::ClientCert,
            what,
            headers,
            reason,
        })
        .collect()
    }

    fn of_envoy(&self) -> Vec<Forgery> {
        let (leaf, hash) = (url(&leaf_pem(&self.client)), sha256(&self.client));
        let chain = url(&self.client.chain_pem());
        let (other, other_hash) = (url(&leaf_pem(&self.other)), sha256(&self.other));
        let malformed = "proxied_identity_malformed";
        let mismatch = "proxied_identity_mismatch";
        [
            (
                "two elements",
                format!("Hash={hash};Cert=\"{leaf}\",Hash={other_hash};Cert=\"{other}\""),
                malformed,
            ),
            (
                "the victim first",
                format!("Hash={other_hash};Cert=\"{other}\",Hash={hash};Cert=\"{leaf}\""),
                malformed,
            ),
            (
                "a certificate that is not the hash's",
                format!("Hash={hash};Cert=\"{other}\""),
                mismatch,
            ),
            (
                "a chain that is not the certificate's",
                format!("Hash={hash};Cert=\"{leaf}\";Chain=\"{other}\""),
                mismatch,
            ),
            (
                "an empty chain",
                format!("Hash={hash};Cert=\"{leaf}\";Chain=\"\""),
                malformed,
            ),
            (
                "a URI of another",
                format!("Hash={hash};Cert=\"{leaf}\";URI=urn:other.example"),
                mismatch,
            ),
            (
                "an empty URI beside a certificate with one",
                format!("Hash={hash};Cert=\"{leaf}\";URI="),
                mismatch,
            ),
            (
                "a DNS name of another",
                format!("Hash={hash};Cert=\"{leaf}\";DNS=other.example"),
                mismatch,
            ),
            (
                "a second URI of another",
                format!("Hash={hash};Cert=\"{leaf}\";URI=urn:client.example;URI=urn:other.example"),
                mismatch,
            ),
            ("a hash alone", format!("Hash={hash}"), malformed),
            (
                "names alone",
                "URI=urn:client.example;DNS=client.example".into(),
                malformed,
            ),
            (
                "a certificate after the names",
                format!("Hash={other_hash};URI=urn:a;Cert=\"{other}\""),
                malformed,
            ),
            (
                "a certificate after the subject",
                format!("Hash={hash};Subject=\"CN=a\";Cert=\"{other}\""),
                malformed,
            ),
            (
                "two certificates",
                format!("Hash={hash};Cert=\"{leaf}\";Cert=\"{other}\""),
                malformed,
            ),
            (
                "two certificates in one field",
                format!("Hash={hash};Cert=\"{chain}\""),
                malformed,
            ),
            (
                "two hashes",
                format!("Hash={hash};Hash={other_hash};Cert=\"{leaf}\""),
                malformed,
            ),
            (
                "an unknown field",
                format!("Hash={hash};Key=1;Cert=\"{leaf}\""),
                malformed,
            ),
            (
                "a field without a value",
                format!("Hash;Cert=\"{leaf}\""),
                malformed,
            ),
            (
                "an empty field",
                format!("Hash={hash};;Cert=\"{leaf}\""),
                malformed,
            ),
            (
                "a semicolon at the end",
                format!("Hash={hash};Cert=\"{leaf}\";"),
                malformed,
            ),
            (
                "a space before a field",
                format!("Hash={hash}; Cert=\"{leaf}\""),
                malformed,
            ),
            (
                "a quote that does not end",
                format!("Hash={hash};Cert=\"{leaf}"),
                malformed,
            ),
            (
                "text after a quote",
                format!("Hash={hash};Cert=\"{leaf}\"x"),
                malformed,
            ),
            (
                "a quote within",
                format!("Hash={hash};Cert={leaf}\""),
                malformed,
            ),
            (
                "a certificate encoded twice",
                format!("Hash={hash};Cert=\"{}\"", leaf.replace('%', "%25")),
                malformed,
            ),
        ]
        .into_iter()
        .map(|(what, value, reason)| Forgery {
            format: Format::Xfcc,
            what,
            headers: vec![header("X-Forwarded-Client-Cert", value)],
            reason,
        })
        .collect()
    }

    fn of_aws(&self) -> Vec<Forgery> {
        let leaf = verified_by_aws(&self.client);
        let victim = verified_by_aws(&self.other);
        let chain = forwarded(Format::AwsAlb, &self.client);
        let changed = |name: &str, value: String| {
            let mut headers = leaf.clone();
            headers.iter_mut().find(|(it, _)| it == name).unwrap().1 = value;
            headers
        };
        [
            (
                "both modes",
                [chain.clone(), leaf.clone()].concat(),
                "proxied_identity_mixed",
            ),
            (
                "the victim in the other mode",
                [chain.clone(), vec![victim[0].clone()]].concat(),
                "proxied_identity_mixed",
            ),
            (
                "the texts of the other mode",
                [chain.clone(), vec![leaf[3].clone()]].concat(),
                "proxied_identity_mixed",
            ),
            (
                "a serial number of another",
                changed("X-Amzn-Mtls-Clientcert-Serial-Number", victim[1].1.clone()),
                "proxied_identity_mismatch",
            ),
            (
                "a leaf of another",
                changed("X-Amzn-Mtls-Clientcert-Leaf", victim[0].1.clone()),
                "proxied_identity_mismatch",
            ),
            (
                "two leaves",
                changed("X-Amzn-Mtls-Clientcert-Leaf", chain[0].1.clone()),
                "proxied_identity_malformed",
            ),
            (
                "the leaf twice",
                [leaf.clone(), vec![leaf[0].clone()]].concat(),
                "proxied_identity_repeated",
            ),
            (
                "the subject twice",
                [leaf.clone(), vec![victim[3].clone()]].concat(),
                "proxied_identity_repeated",
            ),
            (
                "texts alone",
                leaf[1..].to_vec(),
                "proxied_identity_missing",
            ),
            (
                "an unknown header of the family",
                [
                    leaf.clone(),
                    vec![header("X-Amzn-Mtls-Clientcert-Chain", "x")],
                ]
                .concat(),
                "proxied_identity_mixed",
            ),
        ]
        .into_iter()
        .map(|(what, headers, reason)| Forgery {
            format: Format::AwsAlb,
            what,
            headers,
            reason,
        })
        .collect()
    }

    fn of_nginx(&self) -> Vec<Forgery> {
        let pem = leaf_pem(&self.client);
        let value = url(&pem);
        [
            ("two certificates", url(&self.client.chain_pem())),
            ("text before", format!("subject%20%3D%20x%0A{value}")),
            ("text after", format!("{value}x%0A")),
            ("an empty line", value.replacen("%0A", "%0A%0A", 1)),
            ("a NUL", value.replacen("%0A", "%00%0A", 1)),
            ("an encoded hyphen", value.replacen("--", "%2D-", 1)),
            ("half an encoding", format!("{value}%0")),
            ("encoded twice", value.replace('%', "%25")),
            ("spaces as plus signs", value.replace("%20", "+")),
            ("no end", value.split("-----END").next().unwrap().to_owned()),
            (
                "another label",
                value.replace("CERTIFICATE", "TRUSTED%20CERTIFICATE"),
            ),
            ("without encoding", pem.replace('\n', "\t")),
            ("base64 alone", base64(&self.client)[0].clone()),
        ]
        .into_iter()
        .map(|(what, value)| Forgery {
            format: Format::Nginx,
            what,
            headers: vec![header("X-SSL-Client-Cert", value)],
            reason: "proxied_identity_malformed",
        })
        .collect()
    }

    fn of_haproxy(&self) -> Vec<Forgery> {
        let base64 = base64(&self.client);
        let twice = encoded(&joined(self.client.chain()));
        let eleven = encoded(&self.client.chain()[1].repeat(11));
        let leaf = || header("X-SSL-Client-Cert", &*base64[0]);
        let chain = |value: String| vec![leaf(), header("X-SSL-Client-Chain", value)];
        [
            (
                "a byte sequence",
                vec![header("X-SSL-Client-Cert", format!(":{}:", base64[0]))],
                "proxied_identity_malformed",
            ),
            (
                "PEM",
                vec![header("X-SSL-Client-Cert", url(&leaf_pem(&self.client)))],
                "proxied_identity_malformed",
            ),
            (
                "two certificates",
                vec![header("X-SSL-Client-Cert", twice)],
                "proxied_identity_malformed",
            ),
            (
                "a chain of garbage",
                chain("AAAA".into()),
                "proxied_identity_malformed",
            ),
            (
                "a chain alone",
                vec![header("X-SSL-Client-Chain", &*base64[1])],
                "proxied_identity_missing",
            ),
            ("a long chain", chain(eleven), "proxied_identity_too_large"),
            (
                "two chains",
                [
                    chain(base64[1].clone()),
                    vec![header("X-SSL-Client-Chain", &*base64[1])],
                ]
                .concat(),
                "proxied_identity_repeated",
            ),
        ]
        .into_iter()
        .map(|(what, headers, reason)| Forgery {
            format: Format::Haproxy,
            what,
            headers,
            reason,
        })
        .collect()
    }
}
