//! The report for people.

use std::fmt::{self, Display as _};

use super::described::{Described, Name};
use super::explained::Explained;
use super::style::{field, heading, paint};
use super::text::{self, on_one_line};
use super::verdict::{Verdict, side};
use super::{Outcome, Report};
use crate::terminal::{BAD, GOOD, LABEL};

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let aside = &self.aside;
        if let Some(problem) = &self.problem {
            paint(f, BAD, format_args!("problem:"))?;
            writeln!(f, " {problem}\n")?;
        }
        if let Some(connection) = &self.connection {
            connection.fmt(f)?;
            writeln!(f)?;
            if self.certificate.is_none() {
                return Ok(()); // nothing else was observed
            }
        } else if let Some(explained) = &self.explain {
            heading(f, format_args!("{}", aside.file))?;
            return explained.fmt(f);
        }
        if let Some(certificate) = &self.certificate {
            heading(f, format_args!("The first certificate of {}", aside.file))?;
            self.certificate(f, certificate)?;
            self.others(f)?;
            self.identities(f)?;
        }
        match &self.explain {
            Some(explained) => explained.fmt(f),
            None => self.verdict(f),
        }
    }
}

impl Report {
    fn certificate(&self, f: &mut fmt::Formatter<'_>, of: &Described) -> fmt::Result {
        let (now, (not_before, not_after)) = (self.aside.now.as_secs(), of.validity);
        let begins = if now < not_before { "  (not yet)" } else { "" };
        let ends = if now > not_after { "  (expired)" } else { "" };
        let self_issued = if of.is_self_issued { "  (itself)" } else { "" };
        let list = |names: &Option<Vec<String>>| match names.as_deref() {
            None => "(no such extension)".to_owned(),
            Some([]) => "nothing".to_owned(),
            Some(names) => names.join(", "),
        };
        for (what, value) in [
            ("subject", or_empty(&of.subject).to_owned()),
            ("issuer", format!("{}{self_issued}", or_empty(&of.issuer))),
            ("serial", of.serial.clone()),
            ("valid from", format!("{}{begins}", of.not_before)),
            ("valid until", format!("{}{ends}", of.not_after)),
            ("version", of.version.to_string()),
            ("is a CA", if of.is_ca { "yes" } else { "no" }.to_owned()),
            ("key usage", list(&of.key_usage)),
            ("for", list(&of.extended_key_usage)),
            ("public key", of.public_key.description.clone()),
            ("signed with", of.signature_algorithm.clone()),
            ("sha256", of.sha256.clone()),
            ("spki sha256", of.spki_sha256.clone()),
        ] {
            field(f, what, value)?;
        }
        let critical: Vec<&str> = of
            .extensions
            .iter()
            .filter(|extension| extension.critical)
            .map(|extension| extension.name.unwrap_or(&extension.oid))
            .collect();
        if !critical.is_empty() {
            field(f, "critical", critical.join(", "))?;
        }
        match (&of.san, &of.san_error) {
            (Some(names), _) if names.is_empty() => field(f, "names", "none")?,
            (Some(names), _) => {
                for (index, name) in names.iter().enumerate() {
                    let what = if index == 0 { "names" } else { "" };
                    field(f, what, name)?;
                }
            }
            (None, error) => {
                let error = error.as_deref().unwrap_or_default();
                field(f, "names", format_args!("(unreadable: {error})"))?;
            }
        }
        writeln!(f)
    }

    fn identities(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        heading(
            f,
            format_args!("Identities, by the extractor that --identity names"),
        )?;
        for (name, outcome) in &self.extractors.0 {
            match &outcome.outcome {
                Outcome::Ok { ok } => {
                    f.write_str("  ")?;
                    paint(f, LABEL, format_args!("{name:<13}"))?;
                    paint(f, GOOD, format_args!(" ok           "))?;
                    writeln!(f, " {ok}")?;
                    if let Some(readable) = &outcome.name {
                        writeln!(f, "{:29} {}", "", or_empty(readable))?;
                    }
                }
                Outcome::Error { error, message } => {
                    let line = format_args!("{name:<13} {error:<12}  ({message})");
                    f.write_str("  ")?;
                    paint(f, LABEL, line)?;
                    writeln!(f)?;
                }
            }
        }
        writeln!(f)
    }

    fn others(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let aside = &self.aside;
        if aside.others.is_empty() {
            return Ok(());
        }
        heading(f, format_args!("After it, in the same file"))?;
        for other in &aside.others {
            writeln!(f, "  {other}")?;
        }
        if aside.more > 0 {
            writeln!(f, "  and {} more", aside.more)?;
        }
        writeln!(f)
    }

    fn verdict(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (side, at) = (side(self.aside.usage), text::time(self.aside.now));
        match &self.verify {
            None => writeln!(
                f,
                "Not verified: give --trust, --trust-domain or --pin to verify the chain."
            ),
            Some(Outcome::Error { error, message }) => {
                paint(f, BAD, format_args!("REFUSED"))?;
                writeln!(f, " as a {side} at {at} ({error})\n\n  {message}")
            }
            Some(Outcome::Ok { ok }) => {
                paint(f, GOOD, format_args!("TRUSTED"))?;
                writeln!(f, " as a {side} at {at}\n")?;
                ok.fmt(f)
            }
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, step) in self.path.iter().enumerate() {
            let what = if index == 0 { "path" } else { "" };
            field(f, what, or_empty(&step.subject))?;
        }
        let anchor = match (self.anchor.kind, &self.anchor.subject) {
            ("root", Some(subject)) => format!("the root {subject}"),
            ("root", None) => "a root without a readable name".to_owned(),
            ("pinned_certificate", _) => "its pin".to_owned(),
            (other, _) => other.to_owned(),
        };
        field(f, "anchored in", anchor)?;
        field(f, "until", &self.not_after)
    }
}

impl fmt::Display for Explained {
    /// The library's text, whose first word is the verdict.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.report().to_string();
        let style = if self.is_good() { GOOD } else { BAD };
        let (verdict, rest) = text.split_at(text.find(" as a ").unwrap_or_default());
        paint(f, style, format_args!("{verdict}"))?;
        f.write_str(rest)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.kind)?;
        if let Some(oid) = &self.oid {
            write!(f, " {oid}")?;
        }
        if let Some(tag) = self.tag {
            write!(f, " tag 0x{tag:02x}")?;
        }
        match (&self.value, &self.hex) {
            (Some(value), _) => write!(f, ": {}", on_one_line(value)),
            (None, Some(hex)) => write!(f, ": #{hex}"),
            (None, None) => Ok(()),
        }
    }
}

fn or_empty(name: &str) -> &str {
    if name.is_empty() { "(empty)" } else { name }
}
