//! What castoff says of input that is wrong: each message whole, as a user sees it.

use crate::shop;
use crate::support::program::Ran;
use crate::support::project::Project;

fn shown(project: &Project, ran: &Ran) -> String {
    assert!(!ran.stderr.contains("panicked") && !ran.stderr.contains("stack backtrace"));
    let folder = project.path().canonicalize().unwrap();
    let text = ran.shown(&[
        (&*folder.to_string_lossy(), "[project]"),
        (&*project.path().to_string_lossy(), "[project]"),
    ]);
    let state = regex::Regex::new("shop-[0-9a-f]{12}").unwrap();
    state.replace_all(&text, "shop-[key]").into_owned()
}

fn plan(project: &Project) -> String {
    shown(project, &project.castoff(["plan", "--offline"]).run())
}

#[test]
fn no_compose_file() {
    let project = Project::new();
    insta::assert_snapshot!(plan(&project), @"
    exit 2
    --- stdout
    --- stderr
    error: no compose file in [project] or a folder above it
    hint: write a compose.yaml, or name the file with -f FILE
    ");
}

#[test]
fn a_context_that_is_not_there() {
    let project = Project::new().file(
        "compose.yaml",
        "services:\n  web:\n    image: acme/web\n    build:\n      context: ./wbe\n",
    );
    insta::assert_snapshot!(plan(&project), @"
    exit 2
    --- stdout
    --- stderr
    error: service `web`: the context folder [project]/wbe does not exist
     --> compose.yaml:5:16
      |
    5 |       context: ./wbe
      |                ^^^^^
    hint: create it, or correct the path
    ");
}

#[test]
fn a_dockerfile_that_is_not_there() {
    let project = shop();
    std::fs::remove_file(project.join("web/Dockerfile")).unwrap();
    insta::assert_snapshot!(plan(&project), @"
    exit 2
    --- stdout
    --- stderr
    error: service `web`: the Dockerfile [project]/web/Dockerfile does not exist
     --> compose.yaml:4:12
      |
    4 |     build: web
      |            ^^^
    hint: create it, or correct the path
    ");
}

#[test]
fn an_unknown_key_of_the_compose_file() {
    let project = Project::new().file("compose.yaml", "services:\n  web:\n    biuld: .\n");
    insta::assert_snapshot!(plan(&project), @"
    exit 2
    --- stdout
    --- stderr
    error: services.web has no key `biuld`
     --> compose.yaml:3:5
      |
    3 |     biuld: .
      |     ^^^^^
    hint: did you mean `build`?
    ");
}

#[test]
fn unknown_keys_of_publish_toml_all_at_once() {
    let project = shop().file(
        "publish.toml",
        "[registry.ghcr]\nrepository = \"ghcr.io/acme/{{service}}\"\n\n[build]\nplatfroms = [\"linux/amd64\"]\n",
    );
    insta::assert_snapshot!(plan(&project), @r#"
    exit 2
    --- stdout
    --- stderr
    error: unknown key `registry`
     --> publish.toml:1:2
      |
    1 | [registry.ghcr]
      |  ^^^^^^^^
    hint: did you mean `registries`?
    error: unknown key `build.platfroms`
     --> publish.toml:5:1
      |
    5 | platfroms = ["linux/amd64"]
      | ^^^^^^^^^
    hint: did you mean `platforms`?
    "#);
}

#[test]
fn a_publish_toml_that_is_no_toml() {
    let project = shop().file("publish.toml", "[build\nplatforms = []\n");
    insta::assert_snapshot!(plan(&project), @"
    exit 2
    --- stdout
    --- stderr
    error: unclosed table, expected `]`
     --> publish.toml:1:7
      |
    1 | [build
      |       ^
    ");
}

#[test]
fn a_publish_toml_that_is_no_text() {
    let project = shop().file("publish.toml", "");
    std::fs::write(project.join("publish.toml"), b"[labels]\na = \"\xe4\"\n").unwrap();
    insta::assert_snapshot!(plan(&project), @r#"
    exit 2
    --- stdout
    --- stderr
    error: the file is not UTF-8
     --> publish.toml:2:6
      |
    2 | a = "�"
      |      ^
    hint: save the file as UTF-8
    "#);
}

#[test]
fn a_value_of_the_wrong_type() {
    let project = shop().file(
        "publish.toml",
        "[registries.a]\nrepository = \"a/b\"\nrequired = \"no\"\n",
    );
    insta::assert_snapshot!(plan(&project), @r#"
    exit 2
    --- stdout
    --- stderr
    error: `registries.a.required`: expected true or false, not `"no"`
     --> publish.toml:3:12
      |
    3 | required = "no"
      |            ^^^^
    "#);
}

#[test]
fn a_required_variable_that_is_not_set() {
    let project = Project::new().file(
        "compose.yaml",
        "services:\n  web:\n    image: ${IMAGE:?name the image}\n    build: .\n",
    );
    insta::assert_snapshot!(plan(&project), @"
    exit 2
    --- stdout
    --- stderr
    error: services.web.image: required variable IMAGE is missing a value: name the image
     --> compose.yaml:3:12
      |
    3 |     image: ${IMAGE:?name the image}
      |            ^^^^^^^^^^^^^^^^^^^^^^^^
    hint: set IMAGE in the environment, in .env, or in a file given with --env-file
    ");
    let project = shop().file(
        "publish.toml",
        "[registries.a]\nrepository = \"${WHERE:?say where}/{{service}}\"\n",
    );
    insta::assert_snapshot!(plan(&project), @r#"
    exit 2
    --- stdout
    --- stderr
    error: required variable WHERE is missing a value: say where
     --> publish.toml:2:14
      |
    2 | repository = "${WHERE:?say where}/{{service}}"
      |              ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
    hint: set WHERE in the environment, in .env, or in a file given with --env-file
    "#);
}

#[test]
fn an_invalid_tag_rule() {
    let project = shop().file(
        "publish.toml",
        "[tags]\nrules = [\"type=semver,patern={{version}}\"]\n",
    );
    insta::assert_snapshot!(plan(&project), @r#"
    exit 2
    --- stdout
    --- stderr
    error: the tags of service `web` cannot be computed
      caused by: tag rule 1 `type=semver,patern={{version}}`: type `semver` needs the attribute `pattern`
     --> publish.toml:2:10
      |
    2 | rules = ["type=semver,patern={{version}}"]
      |          ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
    hint: `patern` was given: did you mean `pattern`?
    "#);
}

#[test]
fn rules_that_give_no_tag() {
    let project = shop()
        .file(
            "publish.toml",
            "[tags]\nrules = [\"type=semver,pattern={{version}}\"]\n",
        )
        .git();
    insta::assert_snapshot!(plan(&project), @"
    exit 2
    --- stdout
    --- stderr
    error: no tag rule of service `web` gives a tag here
    hint: `castoff tags --explain` says why for each rule
    ");
}

/// Two services with a namespace of tags each, and the program at a tag of one of them.
fn at_a_tag_of_web() -> impl Fn(&[&str]) -> String {
    let project = Project::new()
        .file(
            "compose.yaml",
            "name: shop\nservices:\n  api:\n    build: .\n  web:\n    build: .\n",
        )
        .file("Dockerfile", "FROM scratch\n")
        .file(
            "publish.toml",
            r#"
[registries.r]
repository = "r.example/{{service}}"
[services.api.tags]
rules = ['type=semver,pattern={{version}},match=^api/(.*)$']
[services.web.tags]
rules = ['type=match,pattern=/^web\/v(.*)/,group=1']
"#,
        )
        .git();
    move |arguments| {
        let ran = project.castoff(["--ref", "refs/tags/web/v4.5.6"]);
        shown(&project, &ran.args(arguments).run())
    }
}

#[test]
fn a_service_without_a_tag_keeps_the_others_from_being_published() {
    let ran = at_a_tag_of_web();
    insta::assert_snapshot!(ran(&["plan", "--offline"]), @"
    exit 2
    --- stdout
    --- stderr
    error: no tag rule of service `api` gives a tag here
    hint: `castoff tags --explain` says why for each rule; `castoff publish web` publishes what has tags here
    ");
    insta::assert_snapshot!(ran(&["publish"]), @"
    exit 2
    --- stdout
    --- stderr
    error: no tag rule of service `api` gives a tag here
    hint: `castoff tags --explain` says why for each rule; `castoff publish web` publishes what has tags here
    ");
}

#[test]
fn a_service_without_a_tag_is_shown_beside_the_others() {
    let ran = at_a_tag_of_web();
    insta::assert_snapshot!(ran(&["tags"]), @"
    exit 0
    --- stdout
    api:
    web:
    r.example/web:4.5.6
    r.example/web:latest
    --- stderr
    warning: api: tag rule 1: `^api/(.*)$` does not match `web/v4.5.6`
    warning: api: tag rule 1: `web-v4.5.6` is no semver version
    hint: a version is 1.2.3 or v1.2.3, with -prerelease and +build (https://semver.org/); `match=` takes it out of a longer name
    warning: api: no rule gave a tag
    hint: castoff tags --explain says why for each rule
    ");
    insta::assert_snapshot!(ran(&["tags", "--explain"]), @r"
    exit 0
    --- stdout
    api:
    ref      refs/tags/web/v4.5.6 (from --ref)
    commit   63e6f48cbf5491d1c61c58db0584f6553b74abda
    default  main

     1. type=semver,pattern={{version}},match=^api/(.*)$
        – `web-v4.5.6` is no semver version
    latest not made: there is no main version

    labels
      org.opencontainers.image.created=2024-06-28T10:00:00Z
      org.opencontainers.image.description=
      org.opencontainers.image.licenses=
      org.opencontainers.image.revision=63e6f48cbf5491d1c61c58db0584f6553b74abda
      org.opencontainers.image.source=
      org.opencontainers.image.title=shop
      org.opencontainers.image.url=
      org.opencontainers.image.version=
    web:
    ref      refs/tags/web/v4.5.6 (from --ref)
    commit   63e6f48cbf5491d1c61c58db0584f6553b74abda
    default  main

     1. type=match,pattern=/^web\/v(.*)/,group=1
        → 4.5.6  (the main version)
    latest made: rule 1, the first that gave something, decides

    r.example/web:4.5.6
    r.example/web:latest

    labels
      org.opencontainers.image.created=2024-06-28T10:00:00Z
      org.opencontainers.image.description=
      org.opencontainers.image.licenses=
      org.opencontainers.image.revision=63e6f48cbf5491d1c61c58db0584f6553b74abda
      org.opencontainers.image.source=
      org.opencontainers.image.title=shop
      org.opencontainers.image.url=
      org.opencontainers.image.version=4.5.6
    --- stderr
    warning: api: tag rule 1: `^api/(.*)$` does not match `web/v4.5.6`
    warning: api: tag rule 1: `web-v4.5.6` is no semver version
    hint: a version is 1.2.3 or v1.2.3, with -prerelease and +build (https://semver.org/); `match=` takes it out of a longer name
    warning: api: no rule gave a tag
    hint: castoff tags --explain says why for each rule
    ");
    let json = ran(&["tags", "--format", "json"]);
    let (_, json) = json.split_once("--- stdout\n").unwrap();
    let (json, _) = json.split_once("--- stderr").unwrap();
    let json: serde_json::Value = serde_json::from_str(json).unwrap();
    assert_eq!(json[0]["service"], "api");
    assert_eq!(json[0]["tags"], serde_json::json!([]));
    assert_eq!(json[0]["version"], serde_json::json!(null));
    assert_eq!(json[1]["tags"][0], "r.example/web:4.5.6");
}

#[test]
fn one_service_has_the_tags_of_its_rules_in_publish_toml() {
    let ran = at_a_tag_of_web();
    insta::assert_snapshot!(ran(&["tags", "--service", "web"]), @"
    exit 0
    --- stdout
    web:
    r.example/web:4.5.6
    r.example/web:latest
    --- stderr
    ");
    insta::assert_snapshot!(ran(&["tags", "--service", "wbe"]), @"
    exit 2
    --- stdout
    --- stderr
    error: service `wbe` does not exist
    hint: did you mean `web`?
    ");
}

#[test]
fn a_service_that_does_not_exist() {
    let project = shop();
    let ran = project.castoff(["plan", "--offline", "wbe"]).run();
    insta::assert_snapshot!(shown(&project, &ran), @"
    exit 2
    --- stdout
    --- stderr
    error: service `wbe` does not exist
    hint: did you mean `web`?
    ");
    let ran = project.castoff(["plan", "--offline", "cache"]).run();
    insta::assert_snapshot!(shown(&project, &ran), @"
    exit 2
    --- stdout
    --- stderr
    error: service `cache` has no `build` section: its image is somebody else's to publish
     --> compose.yaml:6:3
      |
    6 |   cache:
      |   ^^^^^
    hint: name a service that is built
    ");
    let project = shop().file("publish.toml", "[services.wbe]\nskip = true\n");
    insta::assert_snapshot!(plan(&project), @"
    exit 2
    --- stdout
    --- stderr
    error: service `wbe` does not exist
     --> publish.toml:1:11
      |
    1 | [services.wbe]
      |           ^^^
    hint: did you mean `web`?
    ");
}

#[test]
fn a_service_that_goes_nowhere() {
    let project = Project::new()
        .file("compose.yaml", "services:\n  web:\n    build: .\n")
        .file("Dockerfile", "FROM scratch\n");
    insta::assert_snapshot!(plan(&project), @"
    exit 2
    --- stdout
    --- stderr
    error: service `web` goes nowhere: it has no `image`, and publish.toml names no registry for it
     --> compose.yaml:2:3
      |
    2 |   web:
      |   ^^^
    hint: add `image: REGISTRY/NAME` to `web`, or a [registries.NAME] table to publish.toml
    ");
}

#[test]
fn a_service_that_others_build_on_may_be_meant_to_go_nowhere() {
    let project = Project::new()
        .file(
            "compose.yaml",
            "services:
  base:
    build: .
  web:
    image: ghcr.io/acme/web:1.0
    build:
      context: .
      additional_contexts:
        base: service:base
",
        )
        .file("Dockerfile", "FROM scratch\n");
    insta::assert_snapshot!(plan(&project), @"
    exit 2
    --- stdout
    --- stderr
    error: service `base` goes nowhere: it has no `image`, and publish.toml names no registry for it
     --> compose.yaml:2:3
      |
    2 |   base:
      |   ^^^^
    hint: add `image: REGISTRY/NAME` to `base`, or a [registries.NAME] table to publish.toml; if only other services build on it, leave it out: `skip = true` under [services.base]
    ");
    project.write("publish.toml", "[services.base]\nskip = true\n");
    project.castoff(["plan", "--offline"]).run().exits(0);
    // Its name is not asked for either.
    let tags = project.castoff(["tags"]).run().exits(0);
    assert_eq!(tags.stdout, "web:\nghcr.io/acme/web:1.0\n");
}

#[test]
fn an_entitlement_that_there_is_not() {
    let project = Project::new()
        .file(
            "compose.yaml",
            "services:\n  web:\n    image: a/web:1\n    build:\n      context: .\n      entitlements: [foo.bar]\n",
        )
        .file("Dockerfile", "FROM scratch\n");
    insta::assert_snapshot!(plan(&project), @"
    exit 2
    --- stdout
    --- stderr
    error: service `web`: its build asks for `foo.bar`, which is no entitlement
     --> compose.yaml:4:5
      |
    4 |     build:
      |     ^^^^^
    hint: there are network.host, security.insecure, device
    ");
}

#[test]
fn two_services_under_one_name() {
    let project = Project::new()
        .file(
            "compose.yaml",
            "services:\n  a:\n    build: .\n    image: acme/x\n  b:\n    build: { context: ., target: b }\n    image: acme/x\n",
        )
        .file("Dockerfile", "FROM scratch\n");
    insta::assert_snapshot!(plan(&project), @"
    exit 2
    --- stdout
    --- stderr
    error: services `a` and `b` would both be published as docker.io/acme/x:latest
    hint: put {{service}} into the repository, or give one of them tags of its own
    ");
}

#[test]
fn an_image_that_is_no_reference() {
    let project = Project::new()
        .file(
            "compose.yaml",
            "services:\n  web:\n    image: ghcr.io/Acme/Web\n    build: .\n",
        )
        .file("Dockerfile", "FROM scratch\n");
    insta::assert_snapshot!(plan(&project), @"
    exit 2
    --- stdout
    --- stderr
    error: the image of service `web` cannot be named
      caused by: invalid image reference `ghcr.io/Acme/Web`: a repository must be lower case
     --> compose.yaml:3:12
      |
    3 |     image: ghcr.io/Acme/Web
      |            ^^^^^^^^^^^^^^^^
    ");
}

#[test]
fn a_repository_with_something_unknown_in_braces() {
    let project = shop().file(
        "publish.toml",
        "[registries.a]\nrepository = \"example.com/{{svc}}\"\n",
    );
    insta::assert_snapshot!(plan(&project), @r#"
    exit 2
    --- stdout
    --- stderr
    error: `example.com/{{svc}}`: only {{service}} and {{project}} are known here
     --> publish.toml:2:14
      |
    2 | repository = "example.com/{{svc}}"
      |              ^^^^^^^^^^^^^^^^^^^^^
    "#);
}

#[test]
fn flags_that_make_no_sense() {
    let project = shop();
    let ran = project.castoff(["plan", "--set", "build"]).run();
    insta::assert_snapshot!(shown(&project, &ran), @"
    exit 2
    --- stdout
    --- stderr
    error: `--set build` is not of the form KEY=VALUE
    hint: write for example `--set build.platforms=linux/amd64`
    ");
    let ran = project.castoff(["plan", "--builder", "kaniko"]).run();
    insta::assert_snapshot!(shown(&project, &ran), @"
    exit 2
    --- stdout
    --- stderr
    error: there is no builder `kaniko`, which --builder names
    hint: `castoff check` lists the builders; make this one with `docker buildx create --driver docker-container --name kaniko`
    ");
    let ran = project.castoff(["plna"]).run();
    insta::assert_snapshot!(shown(&project, &ran), @"
    exit 2
    --- stdout
    --- stderr
    error: unrecognized subcommand 'plna'

      tip: a similar subcommand exists: 'plan'

    Usage: castoff [OPTIONS] <COMMAND>

    For more information, try '--help'.
    ");
    let ran = project.castoff(["plan", "--config", "missing.toml"]).run();
    insta::assert_snapshot!(shown(&project, &ran), @"
    exit 2
    --- stdout
    --- stderr
    error: cannot read missing.toml
      caused by: No such file or directory (os error 2)
    hint: name another file with --config
    ");
}

#[test]
fn an_engine_that_is_not_there() {
    let project = shop();
    let ran = project
        .castoff(["publish"])
        .env("DOCKER_HOST", "unix:///nonexistent/docker.sock")
        .run();
    // The registry is not reached either; both are said.
    assert_eq!(ran.code, Some(3), "{}", ran.stderr);
    assert!(
        ran.stderr
            .contains("cannot reach the builder at unix:///nonexistent/docker.sock")
    );
    let ran = project
        .castoff(["build"])
        .env("DOCKER_HOST", "unix:///nonexistent/docker.sock")
        .run();
    insta::assert_snapshot!(shown(&project, &ran), @"
    exit 3
    --- stdout
    --- stderr
       [t]  plan     1 service to build, 0 to reuse, 0 tags
       [t]  web      building with engine
       [t]  web      failed: cannot reach the builder at unix:///nonexistent/docker.sock: No such file or directory (os error 2)
    error: build `web`
      caused by: cannot reach the builder at unix:///nonexistent/docker.sock: No such file or directory (os error 2)
    hint: start the Docker Engine, or name another one with DOCKER_HOST or --builder
    ");
}

#[test]
fn a_state_folder_that_cannot_be_made() {
    let project = shop().file("file", "");
    let ran = project
        .castoff(["publish"])
        .env(
            "CASTOFF_STATE",
            project.join("file/state").display().to_string(),
        )
        .run();
    insta::assert_snapshot!(shown(&project, &ran), @"
    exit 3
    --- stdout
    --- stderr
    error: keep the state of this project
      caused by: cannot create [project]/file/state/shop-[key]/releases
      caused by: Not a directory (os error 20)
    hint: set CASTOFF_STATE to a folder that may be written
    ");
}

#[test]
fn an_events_file_that_cannot_be_written() {
    let project = shop();
    let ran = project
        .castoff(["publish", "--events", "missing/folder/events"])
        .run();
    insta::assert_snapshot!(shown(&project, &ran), @"
    exit 2
    --- stdout
    --- stderr
    error: write missing/folder/events
      caused by: No such file or directory (os error 2)
    ");
}

#[test]
fn a_service_with_no_registry_at_all() {
    let project = shop().file(
        "publish.toml",
        "[registries.a]\nrepository = \"a.example/{{service}}\"\n[services.web]\nregistries = []\n",
    );
    insta::assert_snapshot!(plan(&project), @"
    exit 2
    --- stdout
    --- stderr
    error: `services.web.registries`: no registry is named; `skip = true` leaves the service out of every publish
     --> publish.toml:4:14
      |
    4 | registries = []
      |              ^^
    ");
}

#[test]
fn a_secret_and_a_named_context_that_are_not_there() {
    let project = Project::new()
        .file(
            "compose.yaml",
            r"services:
  web:
    image: acme/web
    build:
      context: .
      secrets: [token]
secrets:
  token:
    file: ./token
",
        )
        .file("Dockerfile", "FROM scratch\n");
    insta::assert_snapshot!(plan(&project), @"
    exit 2
    --- stdout
    --- stderr
    error: service `web`: the secret [project]/token does not exist
     --> compose.yaml:4:5
      |
    4 |     build:
      |     ^^^^^
    hint: create it, or correct the path
    ");
    project.write(
        "compose.yaml",
        r"services:
  web:
    image: acme/web
    build:
      context: .
      additional_contexts:
        shared: ./shared
",
    );
    insta::assert_snapshot!(plan(&project), @"
    exit 2
    --- stdout
    --- stderr
    error: service `web`: the named context [project]/shared does not exist
     --> compose.yaml:4:5
      |
    4 |     build:
      |     ^^^^^
    hint: create it, or correct the path
    ");
}

#[test]
fn an_image_with_a_digest_cannot_be_built() {
    let digest = format!("sha256:{}", "0".repeat(64));
    let project = Project::new()
        .file(
            "compose.yaml",
            &format!("services:\n  web:\n    build: .\n    image: acme/web@{digest}\n"),
        )
        .file("Dockerfile", "FROM scratch\n");
    let ran = project.castoff(["build"]).run();
    insta::assert_snapshot!(shown(&project, &ran), @"
    exit 2
    --- stdout
    --- stderr
    error: service `web`: docker.io/acme/web@sha256:0000000000000000000000000000000000000000000000000000000000000000 names a digest, which no new image can have
     --> compose.yaml:4:12
      |
    4 |     image: acme/web@sha256:0000000000000000000000000000000000000000000000000000000000000000
      |            ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
    hint: leave the digest out
    ");
    assert_eq!(plan(&project), shown(&project, &ran));
}

#[test]
fn one_host_that_is_to_be_spoken_to_in_two_ways() {
    let project = shop().file(
        "publish.toml",
        r#"[registries.a]
repository = "r.example:5000/a/{{service}}"
plain_http = true
[registries.b]
repository = "r.example:5000/b/{{service}}"
ca = "ca.pem"
[tags]
rules = ["type=raw,value=1"]
"#,
    );
    insta::assert_snapshot!(plan(&project), @r#"
    exit 2
    --- stdout
    --- stderr
    error: registries `a` and `b` are both at r.example:5000, and differ in how it is spoken to
     --> publish.toml:5:14
      |
    5 | repository = "r.example:5000/b/{{service}}"
      |              ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
     --> publish.toml:2:14
      |
    2 | repository = "r.example:5000/a/{{service}}"
      |              ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ the other one
    hint: give both the same `plain_http`, `ca`, `client_cert` and `client_key`
    "#);
}

#[test]
fn only_what_publishes_needs_a_place_for_its_state() {
    let project = shop();
    let ran = |verb| {
        project
            .castoff([verb])
            .env("CASTOFF_STATE", "/proc/none")
            .run()
    };
    // There is no Engine here: that is as far as a build gets.
    let built = ran("build").exits(3);
    assert!(!built.stderr.contains("/proc/none"), "{}", built.stderr);
    assert!(built.stderr.contains("cannot reach the builder"));
    // What a publish would lack is one finding among the others.
    let checked = ran("check").exits(3);
    assert!(checked.stderr.contains("/proc/none"), "{}", checked.stderr);
    assert!(checked.stderr.contains("cannot reach the builder"));
    let published = ran("publish").exits(3);
    assert!(published.stderr.contains("/proc/none"));
}

#[test]
fn caches_that_say_too_little_and_keys_that_bake_does_not_know() {
    let of = |keys: &str| {
        let compose = format!(
            "services:\n  web:\n    image: x/web\n    build:\n      context: .\n      {keys}\n"
        );
        let project = Project::new()
            .file("compose.yaml", &compose)
            .file("Dockerfile", "FROM scratch\n");
        plan(&project)
    };
    let said: String = [
        "cache_from: [type=local]",
        "cache_to: [\"type=local,src=x\"]",
        "cache_to: [type=registry]",
        "cache_from: [\"type=bogus,ref=x\"]",
    ]
    .map(of)
    .concat();
    insta::assert_snapshot!(said, @"
    exit 2
    --- stdout
    --- stderr
    error: service `web`: `cache_from` has a `local` cache without `src`
     --> compose.yaml:4:5
      |
    4 |     build:
      |     ^^^^^
    exit 2
    --- stdout
    --- stderr
    error: service `web`: `cache_to` has a `local` cache without `dest`
     --> compose.yaml:4:5
      |
    4 |     build:
      |     ^^^^^
    exit 2
    --- stdout
    --- stderr
    error: service `web`: `cache_to` has a `registry` cache without `ref`
     --> compose.yaml:4:5
      |
    4 |     build:
      |     ^^^^^
    exit 2
    --- stdout
    --- stderr
    error: service `web`: `cache_from` names a cache of the kind `bogus`, and there are registry, local, inline, gha, s3 and azblob
     --> compose.yaml:4:5
      |
    4 |     build:
      |     ^^^^^
    ");
    insta::assert_snapshot!(of("x-bake: { args: { A: b }, platform: linux/amd64 }"), @"
    exit 0
    --- stdout
     SERVICE  ACTION  PLATFORMS          REPOSITORY
     web      build   the builder's own  docker.io/x/web

     SERVICE  WHY
     web      no registry was asked what is there already

     TAG                     CHANGE   RULE
     docker.io/x/web:latest  – → new  image

    1 to build, 0 to reuse; 1 of 1 tags move
    --- stderr
    warning: web: `x-bake.args` has no effect: bake does not know it
    hint: did you mean `tags`?
    warning: web: `x-bake.platform` has no effect: bake does not know it
    hint: did you mean `platforms`?
    ");
}
