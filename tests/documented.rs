//! What docs/standards.md and SECURITY.md name is there: tests, rows of the corpora, events, files.

use std::path::{Path, PathBuf};

const DOCUMENTS: [&str; 2] = [include_str!("../docs/standards.md"), include_str!("../SECURITY.md")];

fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// All that stands between backquotes.
fn names() -> impl Iterator<Item = &'static str> {
    DOCUMENTS.into_iter().flat_map(str::lines).flat_map(|line| line.split('`').skip(1).step_by(2))
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let files = entries.flat_map(|path| if path.is_dir() { rust_files(&path) } else { vec![path] });
    files.filter(|path| path.extension().is_some_and(|extension| extension == "rs")).collect()
}

#[test]
fn every_test_that_is_named_is_there() {
    let all: Vec<PathBuf> =
        ["tests", "shared", "functions"].into_iter().flat_map(|folder| rust_files(&top().join(folder))).collect();
    // A name without its folder is that of whichever file of this name has the test; two would leave open which.
    let places = |file: &str, test: &str| {
        let files = all.iter().filter(|path| path.ends_with(file));
        files.filter(|path| std::fs::read_to_string(path).unwrap().contains(&format!("fn {test}("))).count()
    };
    let named = names().filter_map(|name| Some((name, name.split_once("::")?)));
    let tests: Vec<_> = named.filter(|(_, (file, test))| file.ends_with(".rs") && *test != "name").collect();
    assert!(tests.len() > 50, "{} tests are named", tests.len());
    let wrong: Vec<&str> =
        tests.into_iter().filter(|(_, (file, test))| places(file, test) != 1).map(|(name, _)| name).collect();
    assert!(wrong.is_empty(), "not there, or more than once: {wrong:?}");
}

/// Nothing is built from anywhere else. What else is asked of the crates, `tests/supply/run` asks.
#[test]
fn every_crate_comes_from_the_registry() {
    let lock = std::fs::read_to_string(top().join("Cargo.lock")).unwrap();
    let sources: Vec<&str> = lock.lines().filter_map(|line| line.strip_prefix("source = ")).collect();
    assert!(sources.len() > 200 && lock.matches("\nchecksum = ").count() == sources.len(), "each with its checksum");
    let others: Vec<&&str> = sources.iter().filter(|source| !source.starts_with("\"registry+")).collect();
    assert!(others.is_empty(), "{others:?}");
}

#[test]
fn every_row_event_and_file_that_is_named_is_there() {
    let is_row = |corpus: &str, id: &str| {
        let rows = std::fs::read_to_string(top().join(format!("tests/corpus/{corpus}.jsonl"))).unwrap();
        let begin = match id.strip_suffix('*') {
            Some(stem) => format!("{{\"id\": \"{stem}"),
            None => format!("{{\"id\": \"{id}\""),
        };
        rows.lines().any(|row| row.starts_with(&begin))
    };
    let is_file = |name: &str| {
        let is_path = name.contains('/') && !name.contains([' ', ':', '*']);
        let is_ours = [".rs", ".yaml", ".md", ".py"].into_iter().any(|ending| name.ends_with(ending));
        !is_path || !is_ours || top().join(name).exists()
    };
    let is_there = |name: &str| match name.split_once(':') {
        Some((_, "NAME")) => true,
        Some((corpus @ ("jwt" | "headers" | "bodies" | "bad_keys"), id)) => is_row(corpus, id),
        Some(("event", event)) => top().join(format!("events/{event}.json")).exists(),
        _ => is_file(name),
    };
    let wrong: Vec<&str> = names().filter(|name| !is_there(name)).collect();
    assert!(wrong.is_empty(), "not there: {wrong:?}");
}
