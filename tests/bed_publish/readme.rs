//! The README's commands, as they stand there.

use std::path::Path;
use std::process::Command;

use crate::release::example;
use crate::support::bed::Bed;
use crate::support::project::Project;

/// The lines of the README's shell blocks.
fn commands() -> Vec<String> {
    let readme = include_str!("../../README.md");
    readme
        .split("```sh\n")
        .skip(1)
        .flat_map(|block| block.split("```").next().unwrap().lines())
        .map(str::to_owned)
        .collect()
}

#[test]
fn every_command_of_the_readme_works() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let binary = Path::new(env!("CARGO_BIN_EXE_castoff"));
    let prefix = Bed::unique("readme");
    let project = Project::copy_of("examples/pokedex")
        .file(".gitignore", ".home\n.state\n")
        .git();
    let path = format!(
        "{}:{}",
        binary.parent().unwrap().display(),
        Bed::var("PATH")
    );
    let commands = commands();
    assert!(commands.len() > 10, "{commands:?}");
    for line in &commands {
        // The one that runs this test.
        if line.starts_with("tests/run ") {
            continue;
        }
        let is_script = line.starts_with("examples/");
        let mut command = if is_script {
            let mut command = Command::new("bash");
            command.args(["-c", line]).current_dir(root);
            command.env("CASTOFF", binary);
            command
        } else {
            let mut command = example(&project, &prefix).command();
            let environment: Vec<_> = command
                .get_envs()
                .filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned())))
                .collect();
            command = Command::new("bash");
            command.args(["-c", line]).current_dir(project.path());
            command.env_clear().envs(environment);
            command
        };
        let output = command.env("PATH", &path).output().unwrap();
        assert!(
            output.status.success(),
            "{line}\n{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Bed::said(
        "docker",
        &["image", "rm", "pokedex/backend:dev"],
        project.path(),
    );
}

#[test]
fn the_exit_codes_of_the_readme_are_those_there_are() {
    use castoff::exit::Exit;
    let readme = include_str!("../../README.md");
    for exit in [
        Exit::Done,
        Exit::Internal,
        Exit::BadInput,
        Exit::NotReady,
        Exit::BuildFailed,
        Exit::UploadFailed,
        Exit::TagsDiverged,
        Exit::AfterwardsFailed,
    ] {
        assert!(
            readme.contains(&format!("\n| {} | ", exit.code())),
            "{exit:?}"
        );
    }
    assert!(readme.contains("\n| 130, 143 | "));
}
