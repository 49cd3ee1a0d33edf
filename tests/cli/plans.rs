use crate::support::program::Ran;
use crate::support::project::Project;
use crate::{COMPOSE, shop};

#[test]
fn without_publish_toml_the_compose_file_names_what_is_published() {
    let project = shop();
    let ran = project.castoff(["plan", "--offline"]).run().exits(0);
    insta::assert_snapshot!(ran.shown(&[]), @"
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
    ");
}

#[test]
fn a_plan_for_programs_has_everything_that_is_decided() {
    let project = shop()
        .file(
            "publish.toml",
            r#"
[registries.ghcr]
repository = "ghcr.io/${OWNER:-acme}/{{project}}/{{service}}"
[registries.lan]
repository = "registry.lan:5000/{{service}}"
required = false
[tags]
rules = ["type=semver,pattern={{version}}", "type=semver,pattern={{major}}", "type=sha"]
[labels]
"org.opencontainers.image.vendor" = "Acme"
[build]
platforms = ["linux/amd64", "linux/arm64"]
[cache]
sources = ["registry"]
"#,
        )
        .git();
    project.run_git(&["tag", "v1.4.0"]);
    project.run_git(&["checkout", "-q", "v1.4.0"]);
    let ran = project
        .castoff(["plan", "--offline", "--format", "json"])
        .env("OWNER", "corp")
        .run()
        .exits(0);
    let folder = project.path().canonicalize().unwrap();
    let text = ran.stdout.replace(&*folder.to_string_lossy(), "[project]");
    let text = text.replace(&*project.path().to_string_lossy(), "[project]");
    insta::assert_snapshot!(text);
}

#[test]
fn services_can_be_chosen_and_left_out() {
    let project = Project::new()
        .file(
            "compose.yaml",
            "services:\n  a:\n    build: .\n    image: x/a\n  b:\n    build: .\n    image: x/b\n",
        )
        .file("Dockerfile", "FROM scratch\n")
        .file("publish.toml", "[services.b]\nskip = true\n");
    let services = |arguments: &[&str]| -> Vec<String> {
        let ran = project
            .castoff(["plan", "--offline", "--format", "json"])
            .args(arguments)
            .run()
            .exits(0);
        let plan = ran.json();
        let targets = plan["targets"].as_array().unwrap();
        targets
            .iter()
            .map(|target| target["service"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(services(&[]), ["a"]);
    assert_eq!(services(&["b"]), ["b"], "a service that is named is meant");
    assert_eq!(services(&["b", "a"]), ["a", "b"]);
}

#[test]
fn what_holds_the_time_of_its_build_is_not_reproducible() {
    let project = shop()
        .file("publish.toml", "[build]\nreproducible = true\n")
        .git();
    let warned = |arguments: &[&str]| {
        let plan = project.castoff(["plan", "--offline"]).args(arguments).run();
        let said = "its attestations hold the time of the build";
        plan.exits(0).stderr.contains(said)
    };
    assert!(!warned(&[]));
    assert!(warned(&["--set", "build.provenance=min"]));
    assert!(warned(&["--set", "build.sbom=true"]));
    assert!(!warned(&[
        "--set",
        "build.provenance=min",
        "--set",
        "build.reproducible=false"
    ]));
}

#[test]
fn publish_toml_shows_where_each_value_comes_from() {
    let project = shop().file(
        "publish.toml",
        "[build]\nplatforms = [\"linux/amd64\"]\npull = true\n",
    );
    let ran = project
        .castoff(["config", "--publish", "--set", "build.pull=false"])
        .run()
        .exits(0);
    insta::assert_snapshot!(ran.stdout, @r#"
    build.platforms    = ["linux/amd64"]  # publish.toml:2
    build.pull         = false  # --set
    build.builder      = "auto"  # default
    build.provenance   = "off"  # default
    build.sbom         = false  # default
    build.no_cache     = false  # default
    build.created      = "commit"  # default
    build.reuse        = "unchanged"  # default
    build.strict       = false  # default
    build.reproducible = false  # default
    build.media_types  = "oci"  # default
    build.allow        = []  # default
    tags.dirty         = "allow"  # default
    tags.immutable     = true  # default
    annotations.levels = []  # default
    cache.sources      = []  # default
    cache.mode         = "max"  # default
    cache.write        = true  # default
    "#);
}

#[test]
fn publish_toml_takes_its_variables_from_the_env_file_too() {
    let project = shop()
        .file(".env", "WHERE=example.com\n")
        .file(
            "publish.toml",
            "[registries.a]\nrepository = \"${WHERE}/{{service}}\"\n",
        )
        .git();
    let ran = project
        .castoff(["plan", "--offline", "--format", "json"])
        .run()
        .exits(0);
    let plan = ran.json();
    assert_eq!(plan["targets"][0]["repositories"][0], "example.com/web");
}

#[test]
fn the_schema_the_completions_and_the_manual_are_printed() {
    let project = Project::new();
    let schema = project.castoff(["schema"]).run().exits(0).json();
    assert_eq!(schema["title"], "publish.toml");
    let script = project.castoff(["completions", "bash"]).run().exits(0);
    assert!(script.stdout.contains("_castoff()"));
    let manual = project.castoff(["man"]).run().exits(0);
    assert!(manual.stdout.starts_with(".ie"));
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let project = shop().file("compose.yaml", COMPOSE);
    let mut command = project.castoff(["schema"]).command();
    command.stdout(std::process::Stdio::piped());
    let mut child = command.spawn().unwrap();
    drop(child.stdout.take());
    assert!(child.wait().unwrap().success());
}

#[test]
fn castoffs_own_publish_toml_and_the_examples_are_plans() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    for folder in [root.to_owned(), root.join("examples/pokedex")] {
        let home = Project::new();
        let ran = crate::support::program::Castoff::inside(&folder)
            .env("HOME", home.path().display().to_string())
            .args(["plan", "--offline", "--format", "json"])
            // A clone of CI may be at no branch.
            .env("GITHUB_ACTIONS", "true")
            .env("GITHUB_EVENT_NAME", "push")
            .env("GITHUB_REF", "refs/heads/main")
            .env("GITHUB_SHA", "860c1904a1ce19322e91ac35af1ab07466440c37")
            .run()
            .exits(0);
        assert!(!ran.json()["targets"].as_array().unwrap().is_empty());
    }
}

#[test]
fn the_template_of_publish_toml_has_every_key_and_no_other() {
    let template = include_str!("../../templates/publish.toml");
    // With its examples switched on it is a valid file.
    let uncommented: Vec<&str> = template
        .lines()
        .map(|line| match line.strip_prefix("# ") {
            Some(code) if code.starts_with('[') || code.contains(" = ") => code,
            Some(_) => "",
            None => line,
        })
        .collect();
    let project = Project::new()
        .file(
            "compose.yaml",
            "services:\n  frontend:\n    build: .\n    image: x/y\n",
        )
        .file("Dockerfile", "FROM scratch\n")
        .file("publish.toml", &uncommented.join("\n"))
        .git();
    project.castoff(["plan", "--offline"]).run().exits(0);
    let schema = project.castoff(["schema"]).run().exits(0).json();
    let definitions = schema["$defs"].as_object().unwrap().values();
    let tables = definitions.chain(std::iter::once(&schema));
    for key in tables
        .filter_map(|table| table["properties"].as_object())
        .flat_map(|keys| keys.keys())
    {
        assert!(
            template.contains(key.as_str()),
            "the template does not have `{key}`"
        );
    }
}

#[test]
fn an_sbom_that_the_compose_file_asks_for_can_be_switched_off() {
    let project = Project::new()
        .file(
            "compose.yaml",
            "services:\n  web:\n    image: x/web\n    build:\n      context: .\n      sbom: true\n",
        )
        .file("Dockerfile", "FROM scratch\n");
    let sbom = |publish: &str| {
        project.write("publish.toml", publish);
        let ran = project
            .castoff(["plan", "--offline", "--format", "json"])
            .run()
            .exits(0);
        ran.json()["targets"][0]["build"]["sbom"].clone()
    };
    let generator = "docker.io/docker/buildkit-syft-scanner:stable-1";
    assert_eq!(sbom(""), generator);
    assert!(sbom("[build]\nsbom = false\n").is_null());
    assert_eq!(
        sbom("[build]\nsbom = false\n[services.web]\nsbom = true\n"),
        generator
    );
    assert!(sbom("[services.web]\nsbom = false\n").is_null());
}

#[test]
fn bakes_contexts_are_folders_addresses_and_services() {
    let project = Project::new()
        .file(
            "compose.yaml",
            r"services:
  base:
    build: base
    image: x/base
  web:
    image: x/web
    build:
      context: web
      x-bake:
        contexts:
          folder: ./other
          above: other/../base
          image: docker-image://alpine
          git: https://example.com/a.git
          service: target:base
",
        )
        .file("web/Dockerfile", "FROM scratch\n")
        .file("base/Dockerfile", "FROM scratch\n")
        .file("other/file", "");
    let ran = project
        .castoff(["plan", "--offline", "--format", "json"])
        .run()
        .exits(0);
    let contexts = ran.json()["targets"][1]["build"]["named_contexts"].clone();
    let inside = |path: &str| project.join(path).display().to_string();
    assert_eq!(
        contexts,
        serde_json::json!({
            "above": inside("base"),
            "folder": inside("other"),
            "git": "https://example.com/a.git",
            "image": "docker-image://alpine",
            "service": "service:base",
        })
    );
}

#[test]
fn paths_that_leave_the_project_are_shown() {
    let project = Project::new()
        .file(
            "here/compose.yaml",
            r"services:
  web:
    image: x/web
    build:
      context: ../web
      dockerfile: ../here/Dockerfile
      additional_contexts:
        inside: ./inside
        beside: ../here-too
      secrets: [token]
secrets:
  token:
    file: ../token
",
        )
        .file("here/Dockerfile", "FROM scratch\n")
        .file("here/inside/file", "")
        .file("here-too/file", "")
        .file("web/file", "")
        .file("token", "");
    let here = ["plan", "--offline", "-f", "here/compose.yaml"];
    let plan = project
        .castoff(here)
        .args(["--format", "json"])
        .run()
        .exits(0);
    let outside = plan.json()["targets"][0]["outside"].clone();
    let path = |path: &str| project.join(path).display().to_string();
    assert_eq!(
        outside,
        serde_json::json!([path("web"), path("here-too"), path("token")])
    );
    let shown = project.castoff(here).run().exits(0).stdout;
    let shown = shown.replace(&path(""), "[above]/");
    insta::assert_snapshot!(shown, @"
     SERVICE  ACTION  PLATFORMS          REPOSITORY
     web      build   the builder's own  docker.io/x/web

     SERVICE  WHY
     web      no registry was asked what is there already

     TAG                     CHANGE   RULE
     docker.io/x/web:latest  – → new  image

     SERVICE  READS OUTSIDE THE PROJECT
     web      [above]/web
     web      [above]/here-too
     web      [above]/token

    1 to build, 0 to reuse; 1 of 1 tags move
    ");
}

#[test]
fn a_dockerfile_in_small_letters_is_found_as_docker_finds_it() {
    let project = Project::new()
        .file("compose.yaml", COMPOSE)
        .file("web/dockerfile", "FROM scratch\n");
    let ran = project
        .castoff(["plan", "--offline", "--format", "json"])
        .run()
        .exits(0);
    let dockerfile = ran.json()["targets"][0]["build"]["dockerfile"].to_string();
    assert!(dockerfile.ends_with("/dockerfile\""), "{dockerfile}");
}

#[test]
fn a_project_whose_services_are_all_left_out_has_nothing_to_publish_but_by_name() {
    let project = shop().file("publish.toml", "[services.web]\nskip = true\n");
    let ran = project.castoff(["plan", "--offline"]).run().exits(2);
    insta::assert_snapshot!(ran.shown(&[]), @"
    exit 2
    --- stdout
    --- stderr
    error: publish.toml leaves out every service that is built (`skip`)
    hint: name a service on the command line, or take its `skip` away
    ");
    project.castoff(["plan", "--offline", "web"]).run().exits(0);
}

#[test]
fn a_cache_is_not_written_over_an_image() {
    let project = shop().file(
        "publish.toml",
        r#"
[registries.lan]
repository = "registry.lan:5000/{{service}}"
[tags]
rules = ["type=raw,value=buildcache"]
[cache]
sources = ["registry"]
"#,
    );
    let project = project.git();
    let ran = project.castoff(["plan", "--offline"]).run().exits(2);
    insta::assert_snapshot!(ran.shown(&[]), @"
    exit 2
    --- stdout
    --- stderr
    error: service `web` would write its cache to registry.lan:5000/web:buildcache, a tag of service `web`
    hint: give the cache another place with `[cache] reference`, or the image another tag
    ");
}

#[test]
fn services_that_share_a_cache_are_told() {
    let compose = "services:\n  a:\n    build: .\n  b:\n    build: .\n";
    let project = Project::new()
        .file("compose.yaml", compose)
        .file("Dockerfile", "FROM scratch\n")
        .file(
            "publish.toml",
            r#"
[registries.lan]
repository = "registry.lan:5000/shop"
[cache]
sources = ["registry"]
write = true
[services.a.tags]
rules = ["type=raw,value=a"]
[services.b.tags]
rules = ["type=raw,value=b"]
"#,
        )
        .git();
    let ran = project.castoff(["plan", "--offline"]).run().exits(0);
    insta::assert_snapshot!(ran.stderr, @r#"
    warning: cache: a, b write one cache, registry.lan:5000/shop:buildcache, and the last of them pushes out the others'
    hint: give each its own: `[cache] reference = "HOST/NAME:cache-{{service}}"`
    "#);
}

/// The shape of many projects: a server and its workers by one anchor.
#[test]
fn services_that_are_one_image_are_one_target() {
    let project = Project::new()
        .file(
            "compose.yaml",
            "name: p\nx-app: &app { build: ., image: ghcr.io/acme/app }\nservices:\n  web: { <<: *app }\n  worker: { <<: *app, command: work }\n",
        )
        .file("Dockerfile", "FROM scratch\n");
    let ran = project.castoff(["plan", "--offline"]).run().exits(0);
    insta::assert_snapshot!(ran.shown(&[]), @"
    exit 0
    --- stdout
     SERVICE  ACTION  PLATFORMS          REPOSITORY
     web      build   the builder's own  ghcr.io/acme/app

     SERVICE  WHY
     web      no registry was asked what is there already; `worker` is the same image

     TAG                      CHANGE   RULE
     ghcr.io/acme/app:latest  – → new  image

    1 to build, 0 to reuse; 1 of 1 tags move
    --- stderr
    ");
}

#[test]
fn a_service_behind_a_profile_is_planned_by_its_name() {
    let project = Project::new()
        .file(
            "compose.yaml",
            "name: p\nservices:\n  api: { build: ., image: ghcr.io/acme/api }\n  tool: { build: ., image: ghcr.io/acme/tool, profiles: [tools] }\n",
        )
        .file("Dockerfile", "FROM scratch\n");
    let services = |ran: Ran| {
        let plan: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
        let targets = plan["targets"].as_array().unwrap().iter();
        let names = targets.map(|target| target["service"].as_str().unwrap().to_owned());
        names.collect::<Vec<_>>()
    };
    let named = project.castoff(["plan", "--offline", "--format", "json", "tool"]);
    assert_eq!(services(named.run().exits(0)), ["tool"]);
    let all = project.castoff(["plan", "--offline", "--format", "json"]);
    assert_eq!(services(all.run().exits(0)), ["api"]);
}

/// As docker compose and `docker buildx build` have it, from the environment or `.env`.
#[test]
fn the_default_platform_of_docker_is_built_for() {
    let project = Project::new()
        .file(
            "compose.yaml",
            "name: p\nservices:\n  api: { build: ., image: ghcr.io/acme/api }\n",
        )
        .file("Dockerfile", "FROM scratch\n")
        .file(".env", "DOCKER_DEFAULT_PLATFORM=linux/arm64\n");
    let platforms = |platform: &str| {
        let mut ran = project.castoff(["plan", "--offline", "--format", "json"]);
        if !platform.is_empty() {
            ran = ran.env("DOCKER_DEFAULT_PLATFORM", platform);
        }
        let plan: serde_json::Value = serde_json::from_str(&ran.run().exits(0).stdout).unwrap();
        plan["targets"][0]["platforms"].to_string()
    };
    assert_eq!(platforms(""), "[\"linux/arm64\"]");
    assert_eq!(platforms("linux/s390x"), "[\"linux/s390x\"]");
    let project = project.file(
        "compose.yaml",
        "name: p\nservices:\n  api: { build: { context: ., platforms: [linux/amd64] }, image: ghcr.io/acme/api }\n",
    );
    let ran = project.castoff(["plan", "--offline"]).run().exits(2);
    insta::assert_snapshot!(ran.shown(&[]), @"
    exit 2
    --- stdout
    --- stderr
    error: service `api`: its platforms are linux/amd64, and DOCKER_DEFAULT_PLATFORM asks for linux/arm64
     --> compose.yaml:3:31
      |
    3 |   api: { build: { context: ., platforms: [linux/amd64] }, image: ghcr.io/acme/api }
      |                               ^^^^^^^^^
    hint: unset DOCKER_DEFAULT_PLATFORM, or add it to `platforms`
    ");
}

/// buildx, `composeExtTarget` in bake/compose.go: lists are added to, a context of the build's own wins.
#[test]
fn x_bake_adds_to_what_the_build_says() {
    let project = Project::new()
        .file(
            "compose.yaml",
            "name: p\nservices:\n  api:\n    image: ghcr.io/acme/api\n    build:\n      context: .\n      platforms: [linux/amd64]\n      additional_contexts: { a: ./b }\n      ssh: [\"x=./k1\"]\n      x-bake: { platforms: [linux/arm64, linux/amd64], contexts: { a: ./q, c: ./d }, ssh: [\"y=./k2\"] }\n",
        )
        .file("Dockerfile", "FROM scratch\n")
        .file("b/x", "")
        .file("d/x", "")
        .file("k1", "")
        .file("k2", "");
    let ran = project
        .castoff(["plan", "--offline", "--format", "json"])
        .run()
        .exits(0);
    let plan: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    let target = &plan["targets"][0];
    assert_eq!(
        target["platforms"].to_string(),
        "[\"linux/amd64\",\"linux/arm64\"]"
    );
    let shown = |key: &str| {
        let here = project.path().to_str().unwrap();
        target["build"][key].to_string().replace(here, "PROJECT")
    };
    insta::assert_snapshot!(shown("named_contexts"), @r#"{"a":"PROJECT/b","c":"PROJECT/d"}"#);
    insta::assert_snapshot!(shown("ssh"), @r#"[{"id":"x","paths":["PROJECT/k1"]},{"id":"y","paths":["./k2"]}]"#);
}
