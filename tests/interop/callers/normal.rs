//! Takes out of what a program says whatever differs from one run, or one build, to the next.

/// The version in the line that a program says about itself.
pub(super) fn version(line: &str) -> String {
    let mut numbers = line
        .split([' ', '/'])
        .map(|word| word.trim_start_matches(['v', 'g', 'o']));
    let is_number = |word: &&str| word.starts_with(|first: char| first.is_ascii_digit());
    let Some(number) = numbers.find(is_number) else {
        return line.to_owned();
    };
    // Python and Node say of which OpenSSL they are.
    match line.split_once(" with OpenSSL ") {
        Some((_, openssl)) => {
            let openssl = openssl.split(' ').next().unwrap_or_default();
            format!("{number} with OpenSSL {openssl}")
        }
        None => number.to_owned(),
    }
}

/// An error without ports, addresses in memory, places in source files, and what depends on the
/// timing.
pub(super) fn error(text: &str, port: u16) -> String {
    let words = text.split_whitespace().map(|word| {
        let word = word.replace(&format!(":{port}"), ":8443");
        without_place(&without_thread(&without_own_port(&word)))
    });
    let text = words.collect::<Vec<_>>().join(" ");
    // Where Go has hit upon the error.
    let text = text
        .replace(" (_ssl.c)", "")
        .replace("readLoopPeekFailLocked: ", "");
    let text = match text.split_once("timed out after ") {
        Some((before, _)) => format!("{before}timed out"),
        None => text,
    };
    ours(&printable(without_errno(&text)))
}

/// curl gives the system's last error too, whatever that was about.
fn without_errno(text: &str) -> &str {
    let start = [", errno ", " (errno: "]
        .iter()
        .find_map(|start| text.find(start));
    start.map_or(text, |start| &text[..start])
}

fn printable(text: &str) -> String {
    let escaped = |c: char| match c {
        c if c.is_ascii_control() => format!("\\x{:02x}", u32::from(c)),
        c => c.to_string(),
    };
    text.chars().map(escaped).collect()
}

/// A message of ours without fingerprints and random serial numbers, and without the sizes of what
/// clients send.
pub(crate) fn ours(message: &str) -> String {
    let words: Vec<&str> = message.split(' ').collect();
    let mut normal = Vec::new();
    for (index, word) in words.iter().enumerate() {
        let digits = word.trim_start_matches('(');
        let is_size = words.get(index + 1) == Some(&"bytes") && digits.parse::<u64>().is_ok();
        let after = |before| index > 0 && words[index - 1].trim_start_matches('(') == before;
        let without_hex = word.trim_start_matches(|c: char| c.is_ascii_hexdigit());
        normal.push(if after("sha256") {
            without_hex.to_owned()
        } else if after("serial") && word.len() > 16 {
            format!("…{without_hex}")
        } else if is_size {
            word.replace(digits, "N")
        } else {
            (*word).to_owned()
        });
    }
    normal.join(" ")
}

/// OpenSSL writes the thread's number before an error.
fn without_thread(word: &str) -> String {
    match word.split_once(":error:") {
        Some((thread, rest)) if thread.chars().all(|c| c.is_ascii_hexdigit()) => {
            format!("error:{rest}")
        }
        _ => word.to_owned(),
    }
}

/// Go writes the port from which it called: `127.0.0.1:40000->127.0.0.1:8443`.
fn without_own_port(word: &str) -> String {
    match word.split_once("->") {
        Some((from, to)) => {
            let address = from.trim_end_matches(|c: char| c.is_ascii_digit());
            format!("{address}50000->{to}")
        }
        None => word.to_owned(),
    }
}

/// `rec_layer_s3.c:1600` to `rec_layer_s3.c`.
fn without_place(word: &str) -> String {
    let Some((before, after)) = word.split_once(".c:") else {
        return word.to_owned();
    };
    let file = before.rfind([':', '(']).map_or(0, |at| at + 1);
    let rest = after.trim_start_matches(|c: char| c.is_ascii_digit());
    let name = before[file..].rsplit('/').next().unwrap_or_default();
    format!("{}{name}.c{rest}", &before[..file])
}

#[test]
fn our_messages_lose_fingerprints_and_sizes() {
    assert_eq!(
        ours(
            "certificate \"CN=a\" (serial 2a, sha256 0f7133a355c267ea…): closed (517 bytes had come)"
        ),
        "certificate \"CN=a\" (serial 2a, sha256 …): closed (N bytes had come)"
    );
    assert_eq!(
        ours("certificate \"CN=a\" (serial 522759d4177d6f96fb00f3e18d054b4c, sha256 0f71…)"),
        "certificate \"CN=a\" (serial …, sha256 …)"
    );
}

#[test]
fn versions_are_found() {
    for (line, number) in [
        (
            "curl 7.88.1 (x86_64-pc-linux-gnu) libcurl/7.88.1 OpenSSL/3.0.19",
            "7.88.1",
        ),
        (
            "OpenSSL 3.0.19 27 Jan 2026 (Library: OpenSSL 3.0.19)",
            "3.0.19",
        ),
        (
            "3.11.7 with OpenSSL 3.0.19 27 Jan 2026",
            "3.11.7 with OpenSSL 3.0.19",
        ),
        ("javac 17.0.15", "17.0.15"),
        ("go version go1.19.8 linux/amd64", "1.19.8"),
        (
            "v20.20.2 with OpenSSL 3.0.17",
            "20.20.2 with OpenSSL 3.0.17",
        ),
        ("gnutls-cli 3.7.9", "3.7.9"),
        ("nginx version: nginx/1.22.1", "1.22.1"),
        (
            "HAProxy version 2.6.12-1+deb12u4 2026/10/17",
            "2.6.12-1+deb12u4",
        ),
    ] {
        assert_eq!(version(line), number);
    }
}

#[test]
fn what_differs_each_time_is_taken_out() {
    for (said, stays) in [
        (
            "80DB1C0000:error:0A000418:SSL routines:ssl3_read_bytes:tlsv1 alert unknown \
             ca:../ssl/record/rec_layer_s3.c:1600:SSL alert number 48",
            "error:0A000418:SSL routines:ssl3_read_bytes:tlsv1 alert unknown \
             ca:rec_layer_s3.c:SSL alert number 48",
        ),
        (
            "ssl.SSLError: [SSL: TLSV1_ALERT_ACCESS_DENIED] tlsv1 alert access denied (_ssl.c:2580)",
            "ssl.SSLError: [SSL: TLSV1_ALERT_ACCESS_DENIED] tlsv1 alert access denied",
        ),
        (
            "Get \"https://localhost:4711/\": remote error",
            "Get \"https://localhost:8443/\": remote error",
        ),
        (
            "read tcp 127.0.0.1:33534->127.0.0.1:4711: read: connection reset by peer",
            "read tcp 127.0.0.1:50000->127.0.0.1:8443: read: connection reset by peer",
        ),
        (
            "curl: (56) reading failed (errno: 115)",
            "curl: (56) reading failed",
        ),
        (
            "BadStatusLine: \x15\x03\x03\0",
            "BadStatusLine: \\x15\\x03\\x03\\x00",
        ),
    ] {
        assert_eq!(error(said, 4711), stays);
    }
}
