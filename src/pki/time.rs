//! Times, as people read them.

use std::fmt;

use rustls_pki_types::UnixTime;
use time::OffsetDateTime;
use time::format_description::well_known;

/// Prints a time as RFC 3339 in UTC: `2026-11-21T09:30:00Z`.
pub(crate) struct Rfc3339(pub(crate) UnixTime);

impl fmt::Display for Rfc3339 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        let text = i64::try_from(seconds)
            .ok()
            .and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok())
            .and_then(|time| time.format(&well_known::Rfc3339).ok());
        match text {
            Some(text) => f.write_str(&text),
            // After the year 9999.
            None => write!(f, "{seconds} s after 1970"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn prints_utc_and_survives_any_value() {
        let at = |seconds| Rfc3339(UnixTime::since_unix_epoch(Duration::from_secs(seconds)));
        assert_eq!(at(0).to_string(), "1970-01-01T00:00:00Z");
        assert_eq!(at(1_795_253_400).to_string(), "2026-11-21T09:30:00Z");
        assert_eq!(
            at(u64::MAX).to_string(),
            "18446744073709551615 s after 1970"
        );
    }
}
