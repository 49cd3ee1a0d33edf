//! What a build can be told, seen in what comes of it.

use std::os::unix::fs::PermissionsExt as _;

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

/// A project whose build asks an SSH agent for its keys, and to forget them.
fn agent_project(name: &str, ssh: &str) -> Project {
    let script = "import os,socket,struct\ns=socket.socket(socket.AF_UNIX); s.connect(os.environ['SSH_AUTH_SOCK'])\ndef ask(kind):\n  s.sendall(struct.pack('>IB',1,kind)); n=struct.unpack('>I',s.recv(4,socket.MSG_WAITALL))[0]; return s.recv(n,socket.MSG_WAITALL)\nlist=ask(11); forget=ask(19); again=ask(11)\nprint(list[0],struct.unpack('>I',list[1:5])[0],forget[0],again==list)\n";
    Project::new()
        .file(
            "compose.yaml",
            &format!(
                "services:\n  app:\n    image: {name}\n    build:\n      context: .\n      no_cache: true\n      ssh: [{ssh}]\n      args: {{ BASE: \"{}\" }}\n",
                Bed::var("BED_BASE_APP")
            ),
        )
        .file(
            "Dockerfile",
            "ARG BASE\nFROM $BASE\nCOPY ask.py /ask.py\nRUN --mount=type=ssh python3 /ask.py > /said\nCMD [\"cat\", \"/said\"]\n",
        )
        .file("ask.py", script)
}

fn new_key(project: &Project, name: &str, passphrase: &str) {
    let path = project.join(name);
    let path = path.to_str().unwrap();
    Bed::output(
        "ssh-keygen",
        &["-q", "-t", "ed25519", "-N", passphrase, "-f", path],
    );
}

#[test]
fn a_build_may_use_key_files_and_not_change_them() {
    let name = Bed::unique("ssh");
    let project = agent_project(&name, "default=./one");
    new_key(&project, "one", "");
    new_key(&project, "two", "");
    // Others may read this one: OpenSSH would not take it, buildx does.
    let readable = std::fs::Permissions::from_mode(0o644);
    std::fs::set_permissions(project.join("two"), readable).unwrap();
    assert_eq!(printed(&project, &name), "12 1 5 True");
    // Only bake has words for several keys under one name.
    let keys = project.path().display();
    let compose = std::fs::read_to_string(project.join("compose.yaml")).unwrap();
    let both =
        format!("x-bake: {{ ssh: [\"default={keys}/one,{keys}/two\"] }}\n      no_cache: true");
    project.write("compose.yaml", &compose.replace("no_cache: true", &both));
    assert_eq!(printed(&project, &name), "12 2 5 True");
}

#[test]
fn a_build_may_use_the_users_agent() {
    let name = Bed::unique("ssh");
    let project = agent_project(&name, "default");
    new_key(&project, "one", "");
    let socket = project.join("agent.sock");
    let mut agent = std::process::Command::new("ssh-agent")
        .args(["-D", "-a"])
        .arg(&socket)
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    while !socket.exists() {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    let added = std::process::Command::new("ssh-add")
        .arg("-q")
        .arg(project.join("one"))
        .env("SSH_AUTH_SOCK", &socket)
        .status()
        .unwrap();
    assert!(added.success());
    project
        .castoff(["build"])
        .envs(Bed::environment())
        .env("SSH_AUTH_SOCK", socket.display().to_string())
        .run()
        .exits(0);
    agent.kill().unwrap();
    agent.wait().unwrap();
    let text = Bed::output("docker", &["run", "--rm", "--network", "none", &name]);
    Bed::output("docker", &["image", "rm", "-f", &name]);
    assert_eq!(text, "12 1 5 True");
}

#[test]
fn an_agent_that_is_not_there_and_a_key_with_a_passphrase_are_said() {
    let name = Bed::unique("ssh");
    let project = agent_project(&name, "default");
    let ran = project
        .castoff(["build"])
        .envs(Bed::environment())
        .env("SSH_AUTH_SOCK", "")
        .run()
        .exits(2);
    assert!(
        ran.stderr.contains("SSH_AUTH_SOCK is not set"),
        "{}",
        ran.stderr
    );
    let project = agent_project(&name, "default=./one");
    new_key(&project, "one", "passphrase");
    let ran = project
        .castoff(["build"])
        .envs(Bed::environment())
        .run()
        .exits(2);
    assert!(
        ran.stderr
            .contains("one: it has a passphrase, or is no private key"),
        "{}",
        ran.stderr
    );
    assert!(!ran.stderr.contains("ssh-agent cannot"), "{}", ran.stderr);
}

#[test]
fn the_machine_of_the_engine_has_the_address_that_docker_gives_it() {
    let name = Bed::unique("gateway");
    let base = Bed::base();
    let project = Project::new()
        .file(
            "compose.yaml",
            &format!(
                "services:\n  app:\n    image: {name}\n    build:\n      context: .\n      args: {{ BASE: \"{base}\" }}\n      extra_hosts: [\"machine:host-gateway\", \"other:192.0.2.7\"]\n"
            ),
        )
        .file(
            "Dockerfile",
            "ARG BASE\nFROM $BASE\nRUN grep -E 'machine|other' /etc/hosts > /said\nCMD [\"cat\", \"/said\"]\n",
        );
    let ours = printed(&project, &name);
    Bed::output(
        "docker",
        &[
            "build",
            "--quiet",
            "--no-cache",
            "--add-host=machine:host-gateway",
            "--add-host=other:192.0.2.7",
            &format!("--build-arg=BASE={base}"),
            &format!("--tag={name}"),
            &project.path().display().to_string(),
        ],
    );
    let theirs = Bed::output("docker", &["run", "--rm", "--network", "none", &name]);
    Bed::output("docker", &["image", "rm", "-f", &name]);
    assert_eq!(ours, theirs);
    assert!(ours.contains("192.0.2.7"), "{ours}");
}
