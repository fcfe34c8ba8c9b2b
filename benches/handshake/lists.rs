//! Names and revocation lists of any size: what the benches `policy`, `crl` and `growth` share.

use countersign::testing::TestCa;

/// A SPIFFE ID of a realistic length: 53 bytes.
pub fn workload(number: usize) -> String {
    format!(
        "spiffe://example.org/ns/team-{:03}/sa/service-{number:07}",
        number % 1000
    )
}

/// A domain of 22 bytes.
pub fn domain(number: usize) -> String {
    format!("tenant-{number:07}.example")
}

/// A list with pseudo-random serial numbers of 16 octets, the same ones in each run.
pub fn signed_list(ca: &TestCa, entries: usize, number: u64) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let mut list = ca.crl().number(number);
    for _ in 0..entries {
        let mut serial = [random().to_be_bytes(), random().to_be_bytes()].concat();
        serial[0] = serial[0] & 0x3f | 0x40; // positive, and minimal
        list = list.revoke(&serial);
    }
    list.build().to_vec()
}
