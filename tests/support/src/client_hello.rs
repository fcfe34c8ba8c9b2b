//! Reads ClientHellos (RFC 8446 section 4.1.2) that are alone in their record.

/// After the record's header, the message's, version and random.
const SESSION_ID: usize = 5 + 4 + 2 + 32;

pub const EXTENDED_MASTER_SECRET: u16 = 23;
const SUPPORTED_VERSIONS: u16 = 43;
const PRE_SHARED_KEY: u16 = 41;

/// Whether it offers a session: a pre-shared key, or by TLS 1.2 a session's number, which goes with
/// a ticket too.
pub fn offers_session(hello: &[u8]) -> bool {
    let extensions = extensions(hello);
    let has = |wanted| extensions.iter().any(|&(number, _)| number == wanted);
    if has(SUPPORTED_VERSIONS) {
        has(PRE_SHARED_KEY)
    } else {
        hello[SESSION_ID] > 0
    }
}

/// Takes an extension out.
pub fn without(hello: &[u8], extension: u16) -> Vec<u8> {
    let extensions = extensions(hello);
    let start = extensions[0].1;
    let place = |number| extensions.iter().position(|known| known.0 == number);
    let index = place(extension).expect("it is there");
    let at = extensions[index].1;
    let next = extensions.get(index + 1).map_or(hello.len(), |next| next.1);

    let mut shorter = [&hello[..at], &hello[next..]].concat();
    for length in [3, 7, start - 2] {
        // Of the record, of the message (its lower bytes), and of the extensions.
        let shortened = u16_at(hello, length) - u16::try_from(next - at).unwrap();
        shorter[length..length + 2].copy_from_slice(&shortened.to_be_bytes());
    }
    shorter
}

/// The extensions' numbers, and where each begins.
fn extensions(hello: &[u8]) -> Vec<(u16, usize)> {
    let suites = SESSION_ID + 1 + usize::from(hello[SESSION_ID]);
    let compression = suites + 2 + usize::from(u16_at(hello, suites));
    let mut at = compression + 1 + usize::from(hello[compression]) + 2;
    let mut extensions = Vec::new();
    while at < hello.len() {
        extensions.push((u16_at(hello, at), at));
        at += 4 + usize::from(u16_at(hello, at + 2));
    }
    extensions
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}
