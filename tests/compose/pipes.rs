//! Files that are pipes: those of the shell's `<(…)` are read, and one that nobody writes to is no
//! reason to wait for ever.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

const SERVICE: &str = "services:\n  a:\n    image: a\n";

fn castoff(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_castoff"));
    command
        .current_dir(folder)
        .env_clear()
        .env("HOME", "/home/user")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn fifo(path: &Path) {
    let made = Command::new("mkfifo").arg(path).status().unwrap();
    assert!(made.success());
}

/// What bash makes of `-f <(command)`: a path below `/dev/fd`, whose data can be read once.
#[test]
fn a_pipe_of_the_shell_is_a_compose_file() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = castoff(folder.path())
        .args(["config", "-f", "/dev/fd/0", "--format", "json"])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(SERVICE.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    let project: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(project["name"], "fd");
    assert_eq!(project["services"]["a"]["image"], "a");
}

#[test]
fn a_pipe_whose_writer_comes_later_is_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("e.env");
    fifo(&path);
    let text = format!("{SERVICE}    environment: [A]\n");
    fs::write(folder.path().join("compose.yaml"), text).unwrap();
    let child = castoff(folder.path())
        .args(["config", "--env-file", "e.env"])
        .spawn()
        .unwrap();
    std::thread::sleep(std::time::Duration::from_millis(300));
    fs::write(&path, "A=from a pipe\n").unwrap();
    let output = child.wait_with_output().unwrap();
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(stdout.contains("A: from a pipe"), "{stdout}");
}

/// Runs `castoff config` in a project with a pipe named `name` that nobody writes to: what it says, and
/// how long it takes.
fn with_pipe(projects: &[(&str, &str, &[&str])]) -> Vec<(String, u64)> {
    let children: Vec<_> = projects
        .iter()
        .map(|(name, more, arguments)| {
            let folder = tempfile::tempdir().unwrap();
            if *name != "compose.yaml" {
                let text = format!("{SERVICE}{more}");
                fs::write(folder.path().join("compose.yaml"), text).unwrap();
            }
            fs::write(folder.path().join("b.yaml"), SERVICE).unwrap();
            fifo(&folder.path().join(name));
            let mut command = castoff(folder.path());
            command.arg("config").args(*arguments);
            let start = std::time::Instant::now();
            (command.spawn().unwrap(), start, folder)
        })
        .collect();
    children
        .into_iter()
        .zip(projects)
        .map(|((child, start, _folder), project)| {
            let output = child.wait_with_output().unwrap();
            let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.code(), Some(2), "{project:?}: {stderr}");
            (stderr, start.elapsed().as_secs())
        })
        .collect()
}

#[test]
fn a_pipe_that_is_named_and_has_no_writer_is_given_up() {
    let projects: [(&str, &str, &[&str]); 3] = [
        ("e.yaml", "", &["-f", "e.yaml"]),
        ("e", "", &["--env-file", "e"]),
        ("e.toml", "", &["--publish", "--config", "e.toml"]),
    ];
    for (project, (stderr, took)) in projects.iter().zip(with_pipe(&projects)) {
        assert!(stderr.contains("nothing came"), "{project:?}: {stderr}");
        assert!((9..18).contains(&took), "{project:?}: {took} s");
    }
}

/// `COMPOSE_FILE=-`, as in a shell that pipes a file into several commands.
#[test]
fn the_standard_input_is_named_by_the_environment_too() {
    let folder = tempfile::tempdir().unwrap();
    let project = given(
        folder.path(),
        &[("COMPOSE_FILE", "-")],
        &[],
        SERVICE.as_bytes(),
    );
    assert!(project.unwrap().contains("image: a"));
}

#[test]
fn the_standard_input_is_decoded_as_a_file_is() {
    let folder = tempfile::tempdir().unwrap();
    let utf16: Vec<u8> = "\u{feff}services: {a: {image: é}}\n"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    let project = given(folder.path(), &[], &["-f", "-"], &utf16);
    assert!(project.unwrap().contains("image: é"));
    let latin1 = b"services: {a: {image: \xe9}}\n";
    let error = given(folder.path(), &[], &["-f", "-"], latin1).unwrap_err();
    assert!(error.contains("UTF-8"), "{error}");
}

/// For `config -q` as a check in CI: the values of the environment stay out of the log.
#[test]
fn a_quiet_config_only_checks() {
    let folder = tempfile::tempdir().unwrap();
    let printed = given(folder.path(), &[], &["-q", "-f", "-"], SERVICE.as_bytes());
    assert_eq!(printed.unwrap(), "");
    given(folder.path(), &[], &["-q", "-f", "-"], b"services: {a: {}}").unwrap_err();
}

/// What `castoff config` prints for what is on the standard input, or why it does not.
fn given(
    folder: &Path,
    variables: &[(&str, &str)],
    arguments: &[&str],
    input: &[u8],
) -> Result<String, String> {
    let mut child = castoff(folder)
        .envs(variables.iter().copied())
        .args(["config", "--project-name", "p"])
        .args(arguments)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    if output.status.success() {
        Ok(String::from_utf8(output.stdout).unwrap())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

#[test]
fn a_pipe_that_castoff_finds_or_that_a_file_names_is_refused_at_once() {
    let projects: [(&str, &str, &[&str]); 9] = [
        ("compose.yaml", "", &[]),
        ("compose.override.yaml", "", &[]),
        (".env", "", &[]),
        ("publish.toml", "", &["--publish"]),
        ("e", "    env_file: e\n", &[]),
        ("e", "    label_file: e\n", &[]),
        ("e", "    extends: {file: e, service: a}\n", &[]),
        ("e", "include: [e]\n", &[]),
        ("e", "include: [{path: b.yaml, env_file: e}]\n", &[]),
    ];
    let ran = with_pipe(&projects);
    for (project, (stderr, took)) in projects.iter().zip(ran) {
        assert!(stderr.contains("is a pipe"), "{project:?}: {stderr}");
        let named = stderr.contains("--> compose.yaml:");
        assert_eq!(named, !project.1.is_empty(), "{project:?}: {stderr}");
        assert!(took < 8, "{project:?}: {took} s");
    }
}

/// `F=<(command) castoff config`, with `env_file: ${F}`: docker compose reads it, too.
#[cfg(target_os = "linux")]
#[test]
fn a_pipe_of_the_shell_may_be_named_by_a_variable() {
    let folder = tempfile::tempdir().unwrap();
    let text = format!("{SERVICE}    env_file: ${{F}}\n");
    fs::write(folder.path().join("compose.yaml"), text).unwrap();
    let mut child = castoff(folder.path())
        .arg("config")
        .env("F", "/dev/fd/0")
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"A=1\n").unwrap();
    let output = child.wait_with_output().unwrap();
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(stdout.contains("A: \"1\""), "{stdout}");
}
