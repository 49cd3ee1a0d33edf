//! What of a context goes over the wire, counted at the sessions.

use std::fmt::Write as _;

use crate::support::bed::Bed;
use crate::support::project::Project;

const SERVICES: [&str; 4] = ["one", "two", "three", "four"];

fn project(seed: &str) -> Project {
    let base = Bed::base();
    let mut compose = format!("name: {}\nservices:\n", Bed::unique("transfers"));
    let mut project = Project::new().file(
        ".dockerignore",
        ".home\n.state\n*.Dockerfile\ncompose.yaml\n",
    );
    for service in SERVICES {
        let _ = write!(
            compose,
            "  {service}:\n    build:\n      context: .\n      dockerfile: {service}.Dockerfile\n      args: {{ BASE: \"{base}\" }}\n"
        );
        project = project.file(
            &format!("{service}.Dockerfile"),
            &format!("ARG BASE\nFROM $BASE\nCOPY . /all\nENV SERVICE={service}\n"),
        );
    }
    for number in 0..50 {
        let text = format!("{seed} {number}\n").repeat(200);
        project = project.file(&format!("data/{number}"), &text);
    }
    project.file("compose.yaml", &compose)
}

/// Builds, and gives the files and bytes that were sent by all builds together.
fn sent(project: &Project) -> (u64, u64) {
    let ran = project
        .castoff(["build", "--progress", "json"])
        .envs(Bed::environment())
        .run()
        .exits(0);
    let events = ran
        .stderr
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let finished = events
        .map(|envelope| envelope["event"].clone())
        .filter(|event| event["type"] == "build_finished");
    finished.fold((0, 0), |(files, bytes), event| {
        (
            files + event["files_sent"].as_u64().unwrap(),
            bytes + event["bytes_sent"].as_u64().unwrap(),
        )
    })
}

#[test]
fn a_context_of_four_services_is_sent_once_and_then_only_what_changed() {
    let seed = Bed::unique("transfers");
    let project = project(&seed);
    let size: u64 = (0..50)
        .map(|number| {
            std::fs::metadata(project.join(&format!("data/{number}")))
                .unwrap()
                .len()
        })
        .sum();
    let (files, bytes) = sent(&project);
    // Every service sends its own Dockerfile, and one .dockerignore is read for all.
    assert!((50..=60).contains(&files), "{files} files");
    assert!(
        bytes >= size && bytes < size + 4096,
        "{bytes} bytes of {size}"
    );

    // The builder asks for every Dockerfile and for .dockerignore each time, changed or not
    // (frontend/dockerui, `llb.Differ(llb.DiffNone, false)`).
    let nothing = sent(&project);
    assert_eq!(nothing.0, 5);
    assert!(nothing.1 < 1024);

    project.write("data/7", "changed\n");
    assert_eq!(sent(&project), (nothing.0 + 1, nothing.1 + 8));
    assert_eq!(sent(&project), nothing);
}
