//! What each feature brings in, and that the default brings in none of it.

use std::collections::BTreeSet;
use std::process::Command;

/// The crates that a user of these features gets, by name.
fn crates(arguments: &[&str]) -> BTreeSet<String> {
    let output = Command::new(env!("CARGO"))
        .current_dir(support::workspace())
        .args(["tree", "--locked", "--edges", "normal", "--prefix", "none"])
        .args(["--format", "{p}"])
        .args(arguments)
        .output()
        .expect("cargo starts");
    let said = String::from_utf8(output.stdout).expect("UTF-8");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let names = said.lines().filter_map(|line| line.split(' ').next());
    names.map(str::to_owned).collect()
}

fn those_of<'a>(found: &'a BTreeSet<String>, names: &[&'a str]) -> Vec<&'a str> {
    let all = names.iter().copied();
    all.filter(|name| found.contains(*name)).collect()
}

/// In the order of the alphabet.
const HTTP: [&str; 13] = [
    "axum",
    "axum-core",
    "base64",
    "h2",
    "http",
    "hyper",
    "hyper-util",
    "matchit",
    "reqwest",
    "tonic",
    "tower",
    "tower-layer",
    "tower-service",
];

#[test]
fn no_http_crate_is_compiled_without_its_feature() {
    for arguments in [
        &[][..],
        &["--no-default-features", "--features", "ring"],
        &["--features", "webpki-roots,serde,notify,stream"],
    ] {
        let found = crates(arguments);
        assert!(found.contains("rustls"), "{found:?}");
        assert_eq!(those_of(&found, &HTTP), Vec::<&str>::new(), "{arguments:?}");
    }
}

#[test]
fn each_feature_adds_what_its_name_says() {
    for (feature, expected) in [
        ("http", &["base64", "http"][..]),
        (
            "tower",
            &["base64", "http", "matchit", "tower-layer", "tower-service"],
        ),
        (
            "hyper",
            &[
                "base64",
                "h2",
                "http",
                "hyper",
                "hyper-util",
                "tower-service",
            ],
        ),
        (
            "axum",
            &[
                "axum",
                "axum-core",
                "base64",
                "http",
                "hyper",
                "hyper-util",
                "matchit",
                "tower",
                "tower-layer",
                "tower-service",
            ],
        ),
        (
            "reqwest",
            &[
                "base64",
                "http",
                "hyper",
                "hyper-util",
                "reqwest",
                "tower",
                "tower-layer",
                "tower-service",
            ],
        ),
        ("tokio-postgres", &["base64"]),
        // A client on tonic's channel, without prost.
        (
            "spiffe",
            &[
                "base64",
                "h2",
                "http",
                "hyper",
                "hyper-util",
                "tonic",
                "tower",
                "tower-layer",
                "tower-service",
            ],
        ),
        // Neither its router nor its code generation, nor its own TLS.
        (
            "tonic",
            &[
                "base64",
                "h2",
                "http",
                "hyper",
                "hyper-util",
                "tonic",
                "tower",
                "tower-layer",
                "tower-service",
            ],
        ),
    ] {
        let found = crates(&["--features", feature]);
        assert_eq!(those_of(&found, &HTTP), expected, "{feature}");
    }
}

/// The names in the tables of dependencies of Cargo.toml that programs get.
fn direct() -> BTreeSet<String> {
    let manifest = include_str!("../../Cargo.toml");
    let (mut names, mut is_on) = (BTreeSet::new(), false);
    for line in manifest.lines() {
        if line.starts_with('[') {
            is_on = line.ends_with("dependencies]")
                && !line.ends_with("dev-dependencies]")
                && !line.starts_with("[workspace");
        } else if is_on && !line.starts_with('#') {
            let name = line.split_once(" = ").map(|(name, _)| name.to_owned());
            names.extend(name);
        }
    }
    names
}

/// The crates in the first cells of the tables from this heading to the next.
fn named(page: &str, heading: &str) -> BTreeSet<String> {
    let section = page.split(heading).nth(1).expect("the heading is there");
    let section = section.split("\n## ").next().unwrap();
    let rows = section.lines().filter(|line| line.starts_with("| "));
    let cells = rows.filter_map(|row| row.split(" | ").next()).skip(1);
    let names = cells.flat_map(|cell| cell.trim_start_matches("| ").split(", "));
    names.map(str::to_owned).collect()
}

#[test]
fn the_manual_has_a_row_for_each_direct_dependency() {
    let direct = direct();
    assert!(direct.contains("rustls") && direct.contains("libc") && direct.len() > 30);
    let audited = include_str!("../../manual/dependencies.md");
    assert_eq!(named(audited, "## Direct\n"), direct);
    let reasons = include_str!("../../manual/architecture.md");
    assert_eq!(named(reasons, "## Dependencies\n"), direct);
}
