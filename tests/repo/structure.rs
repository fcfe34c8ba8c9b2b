//! What exists once, or at known places: the snapshot, the writers of events, the probe.

use std::path::{Path, PathBuf};

use crate::source::{Token, code, count, rust_files, tokens};

/// A pattern in the code, and how often it may occur in which file. It occurs nowhere else.
struct Rule {
    pattern: &'static str,
    why: &'static str,
    places: &'static [(&'static str, usize)],
}

const RULES: &[Rule] = &[
    Rule {
        pattern: ": ArcSwap<",
        why: "one snapshot is in force (the rules for HTTP requests are a layer's own)",
        places: &[("endpoint/mod.rs", 1)],
    },
    Rule {
        pattern: "ArcSwap::",
        why: "the one snapshot is made once",
        places: &[("endpoint/mod.rs", 1), ("integration/tower/layer.rs", 1)],
    },
    Rule {
        pattern: "snapshot.swap(",
        why: "the commit is the only place that puts a snapshot in force",
        places: &[("endpoint/mod.rs", 1)],
    },
    Rule {
        pattern: "AuditEvent::new(",
        why: "the recorder makes all events (the queue reports which it dropped)",
        places: &[("audit/recorder.rs", 1), ("audit/sink/queue.rs", 1)],
    },
    Rule {
        pattern: ".record_outcome(",
        why: "an attempt has one outcome",
        places: &[("tls/attempt.rs", 1)],
    },
    Rule {
        pattern: ".record_connection(",
        why: "an open connection records in one place",
        places: &[("live/connection.rs", 1)],
    },
    Rule {
        pattern: ".emit(",
        why: "these events belong to no attempt and no connection",
        places: &[
            ("audit/recorder.rs", 1),
            ("endpoint/checks.rs", 3),
            ("endpoint/control.rs", 1),
            ("integration/http/proxied/identity.rs", 1),
            ("integration/tower/layer.rs", 2),
            ("reload/expiry.rs", 1),
            ("reload/status.rs", 3),
            ("server/listener/task.rs", 1),
        ],
    },
    Rule {
        pattern: "catch_unwind(",
        why: "what a panic carries is the application's, too: only `caught` drops it safely",
        places: &[("pki/contained.rs", 2)],
    },
    Rule {
        pattern: "thread_local!",
        why: "what a thread holds is invisible to the types",
        places: &[
            // hyper has no path from a response to the executor of its stream.
            ("integration/hyper/streams.rs", 1),
            ("pki/certificate.rs", 1), // counts, in tests only
            ("pki/remote.rs", 1),      // rustls' signers have no argument for a deadline
            ("tls/exported.rs", 1),
            ("tls/probe.rs", 1),
            ("tls/transcript.rs", 1),
        ],
    },
    Rule {
        pattern: ".with_probe(",
        why: "a handshake's probe is set where rustls is called, and nowhere else",
        places: &[
            ("client/blocking.rs", 1),
            ("client/connect.rs", 2),
            ("stream/handshake.rs", 1),
            ("stream/signing.rs", 4), // two for calls, two for bytes
            ("tls/blocking.rs", 1),
            ("tls/quic.rs", 2),
        ],
    },
];

#[test]
fn what_exists_once_exists_once() {
    let code = code();
    let found: Vec<_> = RULES.iter().flat_map(|rule| rule.broken(&code)).collect();
    assert_eq!(found, [""; 0]);
}

impl Rule {
    /// The files with more or fewer occurrences than the rule says.
    fn broken(&self, code: &[(String, Vec<Token>)]) -> Vec<String> {
        let expected = |file: &str| {
            let place = self.places.iter().find(|(place, _)| *place == file);
            place.map_or(0, |(_, times)| *times)
        };
        let missing = self
            .places
            .iter()
            .filter(|(place, _)| code.iter().all(|(file, _)| file != place))
            .map(|(place, _)| format!("{place}: there is no such file"));
        let differing = code.iter().filter_map(|(file, tokens)| {
            let (found, expected) = (count(tokens, self.pattern), expected(file));
            let (pattern, why) = (self.pattern, self.why);
            (found != expected)
                .then(|| format!("{file}: {found} × `{pattern}`, expected {expected}: {why}"))
        });
        missing.chain(differing).collect()
    }
}

#[test]
fn a_rule_sees_too_much_too_little_and_comments() {
    let rule = Rule {
        pattern: "Event::new(",
        why: "once",
        places: &[("a.rs", 1)],
    };
    let broken = |a: &str, b: &str| {
        rule.broken(&[("a.rs".into(), tokens(a)), ("b.rs".into(), tokens(b))])
            .len()
    };
    let once = "fn f() { Event :: new(1); } // Event::new(";
    assert_eq!(broken(once, "const A: &str = \"Event::new(\";"), 0);
    assert_eq!(broken("", ""), 1);
    assert_eq!(broken(&once.replace("(1)", "(Event::new(2))"), ""), 1);
    assert_eq!(broken(once, "Event::new(x)"), 1);
    assert_eq!(rule.broken(&[]), ["a.rs: there is no such file"]);
}

/// Code that several tests use is in the support library. A benchmark may have modules in a folder of
/// its own name. The model checker compiles files of the library with its own locks and atomics.
#[test]
fn no_file_is_part_of_several_programs() {
    let root = support::workspace();
    let mut found = Vec::new();
    for folder in ["tests", "examples", "fuzz", "benches"] {
        let files = rust_files(&root.join(folder));
        assert!(!files.is_empty(), "{folder}");
        let is_checked = |file: &&PathBuf| file.ends_with("tests/interleavings/main.rs");
        for file in files
            .iter()
            .filter(|file| !is_built(file) && !is_checked(file))
        {
            let text = std::fs::read_to_string(file).unwrap();
            let own = match file.file_stem().and_then(|stem| stem.to_str()) {
                Some(stem) if folder == "benches" => stem,
                _ => "",
            };
            if !paths_of_modules_are_below(own, &text) {
                found.push(file.clone());
            }
        }
    }
    assert!(found.is_empty(), "these have #[path]: {found:#?}");
}

/// Fuzzers and members may have a target folder of their own.
fn is_built(file: &Path) -> bool {
    file.iter().any(|part| part == "target")
}

/// Whether each `#[path]` leads to the folder `own`; none may exist where it is empty.
fn paths_of_modules_are_below(own: &str, source: &str) -> bool {
    let allowed = source.matches(&format!("\n#[path = \"{own}/")).count();
    let allowed = if own.is_empty() { 0 } else { allowed };
    count(&tokens(source), "#[path =") == allowed
}

#[test]
fn a_path_of_a_module_is_seen() {
    const OWN: &str = "\n#[path = \"live/echo.rs\"]\nmod echo;";
    assert!(paths_of_modules_are_below("live", OWN));
    assert!(!paths_of_modules_are_below("other", OWN));
    assert!(!paths_of_modules_are_below("", OWN));
    assert!(!paths_of_modules_are_below("", "\n#[path = \"/x.rs\"]"));
    assert!(!paths_of_modules_are_below("a", "# [ path=\"a/b.rs\" ]"));
    assert!(paths_of_modules_are_below("", "// #[path = \"x\"]"));
}

/// An error has its cause and its remedy apart. A program that cuts its line at "; " gets both wrong when
/// a value in it contains a semicolon.
#[test]
fn no_code_cuts_a_line_at_a_semicolon() {
    let root = support::workspace();
    let mut found = Vec::new();
    for folder in ["src", "examples"] {
        for file in rust_files(&root.join(folder)) {
            let text = std::fs::read_to_string(&file).unwrap();
            if !is_built(&file) && cuts_at_a_semicolon(&text) {
                found.push(file);
            }
        }
    }
    assert!(found.is_empty(), "{found:#?}");
}

/// Whether `"; "` is an argument of a method that splits or searches.
fn cuts_at_a_semicolon(source: &str) -> bool {
    const CUTTING: [&str; 4] = ["split", "find", "match_indices", "strip_"];
    source.match_indices("\"; \"").any(|(at, _)| {
        let before = &source[..at];
        let call = before.rsplit_once('(').map_or("", |(call, _)| call);
        let start = call.rfind(|c: char| !c.is_alphanumeric() && c != '_');
        let method = &call[start.map_or(0, |start| start + 1)..];
        CUTTING.iter().any(|cutting| method.contains(cutting))
    })
}

#[test]
fn a_cut_at_a_semicolon_is_seen() {
    for bad in [
        "line.split_once(\"; \")",
        "line.rsplitn(2, \"; \")",
        "line.find(\n    \"; \")",
    ] {
        assert!(cuts_at_a_semicolon(bad), "{bad}");
    }
    for good in [
        "text.push_str(\"; \")",
        "parts.join(\"; \")",
        "assert!(!text.contains(\"; \"))",
        "header.split(';')",
    ] {
        assert!(!cuts_at_a_semicolon(good), "{good}");
    }
}
