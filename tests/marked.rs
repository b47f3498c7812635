//! Secrets that stand in the repository are examples, each in a place that is known for it.

use regex::Regex;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What looks like a secret.
const SHAPES: [(&str, &str); 7] = [
    ("a private key (PEM)", r"-----BEGIN [A-Z ]*PRIVATE KEY-----"),
    ("a private member of a JWK", r#""(d|k)":\s*"[A-Za-z0-9_-]{20,}""#),
    ("an API key of ours", r"\bak_(live|test)_[0-9a-f]{32,}"),
    ("a JWT", r"\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{20,}"),
    ("a key of AWS", r"\b(AKIA|ASIA)[0-9A-Z]{16}\b"),
    ("a client's secret", r#"(client_secret|secret|password)["']?\s*[:=]\s*["']?[A-Za-z0-9_+/-]{24,}"#),
    ("an Authorization header", r"(?i)\b(basic|bearer) [A-Za-z0-9+/_=-]{40,}"),
];

/// Where they may stand, and whose they are.
const PLACES: [(&str, &str); 11] = [
    ("README.md", "a key of the demo"),
    ("benches/", "of the one client of the benchmarks, and of their peer's"),
    ("events/", "of the demo, and tokens of a dev that has ended"),
    ("shared/auth-cli/src/dev/demo.yaml", "of the demo, which every dev has"),
    ("shared/auth-core/src/api_key.rs", "rows of a test"),
    ("tests/admin.rs", "a key that moves in"),
    ("tests/command.rs", "a key that moves in"),
    ("tests/corpus/", "keys and tokens of the corpora, and of Project Wycheproof"),
    ("tests/gateway.rs", "a key of the demo"),
    ("tests/requirements.rs", "of the seed of this test"),
    ("tests/standards.rs", "of the seed of this test"),
];

/// What is in the repository, and not what a developer keeps beside it.
fn files(top: &Path) -> Vec<PathBuf> {
    let listed = Command::new("git").arg("-C").arg(top).args(["ls-files", "-z"]).output().unwrap();
    assert!(listed.status.success(), "git ls-files: {}", String::from_utf8_lossy(&listed.stderr));
    let names = String::from_utf8(listed.stdout).unwrap();
    names.split_terminator('\0').map(|name| top.join(name)).collect()
}

#[test]
fn every_secret_in_the_repository_is_a_known_example() {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap();
    let shapes: Vec<(&str, Regex)> =
        SHAPES.into_iter().map(|(what, shape)| (what, Regex::new(shape).unwrap())).collect();
    let all = files(&top);
    assert!(all.len() > 200, "{} files", all.len());
    let (mut unknown, mut used) = (Vec::new(), BTreeMap::new());
    for path in all {
        let Ok(text) = std::fs::read_to_string(&path) else { continue };
        let name = path.strip_prefix(&top).unwrap().display().to_string();
        for (what, shape) in &shapes {
            if let Some(found) = shape.find(&text) {
                match PLACES.iter().find(|(place, _)| name.starts_with(place)) {
                    Some((place, _)) => *used.entry(*place).or_insert(0) += 1,
                    None => unknown.push(format!("{name}: {what}: {}", found.as_str())),
                }
            }
        }
    }
    assert!(unknown.is_empty(), "not known for an example:\n{}", unknown.join("\n"));
    let idle: Vec<_> = PLACES.iter().filter(|(place, _)| !used.contains_key(place)).collect();
    assert!(idle.is_empty(), "known for examples, and has none: {idle:?}");
}
