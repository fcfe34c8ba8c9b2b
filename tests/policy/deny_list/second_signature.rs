//! Why there is no entry by a certificate's fingerprint: the holder can make another certificate of the same
//! content, with another valid signature.

use countersign::identity::DnsName;
use countersign::policy::{DeniedBy, DenyList};
use countersign::testing::{TestCa, der};
use countersign::{Certificate, ConnectionInfo, Connector, Credentials, Decision, Peer, policy};
use rustls::AlertDescription as A;
use rustls_pki_types::CertificateDer;

use super::{denied, key, serial};
use support::{acceptor, alert_seen, exchange_and_close, handshake};

#[tokio::test(start_paused = true)]
async fn a_second_signature_does_not_help() {
    let ca = TestCa::new("Root");
    let issued = ca.leaf().dns("client.example").issue();
    let twin = with_other_signature(issued.leaf_der());
    let twin_certificate = Certificate::from_der(&twin).unwrap();
    assert_ne!(twin_certificate.sha256(), issued.certificate().sha256());

    let list = DenyList::new();
    let known = issued.certificate().sha256();
    let by_fingerprint = move |peer: &Peer<DnsName>| match peer.certificate().sha256() == known {
        true => Decision::deny("this certificate is stolen"),
        false => Decision::allow("another certificate"),
    };
    let acceptor = acceptor(&ca, by_fingerprint)
        .deny_list(&list)
        .build()
        .unwrap();
    let client = Connector::builder()
        .credentials(Credentials::from_der(vec![twin.clone()], issued.key_der()).unwrap())
        .trust(ca.trust())
        .identify(DnsName::extractor())
        .authorize(policy::allow_any())
        .build()
        .unwrap();
    let original = ConnectionInfo::default();
    let rejected = acceptor.control().admit_chain(issued.chain(), original);
    assert_eq!(rejected.unwrap_err().reason(), "denied");
    let (server, client_side) = handshake(&acceptor, &client).await;
    exchange_and_close(server, client_side).await; // the fingerprint was evaded

    for (entry, by) in [
        (serial(&issued.certificate()), DeniedBy::Serial),
        (key(&issued.certificate()), DeniedBy::Key),
    ] {
        list.replace([entry]);
        let (server, client) = handshake(&acceptor, &client).await;
        assert_eq!(server.unwrap_err().reason(), "deny_listed");
        assert_eq!(alert_seen(client).await, A::CertificateRevoked);
        let chain = std::slice::from_ref(&twin);
        assert_eq!(denied(acceptor.control(), chain), Some(by));
    }
}

/// Turns the signature (r, s) into (r, n − s), n being the order of P-256.
fn with_other_signature(certificate: &CertificateDer<'_>) -> CertificateDer<'static> {
    const ORDER: [u8; 32] = [
        0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc,
        0xe6, 0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
    ];

    let [tbs, algorithm, signature] = parts(certificate);
    let bits = &signature[signature.len() - content(signature).len() + 1..]; // none of them unused
    let [r, s] = parts(bits);
    let mut other = [0; 32];
    let s = content(s);
    let at = |digits: &[u8], place: usize| {
        let index = digits.len().checked_sub(place + 1);
        index.map_or(0, |index| i16::from(digits[index]))
    };
    let mut borrow = 0;
    for place in 0..32 {
        let digit = at(&ORDER, place) - at(s, place) - borrow;
        borrow = i16::from(digit < 0);
        other[31 - place] = digit.rem_euclid(256) as u8;
    }
    assert_eq!(borrow, 0, "s is less than the order");
    let zeros = other.iter().take_while(|digit| **digit == 0).count();
    let mut other = other[zeros..].to_vec();
    if other[0] >= 0x80 {
        other.insert(0, 0);
    }
    let signature = der::sequence(&[r.to_vec(), der::tlv(0x02, other)]);
    der::sequence(&[
        tbs.to_vec(),
        algorithm.to_vec(),
        der::bit_string(0, signature),
    ])
    .into()
}

/// The parts of a sequence, each with its tag and length.
fn parts<const N: usize>(sequence: &[u8]) -> [&[u8]; N] {
    let mut rest = content(sequence);
    std::array::from_fn(|_| {
        let (part, others) = rest.split_at(header(rest).0 + header(rest).1);
        rest = others;
        part
    })
}

fn content(tlv: &[u8]) -> &[u8] {
    let (header, length) = header(tlv);
    &tlv[header..header + length]
}

/// How long the tag and the length are, and the length itself.
fn header(tlv: &[u8]) -> (usize, usize) {
    match tlv[1] {
        short @ ..0x80 => (2, usize::from(short)),
        long => {
            let octets = usize::from(long - 0x80);
            let length = tlv[2..2 + octets]
                .iter()
                .fold(0, |length, octet| length << 8 | usize::from(*octet));
            (2 + octets, length)
        }
    }
}
