//! The house rules, as tests: who may import whom, which library belongs to which room, how large a
//! file may grow. A rule that everyone must keep is added here.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The rooms, and whom each may import. What every room may import stands in [`EVERYWHERE`].
const ROOMS: &[(&str, &[&str])] = &[
    ("oci", &[]),
    ("exit", &[]),
    ("secret", &[]),
    ("printable", &[]),
    ("interpolate", &[]),
    ("whole_file", &[]),
    ("excerpt", &["printable"]),
    ("cli", &[]),
    ("compose", &["oci", "excerpt", "interpolate", "printable"]),
    ("config", &["oci", "cli", "excerpt", "interpolate"]),
    ("facts", &["oci", "excerpt", "printable", "whole_file"]),
    ("dial", &["printable"]),
    (
        "docker",
        &["oci", "facts", "dial", "printable", "whole_file"],
    ),
    ("tags", &["oci", "facts", "excerpt", "printable"]),
    (
        "inputs",
        &["oci", "compose", "excerpt", "printable", "whole_file"],
    ),
    (
        "plan",
        &[
            "oci",
            "compose",
            "config",
            "facts",
            "tags",
            "inputs",
            "excerpt",
            "printable",
            "secret",
        ],
    ),
    ("event", &["oci", "plan", "exit"]),
    ("cx", &["oci", "plan", "exit", "event"]),
    ("ledger", &["oci", "plan"]),
    (
        "execute",
        &[
            "oci",
            "plan",
            "event",
            "cx",
            "exit",
            "ledger",
            "excerpt",
            "secret",
            "printable",
        ],
    ),
    (
        "buildkit",
        &[
            "execute",
            "plan",
            "oci",
            "inputs",
            "event",
            "cx",
            "excerpt",
            "secret",
            "printable",
            "dial",
        ],
    ),
    ("engine", &["execute", "plan", "oci", "event", "cx", "dial"]),
    (
        "registry",
        &[
            "execute",
            "plan",
            "oci",
            "event",
            "cx",
            "secret",
            "excerpt",
            "printable",
            "whole_file",
        ],
    ),
    (
        "report",
        &[
            "event",
            "cx",
            "plan",
            "oci",
            "exit",
            "ledger",
            "excerpt",
            "printable",
        ],
    ),
];

/// Rooms that gather the others: they may import everything.
const ABOVE: &[&str] = &["error", "commands", "lib", "main"];

/// Of `execute`, the adapters may import its ports and nothing else.
const ADAPTERS: &[&str] = &["buildkit", "engine", "registry"];

/// Libraries and parts of the standard library that belong to one room or a few.
const WALLS: &[(&str, &[&str])] = &[
    ("tonic", &["buildkit"]),
    ("bollard_buildkit_proto", &["buildkit"]),
    ("prost", &["buildkit"]),
    ("hyper", &["buildkit", "engine", "registry"]),
    ("rustls", &["dial", "registry", "lib"]),
    ("tonic_prost", &["buildkit"]),
    ("bollard", &["engine"]),
    ("tar", &["engine"]),
    ("flate2", &["engine"]),
    ("reqwest", &["registry"]),
    ("granit_parser", &["compose"]),
    ("toml", &["config"]),
    ("schemars", &["config"]),
    ("clap", &["cli"]),
    ("clap_complete", &["cli"]),
    ("clap_mangen", &["cli"]),
    ("git2", &["facts"]),
    ("console", &["report", "printable"]),
    ("std::env", &["facts"]),
    ("Timestamp::now", &["facts"]),
    ("SystemTime::now", &["facts"]),
    ("stdout()", &["report"]),
    ("stderr()", &["report"]),
    ("println!", &[]),
    ("eprintln!", &[]),
];

/// Rooms that know no runtime: what they do can be read before anything happens.
const WITHOUT_RUNTIME: &[&str] = &[
    "oci", "compose", "config", "docker", "facts", "tags", "inputs", "plan", "ledger", "report",
];

/// How many lines a file may have before its tests.
const MAX_LINES: usize = 500;

/// A source file without its comments and its tests.
struct Source {
    path: PathBuf,
    room: String,
    code: String,
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut waiting = vec![root.clone()];
    let mut sources = Vec::new();
    while let Some(folder) = waiting.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                waiting.push(path);
            } else if path.extension().is_some_and(|end| end == "rs") {
                let inside = path.strip_prefix(&root).unwrap();
                let first = inside.components().next().unwrap();
                let first = Path::new(first.as_os_str());
                sources.push(Source {
                    room: first.file_stem().unwrap().to_string_lossy().into_owned(),
                    code: code_of(&fs::read_to_string(&path).unwrap()),
                    path: path.clone(),
                });
            }
        }
    }
    sources.sort_by(|one, other| one.path.cmp(&other.path));
    assert!(sources.len() > 50, "the sources were found");
    sources
}

/// What stands before the tests, without comments; a file that is only tests is empty.
fn code_of(text: &str) -> String {
    let is_test_file = text.contains("#[test]") && !text.contains("mod tests {");
    if is_test_file {
        return String::new();
    }
    text.lines()
        .take_while(|line| line.trim() != "#[cfg(test)]")
        .map(|line| {
            let comment = line.find("//").filter(|at| !line[..*at].ends_with(':'));
            &line[..comment.unwrap_or(line.len())]
        })
        .fold(String::new(), |code, line| code + line + "\n")
}

/// The rooms that `code` names after `crate::`, with what of each.
fn imports(code: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let joined = code.replace('\n', " ");
    for (at, _) in joined.match_indices("crate::") {
        let rest = &joined[at + "crate::".len()..];
        if let Some(group) = rest.strip_prefix('{') {
            // `use crate::{a, b::c}`: every name at the outermost level.
            let mut depth = 0;
            let mut item = String::new();
            for letter in group.chars() {
                match letter {
                    '{' => depth += 1,
                    '}' if depth == 0 => break,
                    '}' => depth -= 1,
                    ',' if depth == 0 => found.push(split(&std::mem::take(&mut item))),
                    _ => {}
                }
                if letter != ',' || depth > 0 {
                    item.push(letter);
                }
            }
            found.push(split(&item));
        } else {
            found.push(split(rest));
        }
    }
    found.retain(|(room, _)| !room.is_empty());
    found
}

fn split(path: &str) -> (String, String) {
    let word = |text: &str| -> String {
        text.trim()
            .chars()
            .take_while(|letter| letter.is_alphanumeric() || *letter == '_')
            .collect()
    };
    let room = word(path);
    let rest = path.trim().strip_prefix(&room).unwrap_or_default();
    (room, word(rest.trim_start_matches("::")))
}

#[test]
fn rooms_import_only_whom_they_may() {
    let rooms: BTreeMap<&str, &[&str]> = ROOMS.iter().copied().collect();
    let mut wrong = Vec::new();
    for source in sources() {
        if ABOVE.contains(&source.room.as_str()) {
            continue;
        }
        let Some(allowed) = rooms.get(source.room.as_str()) else {
            panic!("{} is in no room of the table", source.path.display());
        };
        for (room, what) in imports(&source.code) {
            let is_own = room == source.room;
            let is_port = room != "execute" || what == "ports";
            let is_allowed = allowed.contains(&room.as_str())
                && (is_port || !ADAPTERS.contains(&source.room.as_str()));
            // `crate::execute` itself is where a port's documentation may point.
            if !is_own && !is_allowed && rooms.contains_key(room.as_str()) {
                wrong.push(format!("{}: crate::{room}::{what}", source.path.display()));
            }
            if ABOVE.contains(&room.as_str()) {
                wrong.push(format!("{}: crate::{room}", source.path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn libraries_stay_behind_their_walls() {
    let mut wrong = Vec::new();
    for source in sources() {
        for (name, rooms) in WALLS {
            if rooms.contains(&source.room.as_str()) {
                continue;
            }
            let is_path = name
                .chars()
                .all(|letter| letter.is_alphanumeric() || letter == '_');
            let is_used = if is_path {
                uses_crate(&source.code, name)
            } else {
                source.code.contains(name)
            };
            // `cli` and `commands` name a shell's type, which is clap_complete's.
            if is_used {
                wrong.push(format!("{}: {name}", source.path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Whether `name::` stands in the code as the beginning of a path.
fn uses_crate(code: &str, name: &str) -> bool {
    let path = format!("{name}::");
    code.match_indices(&path).any(|(at, _)| {
        let before = code[..at].chars().next_back();
        !before.is_some_and(|letter| letter.is_alphanumeric() || letter == '_' || letter == ':')
    })
}

#[test]
fn pure_rooms_know_no_runtime() {
    let mut wrong = Vec::new();
    for source in sources() {
        if WITHOUT_RUNTIME.contains(&source.room.as_str()) && uses_crate(&source.code, "tokio") {
            wrong.push(source.path.display().to_string());
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn no_file_has_grown_into_two() {
    let mut large = Vec::new();
    for source in sources() {
        let text = fs::read_to_string(&source.path).unwrap();
        let is_test_file = source.code.is_empty();
        let lines = text
            .lines()
            .take_while(|line| line.trim() != "#[cfg(test)]")
            .count();
        if lines > MAX_LINES && !is_test_file {
            large.push(format!("{}: {lines} lines", source.path.display()));
        }
    }
    assert!(large.is_empty(), "{}", large.join("\n"));
}

#[test]
fn every_room_says_what_it_knows() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for (room, _) in ROOMS {
        let file = [
            root.join(format!("{room}.rs")),
            root.join(room).join("mod.rs"),
        ];
        let text = file.iter().find_map(|path| fs::read_to_string(path).ok());
        let text = text.unwrap_or_else(|| panic!("room {room} is not there"));
        assert!(
            text.starts_with("//! "),
            "room {room} opens with what it knows"
        );
    }
}

#[test]
fn there_is_no_room_for_odds_and_ends() {
    for source in sources() {
        for part in source.path.components() {
            let name = part.as_os_str().to_string_lossy();
            let stem = name.trim_end_matches(".rs");
            assert!(
                !["util", "utils", "common", "helpers", "misc"].contains(&stem),
                "{}",
                source.path.display()
            );
        }
    }
}
