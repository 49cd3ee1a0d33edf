//! Input that is large, broken, or no file at all: each is answered, soon, and with the place.

use std::fmt::Write as _;
use std::time::Duration;

use rustix::fs::{CWD, FileType, Mode, mknodat};

use crate::shop;
use crate::support::program::{Castoff, Ran};
use crate::support::project::Project;
use crate::support::registry::TestRegistry;

/// How long a debug build on a busy machine may take at most; what grows with the square of its input
/// takes a multiple of it.
const SOON: Duration = Duration::from_secs(30);

fn fifo(path: &std::path::Path) {
    mknodat(CWD, path, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
}

fn shown(project: &Project, ran: &Ran) -> String {
    let folder = project.path().canonicalize().unwrap();
    ran.shown(&[
        (&*folder.to_string_lossy(), "[project]"),
        (&*project.path().to_string_lossy(), "[project]"),
    ])
}

fn soon(castoff: Castoff) -> Ran {
    let ran = castoff.run();
    assert!(ran.took < SOON, "{:?}\n{}", ran.took, ran.stderr);
    ran
}

/// A service with a list of its `build`.
fn with(key: &str, item: impl Fn(usize) -> String, count: usize) -> Project {
    let mut text = format!(
        "services:\n  a:\n    image: ex.io/a\n    build:\n      context: .\n      {key}:\n"
    );
    for number in 0..count {
        let _ = writeln!(text, "        {}", item(number));
    }
    let project = Project::new().file("compose.yaml", &text);
    project.file("Dockerfile", "FROM scratch\n")
}

#[test]
fn long_lists_take_no_longer_than_their_length() {
    let lists: [(&str, &dyn Fn(usize) -> String); 5] = [
        ("tags", &|it| format!("- ex.io/x:A{it}")),
        ("cache_from", &|it| format!("- ex.io/x:A{it}")),
        ("cache_to", &|it| {
            format!("- type=registry,ref=ex.io/x:A{it}")
        }),
        ("ssh", &|it| format!("- k{it}=./s")),
        ("x-bake", &|it| format!("k{it}: 1")),
    ];
    for (key, item) in lists {
        let project = with(key, item, 20_000);
        let ran = soon(project.castoff(["plan", "--offline"])).exits(0);
        let unknown = "warning: a: 19990 more keys of `x-bake` have no effect\n";
        assert_eq!(ran.stderr.contains(unknown), key == "x-bake");
        assert!(ran.stderr.len() < 10_000);
    }
}

#[test]
fn many_services_take_no_longer_than_their_number() {
    let mut wide = String::from("services:\n");
    let mut chain = String::from("services:\n");
    for number in 0..5_000 {
        let _ = writeln!(wide, "  s{number}: {{image: ex.io/s{number}, build: .}}");
        let beneath = number.max(1) - 1;
        let on = format!("additional_contexts: {{b: \"service:s{beneath}\"}}");
        let on = if number == 0 { "" } else { on.as_str() };
        let _ = writeln!(
            chain,
            "  s{number}: {{image: ex.io/s{number}, build: {{context: ., {on}}}}}"
        );
    }
    for compose in [wide, chain] {
        let project = Project::new()
            .file("compose.yaml", &compose)
            .file("Dockerfile", "FROM scratch\n");
        let ran = soon(project.castoff(["plan", "--offline"])).exits(0);
        assert!(ran.stdout.contains("5000 to build"));
        soon(project.castoff(["tags"])).exits(0);
    }
}

#[test]
fn patterns_of_any_length_and_number_are_carried_out() {
    let registry = TestRegistry::start();
    let compose = format!(
        "name: shop\nservices:\n  web:\n    build: .\n    image: {}/web:1\n    platform: linux/amd64\n",
        registry.host()
    );
    let many = (0..20_000).fold(String::new(), |mut text, number| {
        let _ = writeln!(text, "*x{number}*y*");
        text
    });
    let project = Project::new()
        .file("compose.yaml", &compose)
        .file("Dockerfile", "FROM scratch\nCOPY . /\n");
    for number in 0..500 {
        project.write(&format!("file-{number}"), "x");
    }
    let inputs = |ignored: &str| {
        project.write(".dockerignore", ignored);
        let plan = project.castoff(["plan", "--format", "json"]);
        let plan = soon(plan.env("DOCKER_HOST", "unix:///nowhere"))
            .exits(0)
            .json();
        let target = &plan["targets"][0];
        assert!(target["inputs"].is_string(), "{target}");
        target["inputs"].as_str().unwrap().to_owned()
    };
    // The file itself is a part of the context, and so each is another input.
    let long = inputs(&"?".repeat(1_000_000));
    assert_ne!(inputs(&many), long);
    assert_ne!(inputs(&"**/".repeat(1_000_000)), long);
}

#[test]
fn a_saved_plan_without_an_end_is_left() {
    let project = shop();
    let ran = soon(project.castoff(["publish", "--plan", "/dev/zero"])).exits(2);
    assert!(
        ran.stderr.contains("it is larger than 64 MiB"),
        "{}",
        ran.stderr
    );
    let pipe = project.join("pipe");
    fifo(&pipe);
    let ran = soon(project.castoff(["publish", "--plan", "pipe"])).exits(2);
    let said = "it is a pipe that nobody writes to";
    assert!(ran.stderr.contains(said), "{}", ran.stderr);
}

fn on_github(project: &Project) -> Castoff {
    let event = project.join("event.json");
    project
        .castoff(["tags"])
        .env("GITHUB_ACTIONS", "true")
        .env("GITHUB_REF", "refs/heads/main")
        .env("GITHUB_EVENT_PATH", event.display().to_string())
}

#[test]
fn an_event_that_cannot_be_read_moves_no_tag() {
    let rules = "[tags]\nrules = [\"type=raw,value=latest,enable={{is_default_branch}}\", \"type=ref,event=branch\"]\n";
    let project = shop().file("publish.toml", rules);
    let ran = on_github(&project).run().exits(0);
    assert!(
        ran.stderr.contains("event.json does not exist"),
        "{}",
        ran.stderr
    );
    for broken in ["{", "\u{feff}{}", "null", ""] {
        project.write("event.json", broken);
        let ran = on_github(&project).run().exits(2);
        assert_eq!(ran.stdout, "");
        let said = "event.json cannot be read: ";
        assert!(ran.stderr.contains(said), "{}", ran.stderr);
    }
    let twice =
        r#"{"repository": {"default_branch": "x"}, "repository": {"default_branch": "main"}}"#;
    project.write("event.json", twice);
    let ran = on_github(&project).run().exits(0);
    let tags = "web:\nghcr.io/acme/shop-web:main\nghcr.io/acme/shop-web:latest\n";
    assert_eq!((ran.stdout.as_str(), ran.stderr.as_str()), (tags, ""));
    std::fs::remove_file(project.join("event.json")).unwrap();
    fifo(&project.join("event.json"));
    let ran = soon(on_github(&project)).exits(2);
    let said = "it is a pipe that nobody writes to";
    assert!(ran.stderr.contains(said), "{}", ran.stderr);
}

#[test]
fn an_ignore_file_that_no_builder_takes_is_refused_with_its_line() {
    let project = shop().file("web/.dockerignore", "ok\n  [a-\n");
    for command in [
        &["check"][..],
        &["plan", "--offline"],
        &["build"],
        &["publish"],
    ] {
        let ran = project.castoff([]).args(command).run();
        insta::allow_duplicates! {
            insta::assert_snapshot!(shown(&project, &ran), @"
            exit 2
            --- stdout
            --- stderr
            error: service `web`: nothing can be built with this ignore file
              caused by: [project]/web/.dockerignore:2:3: invalid pattern `[a-`: a `[` is not closed
             --> web/.dockerignore:2:3
              |
            2 |   [a-
              |   ^^^
            ");
        }
    }
}

#[test]
fn an_ignore_file_that_is_a_pipe_is_refused_at_once() {
    let project = shop();
    fifo(&project.join("web/.dockerignore"));
    for command in [&["plan"][..], &["build"]] {
        let ran = soon(project.castoff([]).args(command));
        insta::allow_duplicates! {
            insta::assert_snapshot!(shown(&project, &ran), @"
            exit 2
            --- stdout
            --- stderr
            error: service `web`: nothing can be built with this ignore file
              caused by: [project]/web/.dockerignore is no file
            ");
        }
    }
}

#[test]
fn an_instruction_that_no_dockerfile_has_is_told_with_its_line() {
    let project = shop().file("web/Dockerfile", "\nFORM scratch\n");
    let ran = project.castoff(["plan", "--offline"]).run();
    insta::assert_snapshot!(shown(&project, &ran), @"
    exit 0
    --- stdout
     SERVICE  ACTION  PLATFORMS          REPOSITORY
     web      build   the builder's own  ghcr.io/acme/shop-web

     SERVICE  WHY
     web      no registry was asked what is there already

     TAG                        CHANGE   RULE
     ghcr.io/acme/shop-web:1.0  – → new  image

    1 to build, 0 to reuse; 1 of 1 tags move
    --- stderr
    warning: [project]/web/Dockerfile:2: `FORM` is no instruction of a Dockerfile
    hint: did you mean `FROM`?
    ");
    let check = project.castoff(["check"]).run();
    let said = "web/Dockerfile:2: `FORM` is no instruction of a Dockerfile";
    assert!(check.stderr.contains(said), "{}", check.stderr);
    project.write(
        "web/Dockerfile",
        "# syntax=example.com/mine\nFORM scratch\n",
    );
    let ran = project.castoff(["plan", "--offline"]).run().exits(0);
    assert_eq!(ran.stderr, "");
}

#[test]
fn what_is_there_and_is_something_else_is_called_what_it_is() {
    let project = shop();
    let dockerfile = project.join("web/Dockerfile");
    let mut said = String::new();
    let mut plan = |what: &str| {
        let ran = soon(project.castoff(["plan", "--offline"])).exits(2);
        let text = shown(&project, &ran);
        let line = text.lines().find(|line| line.starts_with("error: "));
        let hint = text.lines().last();
        let _ = writeln!(said, "{what}: {}\n  {}", line.unwrap(), hint.unwrap());
        std::fs::remove_file(&dockerfile)
            .or_else(|_| std::fs::remove_dir(&dockerfile))
            .unwrap();
    };
    std::fs::remove_file(&dockerfile).unwrap();
    std::fs::create_dir(&dockerfile).unwrap();
    plan("folder");
    fifo(&dockerfile);
    plan("pipe");
    std::os::unix::fs::symlink("Dockerfile", &dockerfile).unwrap();
    plan("loop");
    std::os::unix::fs::symlink("nowhere", &dockerfile).unwrap();
    plan("dangling");
    project.write("web/Dockerfile", "FROM scratch\n");
    let compose = crate::COMPOSE.replace("build: web", "build: web/Dockerfile");
    project.write("compose.yaml", &compose);
    plan("context");
    insta::assert_snapshot!(said, @"
    folder: error: service `web`: the Dockerfile [project]/web/Dockerfile is a folder
      hint: correct the path, or what is there
    pipe: error: service `web`: the Dockerfile [project]/web/Dockerfile is neither a file nor a folder, but a pipe, a socket or a device
      hint: correct the path, or what is there
    loop: error: service `web`: the Dockerfile [project]/web/Dockerfile cannot be looked at: Too many levels of symbolic links (os error 40)
      hint: correct the path, or what is there
    dangling: error: service `web`: the Dockerfile [project]/web/Dockerfile is a symbolic link that leads nowhere
      hint: correct the path, or what is there
    context: error: service `web`: the context folder [project]/web/Dockerfile is a file
      hint: correct the path, or what is there
    ");
}

#[test]
fn docker_s_configuration_is_not_waited_for() {
    let project = shop();
    std::fs::create_dir(project.join("docker")).unwrap();
    fifo(&project.join("docker/config.json"));
    let folder = project.join("docker").display().to_string();
    let ran = soon(project.castoff(["check"]).env("DOCKER_CONFIG", folder));
    let said = "it is a pipe that nobody writes to";
    assert!(ran.stderr.contains(said), "{}", ran.stderr);
}

#[test]
fn a_login_in_publish_toml_is_not_shown() {
    let project = shop().file(
        "publish.toml",
        "[registries.r]\nrepository = \"https://user:hunter2@ghcr.io/x\"\n",
    );
    let ran = project.castoff(["plan", "--offline"]).run();
    insta::assert_snapshot!(shown(&project, &ran), @r#"
    exit 2
    --- stdout
    --- stderr
    error: the image of service `web` cannot be named
      caused by: invalid image reference `https://************@ghcr.io/x`
     --> publish.toml:2:14
      |
    2 | repository = "https://************@ghcr.io/x"
      |              ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
    "#);
    let check = project
        .castoff(["check"])
        .env("GITHUB_ACTIONS", "true")
        .run();
    assert!(!check.stderr.contains("hunter2"), "{}", check.stderr);
}
