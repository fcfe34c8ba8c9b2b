//! What the log and `inspect` print can be put on the list.

use countersign::identity::DnsName;
use countersign::policy::{self, DeniedBy, DenyEntry, DenyList};
use countersign::testing::TestCa;

use super::denied;
use support::acceptor;

#[test]
fn what_this_crate_prints_of_a_serial_number_denies_it_and_no_other() {
    let ca = TestCa::new("Root");
    let list = DenyList::new();
    let acceptor = acceptor(&ca, policy::allow_any())
        .deny_list(&list)
        .build()
        .unwrap();
    let peer = |serial: &[u8]| ca.leaf().dns("client.example").serial(serial).issue();
    let negative = b"\x9f\0\x11\x22\x33\x44\x55\x66";
    assert_eq!(
        peer(negative).certificate().serial().to_string(),
        "-60ffeeddccbbaa9a",
        "as OpenSSL prints it"
    );
    for serial in [
        &[1][..],
        &[0x7f; 20],
        &[0, 0x80],
        &[0x80],
        &[0xff],
        &[0xff, 1],
        &[0x80, 0],
        &[0x9f; 40],
        negative,
    ] {
        let peer = peer(serial);
        let printed = peer.certificate().serial().to_string();
        let entry: DenyEntry<DnsName> = format!("serial:{printed} issuer:CN=Root").parse().unwrap();
        list.replace([entry]);
        let by = denied(acceptor.control(), peer.chain());
        assert_eq!(by, Some(DeniedBy::Serial), "{printed}");
        let other = ca.leaf().dns("client.example").serial(&[2, 2]).issue();
        assert_eq!(denied(acceptor.control(), other.chain()), None, "{printed}");
    }
}
