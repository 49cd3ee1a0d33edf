//! What a build that fails leaves for whoever has to repair it: what is printed, what CI systems make
//! of it, and the logs.

use crate::Shop;
use crate::support::bed::Bed;
use crate::support::program::Castoff;
use crate::support::project::Project;

/// A service whose second step fails, in a file that is given with `-f`.
fn failing(steps: &str) -> Project {
    Project::new()
        .file(
            "deploy/stack.yaml",
            &format!(
                "name: failing\nservices:\n  api:\n    image: failing\n    build:\n      context: ../app\n      args:\n        BASE: {}\n        API_TOKEN: hunter2hunter2\n",
                Bed::base()
            ),
        )
        .file("app/Dockerfile", &format!("ARG BASE\nFROM $BASE\nARG API_TOKEN\n{steps}"))
}

fn build(project: &Project) -> Castoff {
    project
        .castoff(["build", "-f", "deploy/stack.yaml"])
        .envs(Bed::environment())
}

#[test]
fn a_failed_step_is_shown_with_all_of_its_lines_and_how_to_run_it_again() {
    let unique = Bed::unique("x");
    let project = failing(&format!(
        "RUN echo {unique} && \\\n    echo using $API_TOKEN && \\\n    exit 3\n"
    ));
    let ran = build(&project).run().exits(4);
    assert!(!ran.stderr.contains("hunter2"), "{}", ran.stderr);
    let problem = ran.stderr.split_once("error: ").unwrap().1;
    insta::assert_snapshot!(problem.replace(&unique, "UNIQUE"), @r#"
    build `api` at [2/2] RUN echo UNIQUE &&     echo using *** &&     exit 3
      caused by: process "/bin/sh -c echo UNIQUE &&     echo using $API_TOKEN &&     exit 3" did not complete successfully: exit code: 3
     --> app/Dockerfile:4:1
      |
    4 | RUN echo UNIQUE && \
    5 |     echo using $API_TOKEN && \
    6 |     exit 3
      | UNIQUE
      | using ***
    hint: build it alone with `castoff build -f deploy/stack.yaml api`
    "#);
}

#[test]
fn the_platform_that_failed_is_named() {
    let shop = Shop::of(&["api"]);
    std::fs::write(
        shop.project.join("api/Dockerfile"),
        "ARG BASE\nFROM $BASE\nARG TARGETARCH\nRUN test $TARGETARCH = amd64 || exit 7\n",
    )
    .unwrap();
    let ran = shop
        .castoff([
            "publish",
            "--set",
            "build.platforms=linux/amd64,linux/arm64",
        ])
        .run()
        .exits(4);
    let problem = ran.stderr.split_once("error: ").unwrap().1;
    assert!(
        problem.starts_with("build `api` at [linux/arm64 2/2] RUN test"),
        "{problem}"
    );
    assert!(problem.contains("exit code: 7"), "{problem}");
}

#[test]
fn github_gets_groups_and_an_annotation_and_runs_no_command_of_a_log() {
    let unique = Bed::unique("x");
    let project = failing(&format!(
        "RUN echo {unique}; echo '::error::from the log'; echo 'x ##[add-mask]y'; exit 1\n"
    ));
    let ran = build(&project)
        .env("GITHUB_ACTIONS", "true")
        .env("GITHUB_WORKSPACE", project.path().display().to_string())
        .run()
        .exits(4);
    let is_command = |line: &&str| line.trim_start().starts_with("::") || line.contains("##[");
    let commands: Vec<&str> = ran.stderr.lines().filter(is_command).collect();
    insta::assert_snapshot!(commands.join("\n").replace(&unique, "UNIQUE"), @r#"
    ::group::build of api
    ::endgroup::
    ::warning file=app/Dockerfile,line=2::`api`: InvalidDefaultArgInFrom: Default value for ARG $BASE results in empty or invalid base image name
    ::warning file=app/Dockerfile,line=3::`api`: SecretsUsedInArgOrEnv: Do not use ARG or ENV instructions for sensitive data (ARG "API_TOKEN")
    ::error file=app/Dockerfile,line=4::build `api` at [2/2] RUN echo UNIQUE; echo '::error::from the log'; echo 'x ## [add-mask]y'; exit 1: process "/bin/sh -c echo UNIQUE; echo '::error::from the log'; echo 'x ## [add-mask]y'; exit 1" did not complete successfully: exit code: 1
    "#);
    assert!(
        ran.stderr.contains("::error::from the log"),
        "{}",
        ran.stderr
    );
    assert!(ran.stderr.contains("x ## [add-mask]y"), "{}", ran.stderr);
}

#[test]
fn gitlab_gets_sections() {
    let shop = Shop::of(&["api", "web"]);
    let ran = shop
        .castoff(["publish"])
        .env("GITLAB_CI", "true")
        .env("CI", "true")
        .run()
        .exits(0);
    let begins = ran.stderr.matches("\u{1b}[0Ksection_start:").count();
    let ends = ran.stderr.matches("\u{1b}[0Ksection_end:").count();
    assert_eq!((begins, ends), (2, 2), "{}", ran.stderr);
    let line = ran
        .stderr
        .lines()
        .find(|line| line.contains("section_start:"))
        .unwrap();
    let (_, name) = line
        .split_once("section_start:")
        .unwrap()
        .1
        .split_once(':')
        .unwrap();
    assert!(
        name == "castoff_api[collapsed=true]\r\u{1b}[0Kbuild of api"
            || name == "castoff_web[collapsed=true]\r\u{1b}[0Kbuild of web",
        "{name:?}"
    );
}

#[test]
fn each_service_has_its_whole_log_in_a_file_and_the_one_that_failed_too() {
    let shop = Shop::of(&["api", "web"]);
    std::fs::write(
        shop.project.join("api/Dockerfile"),
        format!(
            "ARG BASE\nFROM $BASE\nRUN echo {} && seq 1 5000\nRUN echo last words; exit 9\n",
            Bed::unique("x")
        ),
    )
    .unwrap();
    let ran = shop
        .castoff(["publish", "--logs", "out/logs"])
        .run()
        .exits(4);
    let log = std::fs::read_to_string(shop.project.join("out/logs/api.log")).unwrap();
    let numbers: Vec<usize> = log
        .lines()
        .filter(|line| line.split(' ').count() == 3)
        .filter_map(|line| line.rsplit(' ').next()?.parse().ok())
        .collect();
    assert_eq!(
        numbers,
        (1..=5000).collect::<Vec<_>>(),
        "every line, in order"
    );
    assert!(log.contains(" last words\n"), "{log}");
    let end: Vec<&str> = log.lines().rev().take(2).collect();
    assert!(end[0].starts_with("# failed: process"), "{end:?}");
    assert!(end[1].contains("failed: process"), "{end:?}");
    assert!(shop.project.join("out/logs/web.log").exists());
    assert!(!ran.stderr.contains("no longer kept"), "{}", ran.stderr);
}

#[test]
fn a_folder_for_logs_that_cannot_be_made_stops_everything() {
    let shop = Shop::of(&["api"]);
    std::fs::write(shop.project.join("logs"), "a file").unwrap();
    let ran = shop.castoff(["publish", "--logs", "logs"]).run().exits(2);
    insta::assert_snapshot!(ran.stderr, @"
    error: write logs
      caused by: it is there, and no folder
    ");
}

#[cfg(target_os = "linux")]
#[test]
fn a_disk_that_fills_up_costs_the_logs_and_not_the_publish() {
    let shop = Shop::of(&["api"]);
    std::fs::write(
        shop.project.join("api/Dockerfile"),
        format!(
            "ARG BASE\nFROM $BASE\nRUN echo {} && seq 1 20000\n",
            Bed::unique("x")
        ),
    )
    .unwrap();
    // A small disk of our own, which goes away with the process.
    let castoff = shop.castoff(["publish"]);
    let command = castoff.command();
    let program = command.get_program().to_string_lossy().into_owned();
    let environment: Vec<_> = command
        .get_envs()
        .filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned())))
        .collect();
    let inside = format!(
        "mkdir small && mount -t tmpfs -o size=64k none small && exec {program} publish --logs small"
    );
    let output = std::process::Command::new("unshare")
        .args(["--mount", "sh", "-c", &inside])
        .current_dir(shop.project.path())
        .env_clear()
        .envs(environment)
        .output()
        .unwrap();
    let shown = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{shown}");
    let warning = "warning: the logs of builds are no longer kept: No space left on device";
    assert_eq!(shown.matches(warning).count(), 1, "{shown}");
    assert!(shop.latest(&Bed::registry(), "api").is_some());
}

#[test]
fn a_secret_that_no_variable_holds_is_found_before_anything_is_built() {
    let shop = Shop::of(&["api", "web"]);
    let compose = shop.project.join("compose.yaml");
    let written = std::fs::read_to_string(&compose).unwrap();
    let asked = written.replace("context: api", "context: api\n      secrets: [token]");
    assert_ne!(written, asked);
    let more = format!("{asked}\nsecrets:\n  token:\n    environment: NOT_SET_ANYWHERE\n");
    std::fs::write(&compose, more).unwrap();
    for verb in ["check", "publish"] {
        let ran = shop.castoff([verb]).run().exits(3);
        let expected = "api: a secret of its build comes from NOT_SET_ANYWHERE, which is not set";
        assert!(ran.stderr.contains(expected), "{}", ran.stderr);
    }
    shop.castoff(["publish"])
        .env("NOT_SET_ANYWHERE", "hunter2")
        .run()
        .exits(0);
}
