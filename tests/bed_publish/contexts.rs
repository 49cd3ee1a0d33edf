//! What is sent of a context, judged by buildx: where both send the same, the second one finds every
//! `COPY` in the cache.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use crate::support::bed::Bed;
use crate::support::program::Castoff;
use crate::support::project::Project;

/// How many `COPY` steps the odd tree has.
const COPIES: usize = 6;

/// A tree with everything that is odd about files.
fn odd_tree(seed: &str) -> Project {
    let base = Bed::base();
    let project = Project::new()
        .file(
            "compose.yaml",
            &format!(
                "name: odd\nservices:\n  odd:\n    image: odd\n    build:\n      context: .\n      args:\n        BASE: {base}\n"
            ),
        )
        .file(
            "Dockerfile",
            "ARG BASE\nFROM $BASE\nCOPY src /src\nCOPY assets absolute /assets/\nCOPY docs /docs\nCOPY [\"spaß ünïcode\", \"/unicode\"]\nCOPY link* /links/\nCOPY . /all\n",
        )
        .file(".dockerignore", "# a comment\n.home\ndocs\n!docs/keep.md\n**/drop*\n!src/drop-not\n*.tmp\n")
        .file("src/a", seed)
        .file("src/deep/b", "b")
        .file("src/deep-b", "sorts after deep/")
        .file("src/drop-not", "taken back")
        .file("src/drop-this", "left out")
        .file("docs/keep.md", "kept")
        .file("docs/drop.md", "left out")
        .file("docs/other.md", "left out")
        .file("assets/tool", "#!/bin/sh\n")
        .file("spaß ünïcode/日本.txt", "unicode")
        .file("x.tmp", "left out")
        .file("empty/.keep", "");
    let path = |name: &str| project.join(name);
    let mode = |name: &str, mode| {
        std::fs::set_permissions(path(name), PermissionsExt::from_mode(mode)).unwrap();
    };
    mode("assets/tool", 0o4755);
    mode("docs", 0o1777);
    mode("src/deep-b", 0o600);
    mode("src/deep/b", 0o000);
    std::fs::hard_link(path("src/a"), path("src/hard")).unwrap();
    std::fs::hard_link(path("src/a"), path("zzz-hard")).unwrap();
    symlink("src/deep", path("link-to-folder")).unwrap();
    symlink("src/a", path("link-to-file")).unwrap();
    symlink("/assets/tool", path("absolute")).unwrap();
    symlink("../../outside", path("src/outside")).unwrap();
    symlink("nowhere", path("src/dangling")).unwrap();
    let made = std::process::Command::new("mkfifo")
        .arg(path("pipe"))
        .status()
        .unwrap();
    assert!(made.success());
    project
}

/// Builds with buildx, and gives the `COPY` steps that were not in the cache.
pub(crate) fn buildx_misses(folder: &Path, copies: usize) -> Vec<String> {
    let base = format!("BASE={}", Bed::base());
    let arguments = [
        "buildx",
        "build",
        "--progress",
        "plain",
        "--build-arg",
        &base,
        ".",
    ];
    let said = Bed::said("docker", &arguments, folder);
    assert!(!said.contains("ERROR"), "{said}");
    let steps: Vec<(&str, &str)> = said
        .lines()
        .filter(|line| line.contains("] COPY "))
        .filter_map(|line| line.split_once(' '))
        .collect();
    assert_eq!(steps.len(), copies, "{said}");
    steps
        .into_iter()
        .filter(|(number, _)| !said.contains(&format!("{number} CACHED")))
        .map(|(_, step)| step.to_owned())
        .collect()
}

/// Builds with castoff, and gives the `COPY` steps that were not in the cache.
pub(crate) fn castoff_misses(folder: &Path, copies: usize) -> Vec<String> {
    let events = folder.join(".home/events");
    Castoff::inside(folder)
        .envs(Bed::environment())
        .args(["build", "--events"])
        .args([&events])
        .run()
        .exits(0);
    let text = std::fs::read_to_string(events).unwrap();
    let events: Vec<serde_json::Value> = text
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["event"].clone())
        .collect();
    let of = |kind: &'static str| events.iter().filter(move |event| event["type"] == kind);
    let steps: Vec<_> = of("step_started")
        .filter(|event| event["name"].as_str().unwrap().contains("] COPY "))
        .collect();
    assert_eq!(steps.len(), copies);
    steps
        .into_iter()
        .filter(|copy| {
            !of("step_finished")
                .any(|end| end["step"] == copy["step"] && end["outcome"] == "cached")
        })
        .map(|copy| copy["name"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn after_castoffs_build_buildx_finds_every_copy_in_the_cache() {
    let project = odd_tree(&Bed::unique("tree"));
    assert_eq!(castoff_misses(project.path(), COPIES).len(), COPIES);
    assert_eq!(buildx_misses(project.path(), COPIES), Vec::<String>::new());
}

#[test]
fn after_buildxs_build_castoff_finds_every_copy_in_the_cache() {
    let project = odd_tree(&Bed::unique("tree"));
    assert_eq!(buildx_misses(project.path(), COPIES).len(), COPIES);
    assert_eq!(castoff_misses(project.path(), COPIES), Vec::<String>::new());
}

/// buildx lets it through and then sends it empty: it asks its patterns once for the walk, which hands results
/// down, and once more when it opens the file.
#[test]
fn a_file_that_is_taken_back_from_among_repeated_patterns_comes_with_its_content() {
    let base = Bed::base();
    let project = Project::new()
        .file(
            "compose.yaml",
            &format!("name: taken\nservices:\n  back:\n    build: {{ context: ., args: {{ BASE: \"{base}\" }} }}\n"),
        )
        .file(
            "Dockerfile",
            "ARG BASE\nFROM $BASE\nCOPY . /all\nRUN [ \"$(cat /all/a-b/keep)\" = content ] && [ ! -e /all/a-b/drop ]\n",
        )
        .file(".dockerignore", ".home\n**/a-*\n!**/keep\n**/a-*\n")
        .file("a-b/keep", "content")
        .file("a-b/drop", &Bed::unique("tree"));
    Castoff::inside(project.path())
        .envs(Bed::environment())
        .args(["build"])
        .run()
        .exits(0);
}
