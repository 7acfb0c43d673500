//! Imports point one way: a room uses its own level and those below it.

use std::fs;
use std::path::{Path, PathBuf};

/// Lowest first. Rooms of one level may use each other.
const LEVELS: &[&[&str]] = &[
    &["error", "tensor"],
    &["kernels"],
    &["graph", "ops"],
    &["plan", "backend"],
    &["formats"],
    &["data", "train", "eval", "transfer", "zoo"],
    &["wasm"],
];

fn level(room: &str) -> Option<usize> {
    LEVELS.iter().position(|rooms| rooms.contains(&room))
}

fn sources(folder: &Path, all: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            sources(&path, all)?;
        } else if path.extension().is_some_and(|e| e == "rs") {
            all.push(path);
        }
    }
    Ok(())
}

/// Names that follow `crate::`.
fn used(text: &str) -> impl Iterator<Item = &str> {
    let name_end = |rest: &str| rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len());
    text.split("crate::").skip(1).map(move |rest| &rest[..name_end(rest)])
}

#[test]
fn imports_point_down() -> std::io::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&root, &mut files)?;
    let mut wrong = Vec::new();
    let mut seen = 0;
    for path in files {
        let relative = path.strip_prefix(&root).unwrap_or(&path);
        let room = relative.iter().next().map(|r| r.to_string_lossy().trim_end_matches(".rs").to_owned());
        let room = room.filter(|room| room != "lib").unwrap_or_default();
        let Some(own) = level(&room) else {
            assert!(room.is_empty(), "src/{room} has no level");
            continue;
        };
        for other in used(&fs::read_to_string(&path)?) {
            seen += 1;
            if level(other).is_some_and(|other| other > own) {
                wrong.push(format!("{} uses {other}", relative.display()));
            }
        }
    }
    assert!(seen > 100, "only {seen} imports were found");
    assert!(wrong.is_empty(), "{wrong:#?}");
    Ok(())
}

/// Names of crates that only some folders may use.
const CONFINED: &[(&str, &[&str])] = &[
    ("wgpu::", &["backend/gpu"]),
    ("wasm_bindgen", &["wasm", "backend/gpu"]),
    ("web_sys", &["wasm", "backend/gpu"]),
    ("js_sys", &["wasm", "backend/gpu"]),
];

#[test]
fn devices_and_browsers_are_named_in_their_rooms_alone() -> std::io::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&root, &mut files)?;
    let (mut wrong, mut seen) = (Vec::new(), 0);
    for path in files {
        let (relative, text) = (path.strip_prefix(&root).unwrap_or(&path), fs::read_to_string(&path)?);
        for (name, rooms) in CONFINED.iter().filter(|(name, _)| text.contains(name)) {
            seen += 1;
            if !rooms.iter().any(|room| relative.starts_with(room)) {
                wrong.push(format!("{} names {name}", relative.display()));
            }
        }
    }
    assert!(seen > 5, "only {seen} uses were found");
    assert!(wrong.is_empty(), "{wrong:#?}");
    Ok(())
}
