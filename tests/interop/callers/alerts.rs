//! How programs spell the name of an alert that they got.

/// The names of alerts by their number (RFC 8446 section 6), and what Go calls them.
///
/// OpenSSL, Python and Node write the name with spaces or underscores, Java with underscores;
/// GnuTLS gives the number.
const ALERTS: &[(u8, &str, &str)] = &[
    (0, "close notify", "close notify"),
    (40, "handshake failure", "handshake failure"),
    (42, "bad certificate", "bad certificate"),
    (43, "unsupported certificate", "unsupported certificate"),
    (44, "certificate revoked", "revoked certificate"),
    (45, "certificate expired", "expired certificate"),
    (46, "certificate unknown", "unknown certificate"),
    (48, "unknown ca", "unknown certificate authority"),
    (49, "access denied", "access denied"),
    (50, "decode error", "error decoding message"),
    (70, "protocol version", "protocol version not supported"),
    (80, "internal error", "internal error"),
    (116, "certificate required", "certificate required"),
    (120, "no application protocol", "no application protocol"),
];

/// The name in RFC 8446.
pub(crate) fn alert_name(number: u8) -> String {
    let named = ALERTS.iter().find(|(other, ..)| *other == number);
    let (_, name, _) = named.unwrap_or_else(|| panic!("alert {number} is not expected here"));
    name.replace(' ', "_")
}

/// Which alert a program says that it got.
pub(crate) fn named(said: &str) -> Option<u8> {
    let said = said.to_lowercase().replace('_', " ");
    // Our own words: the name before what it means.
    if said.starts_with("the server refused our certificate")
        || said.starts_with("the server refused us: ")
    {
        let is_named = |(_, name, _): &&(u8, &str, &str)| said.contains(&format!(": {name} ("));
        return ALERTS.iter().find(is_named).map(|(number, ..)| *number);
    }
    let (_, alert) = [
        "remote error: tls: ",
        "received alert [",
        "alert: ",
        "alert ",
    ]
    .iter()
    .find_map(|before| said.split_once(before))?;
    let is_named = |(number, name, go): &&(u8, &str, &str)| {
        alert == *go || alert.starts_with(name) || alert.starts_with(&format!("{number}]"))
    };
    ALERTS.iter().find(is_named).map(|(number, ..)| *number)
}

#[test]
fn every_spelling_is_known() {
    for (said, number) in [
        ("tlsv1 alert access denied", Some(49)),
        (
            "[SSL: TLSV1_ALERT_UNKNOWN_CA] tlsv1 alert unknown ca",
            Some(48),
        ),
        (
            "SSLHandshakeException: Received fatal alert: certificate_required",
            Some(116),
        ),
        (
            "Get \"https://localhost/\": remote error: tls: unknown certificate authority",
            Some(48),
        ),
        ("remote error: tls: unknown certificate", Some(46)),
        ("*** Received alert [44]: Certificate was revoked", Some(44)),
        (
            "the server refused our certificate \"CN=a\": unknown_ca (issuer \"CN=b\" is not …); have",
            Some(48),
        ),
        ("certificate verify failed", None),
    ] {
        assert_eq!(named(said), number, "{said}");
    }
}
