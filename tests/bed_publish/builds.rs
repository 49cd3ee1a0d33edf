//! What a build can be told, seen in what comes of it.

use crate::Shop;
use crate::support::bed::Bed;
use crate::support::program::Ran;
use crate::support::project::Project;

/// Builds the one service of a project and gives the image's configuration.
fn build(project: &Project, name: &str) -> (Ran, serde_json::Value) {
    let ran = project
        .castoff(["build"])
        .envs(Bed::environment())
        .run()
        .exits(0);
    let text = Bed::output("docker", &["image", "inspect", name]);
    let inspected: serde_json::Value = serde_json::from_str(&text).unwrap();
    Bed::output("docker", &["image", "rm", "-f", name]);
    (ran, inspected[0].clone())
}

/// Runs the image that was built and gives what it prints.
fn printed(project: &Project, name: &str) -> String {
    project
        .castoff(["build"])
        .envs(Bed::environment())
        .run()
        .exits(0);
    let text = Bed::output("docker", &["run", "--rm", "--network", "none", name]);
    Bed::output("docker", &["image", "rm", "-f", name]);
    text
}

#[test]
fn arguments_target_labels_and_an_inline_dockerfile_decide_the_image() {
    let name = Bed::unique("options");
    let project = Project::new().file(
        "compose.yaml",
        &format!(
            r#"
services:
  app:
    image: {name}
    build:
      context: .
      dockerfile_inline: |
        ARG BASE
        FROM $$BASE AS one
        ARG WORD
        RUN echo "$$WORD" > /word
        CMD ["cat", "/word"]
        FROM one AS two
        CMD ["echo", "two"]
      target: one
      args:
        BASE: {}
        WORD: hello
      labels:
        com.example.team: blue
      extra_hosts: ["somehost=162.242.195.82"]
      shm_size: 32m
      network: none
"#,
            Bed::base()
        ),
    );
    let (_, image) = build(&project, &name);
    assert_eq!(image["Config"]["Cmd"], serde_json::json!(["cat", "/word"]));
    assert_eq!(image["Config"]["Labels"]["com.example.team"], "blue");
    assert_eq!(image["Config"]["Labels"]["dev.castoff.service"], "app");
    assert_eq!(printed(&project, &name), "hello");
}

#[test]
fn a_named_context_is_sent_beside_the_context() {
    let name = Bed::unique("contexts");
    let project = Project::new()
        .file(
            "compose.yaml",
            &format!(
                "services:\n  app:\n    image: {name}\n    build:\n      context: app\n      additional_contexts:\n        other: ./other\n        base: docker-image://{}\n",
                Bed::base()
            ),
        )
        .file(
            "app/Dockerfile",
            "FROM base\nCOPY --from=other file /file\nCMD [\"cat\", \"/file\"]\n",
        )
        .file("other/file", "from the other folder\n");
    assert_eq!(printed(&project, &name), "from the other folder");
}

#[test]
fn secrets_reach_the_build_and_nothing_else() {
    let name = Bed::unique("secrets");
    let word = "s3cret-of-the-test";
    let project = Project::new()
        .file(
            "compose.yaml",
            &format!(
                r"
services:
  app:
    image: {name}
    build:
      context: .
      args:
        BASE: {}
      secrets: [from_file, from_environment]
secrets:
  from_file:
    file: ./secret.txt
  from_environment:
    environment: TEST_TOKEN
",
                Bed::base()
            ),
        )
        .file(
            "Dockerfile",
            "ARG BASE\nFROM $BASE\nRUN --mount=type=secret,id=from_file --mount=type=secret,id=from_environment \\\n    cat /run/secrets/from_file /run/secrets/from_environment | sha256sum > /sum\nCMD [\"cat\", \"/sum\"]\n",
        )
        .file("secret.txt", word);
    let events = project.join("events");
    let ran = project
        .castoff(["build", "--events"])
        .args([&events])
        .envs(Bed::environment())
        .env("TEST_TOKEN", word)
        .run()
        .exits(0);
    let history = Bed::output("docker", &["history", "--no-trunc", &name]);
    let sum = Bed::output("docker", &["run", "--rm", "--network", "none", &name]);
    Bed::output("docker", &["image", "rm", "-f", &name]);
    let expected = Bed::output(
        "sh",
        &["-c", &format!("printf %s%s {word} {word} | sha256sum")],
    );
    assert_eq!(sum, expected);
    let events = std::fs::read_to_string(events).unwrap();
    for text in [&ran.stdout, &ran.stderr, &history, &events] {
        assert!(!text.contains(word));
    }
    // A variable that is not set is said before anything runs.
    let ran = project
        .castoff(["build"])
        .envs(Bed::environment())
        .run()
        .exits(2);
    assert!(
        ran.stderr.contains("the variable TEST_TOKEN is not set"),
        "{}",
        ran.stderr
    );
}

#[test]
fn a_mistake_in_a_dockerfile_is_shown_with_its_line() {
    let project = Project::new()
        .file(
            "compose.yaml",
            "name: mistake\nservices:\n  app:\n    build: .\n    image: mistake\n",
        )
        .file("Dockerfile", "FROM scratch\nCOPPY a b\n");
    let ran = project
        .castoff(["build"])
        .envs(Bed::environment())
        .run()
        .exits(4);
    let problem = ran.stderr.split_once("error: ").unwrap().1;
    insta::assert_snapshot!(problem, @"
    build `app`
      caused by: dockerfile parse error on line 2: unknown instruction: COPPY (did you mean COPY?)
     --> Dockerfile:2:1
      |
    2 | COPPY a b
      | ^^^^^^^^^
    hint: build it alone with `castoff build app`
    ");
    let project = Project::new()
        .file(
            "compose.yaml",
            "name: mistake\nservices:\n  app:\n    build: .\n    image: mistake\n",
        )
        .file("Dockerfile", "FROM scratch\nCOPY missing /\n");
    let ran = project
        .castoff(["build"])
        .envs(Bed::environment())
        .run()
        .exits(4);
    let problem = ran.stderr.split_once("error: ").unwrap().1;
    insta::assert_snapshot!(problem, @r#"
    build `app` at [1/1] COPY missing /
      caused by: failed to compute cache key: failed to calculate checksum: "/missing": not found
     --> Dockerfile:2:1
      |
    2 | COPY missing /
      | ^^^^^^^^^^^^^^
    hint: build it alone with `castoff build app`
    "#);
}

#[test]
fn a_full_disk_has_a_hint() {
    let project = Project::new()
        .file(
            "compose.yaml",
            &format!("name: full\nservices:\n  app:\n    image: full\n    build:\n      context: .\n      args:\n        BASE: {}\n", Bed::base()),
        )
        .file(
            "Dockerfile",
            "ARG BASE\nFROM $BASE\nRUN --mount=type=tmpfs,target=/small,size=65536 dd if=/dev/zero of=/small/file bs=1024 count=1000\n",
        );
    let ran = project
        .castoff(["build"])
        .envs(Bed::environment())
        .run()
        .exits(4);
    let problem = ran.stderr.split_once("error: ").unwrap().1;
    insta::assert_snapshot!(problem, @r#"
    build `app` at [stage-0 2/2] RUN --mount=type=tmpfs,target=/small,size=65536 dd if=/dev/zero of=/small/file bs=1024 count=1000
      caused by: process "/bin/sh -c dd if=/dev/zero of=/small/file bs=1024 count=1000" did not complete successfully: exit code: 1
     --> Dockerfile:3:1
      |
    3 | RUN --mount=type=tmpfs,target=/small,size=65536 dd if=/dev/zero of=/small/file bs=1024 count=1000
      | ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
      | dd: error writing '/small/file': No space left on device
      | 65+0 records in
      | 64+0 records out
    hint: a disk is full: `castoff prune local` shows what can be freed
    "#);
}

#[test]
fn nothing_of_a_control_sequence_in_a_log_reaches_the_terminal() {
    let project = Project::new()
        .file(
            "compose.yaml",
            &format!("name: control\nservices:\n  app:\n    image: control\n    build:\n      context: .\n      args:\n        BASE: {}\n", Bed::base()),
        )
        .file(
            "Dockerfile",
            &format!("ARG BASE\nFROM $BASE\nRUN printf '\\033[31mred\\033[0m \\033]0;title\\007 {}\\n'; exit 1\n", Bed::unique("x")),
        );
    let ran = project
        .castoff(["build"])
        .envs(Bed::environment())
        .run()
        .exits(4);
    assert!(ran.stderr.contains("red"), "{}", ran.stderr);
    assert!(!ran.stderr.contains('\u{1b}') && !ran.stderr.contains('\u{7}'));
}

#[test]
fn a_signed_address_in_a_builds_log_is_neither_shown_nor_saved() {
    let shop = Shop::of(&["api"]);
    shop.project.write(
        "api/file",
        "echo GET 'https://me:hunter2@s3.example/x?X-Amz-Signature=geheim'; exit 1\n",
    );
    shop.project.write(
        "api/Dockerfile",
        &format!("FROM {}\nCOPY file /file\nRUN sh /file\n", Bed::base()),
    );
    let events = shop.project.join(".home/events");
    let ran = shop
        .castoff(["publish", "--progress", "plain", "--events"])
        .args([&events])
        .run()
        .exits(4);
    let saved = std::fs::read_to_string(events).unwrap();
    for text in [&ran.stderr, &saved] {
        assert!(text.contains("GET https://s3.example/x?…"), "{text}");
        assert!(!text.contains("geheim") && !text.contains("hunter2"));
    }
}
