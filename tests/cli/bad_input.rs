//! What castoff says of input that is wrong: each message whole, as a user sees it.

use crate::shop;
use crate::support::program::Ran;
use crate::support::project::Project;

fn shown(project: &Project, ran: Ran) -> String {
    assert!(!ran.stderr.contains("panicked") && !ran.stderr.contains("stack backtrace"));
    let folder = project.path().canonicalize().unwrap();
    ran.shown(&[
        (&*folder.to_string_lossy(), "[project]"),
        (&*project.path().to_string_lossy(), "[project]"),
    ])
}

fn plan(project: &Project) -> String {
    shown(project, project.castoff(["plan", "--offline"]).run())
}

#[test]
fn no_compose_file() {
    let project = Project::new();
    insta::assert_snapshot!(plan(&project), @r"");
}

#[test]
fn a_context_that_is_not_there() {
    let project = Project::new().file(
        "compose.yaml",
        "services:\n  web:\n    image: acme/web\n    build:\n      context: ./wbe\n",
    );
    insta::assert_snapshot!(plan(&project), @r"");
}

#[test]
fn a_dockerfile_that_is_not_there() {
    let project = shop();
    std::fs::remove_file(project.join("web/Dockerfile")).unwrap();
    insta::assert_snapshot!(plan(&project), @r"");
}

#[test]
fn an_unknown_key_of_the_compose_file() {
    let project = Project::new().file("compose.yaml", "services:\n  web:\n    biuld: .\n");
    insta::assert_snapshot!(plan(&project), @r"");
}

#[test]
fn unknown_keys_of_publish_toml_all_at_once() {
    let project = shop().file(
        "publish.toml",
        "[registry.ghcr]\nrepository = \"ghcr.io/acme/{{service}}\"\n\n[build]\nplatfroms = [\"linux/amd64\"]\n",
    );
    insta::assert_snapshot!(plan(&project), @r"");
}

#[test]
fn a_publish_toml_that_is_no_toml() {
    let project = shop().file("publish.toml", "[build\nplatforms = []\n");
    insta::assert_snapshot!(plan(&project), @r"");
}

#[test]
fn a_value_of_the_wrong_type() {
    let project = shop().file(
        "publish.toml",
        "[registries.a]\nrepository = \"a/b\"\nrequired = \"no\"\n",
    );
    insta::assert_snapshot!(plan(&project), @r"");
}

#[test]
fn a_required_variable_that_is_not_set() {
    let project = Project::new().file(
        "compose.yaml",
        "services:\n  web:\n    image: ${IMAGE:?name the image}\n    build: .\n",
    );
    insta::assert_snapshot!(plan(&project), @r"");
    let project = shop().file(
        "publish.toml",
        "[registries.a]\nrepository = \"${WHERE:?say where}/{{service}}\"\n",
    );
    insta::assert_snapshot!(plan(&project), @r"");
}

#[test]
fn an_invalid_tag_rule() {
    let project = shop().file(
        "publish.toml",
        "[tags]\nrules = [\"type=semver,patern={{version}}\"]\n",
    );
    insta::assert_snapshot!(plan(&project), @r"");
}

#[test]
fn rules_that_give_no_tag() {
    let project = shop()
        .file(
            "publish.toml",
            "[tags]\nrules = [\"type=semver,pattern={{version}}\"]\n",
        )
        .git();
    insta::assert_snapshot!(plan(&project), @r"");
}

#[test]
fn a_service_that_does_not_exist() {
    let project = shop();
    let ran = project.castoff(["plan", "--offline", "wbe"]).run();
    insta::assert_snapshot!(shown(&project, ran), @r"");
    let ran = project.castoff(["plan", "--offline", "cache"]).run();
    insta::assert_snapshot!(shown(&project, ran), @r"");
    let project = shop().file("publish.toml", "[services.wbe]\nskip = true\n");
    insta::assert_snapshot!(plan(&project), @r"");
}

#[test]
fn a_service_that_goes_nowhere() {
    let project = Project::new()
        .file("compose.yaml", "services:\n  web:\n    build: .\n")
        .file("Dockerfile", "FROM scratch\n");
    insta::assert_snapshot!(plan(&project), @r"");
}

#[test]
fn two_services_under_one_name() {
    let project = Project::new()
        .file(
            "compose.yaml",
            "services:\n  a:\n    build: .\n    image: acme/x\n  b:\n    build: .\n    image: acme/x\n",
        )
        .file("Dockerfile", "FROM scratch\n");
    insta::assert_snapshot!(plan(&project), @r"");
}

#[test]
fn an_image_that_is_no_reference() {
    let project = Project::new()
        .file(
            "compose.yaml",
            "services:\n  web:\n    image: ghcr.io/Acme/Web\n    build: .\n",
        )
        .file("Dockerfile", "FROM scratch\n");
    insta::assert_snapshot!(plan(&project), @r"");
}

#[test]
fn a_repository_with_something_unknown_in_braces() {
    let project = shop().file(
        "publish.toml",
        "[registries.a]\nrepository = \"example.com/{{svc}}\"\n",
    );
    insta::assert_snapshot!(plan(&project), @r"");
}

#[test]
fn flags_that_make_no_sense() {
    let project = shop();
    let ran = project.castoff(["plan", "--set", "build"]).run();
    insta::assert_snapshot!(shown(&project, ran), @r"");
    let ran = project.castoff(["plan", "--builder", "kaniko"]).run();
    insta::assert_snapshot!(shown(&project, ran), @r"");
    let ran = project.castoff(["plna"]).run();
    insta::assert_snapshot!(shown(&project, ran), @r"");
    let ran = project.castoff(["plan", "--config", "missing.toml"]).run();
    insta::assert_snapshot!(shown(&project, ran), @r"");
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
    insta::assert_snapshot!(shown(&project, ran), @r"");
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
    insta::assert_snapshot!(shown(&project, ran), @r"");
}

#[test]
fn an_events_file_that_cannot_be_written() {
    let project = shop();
    let ran = project
        .castoff(["publish", "--events", "missing/folder/events"])
        .run();
    insta::assert_snapshot!(shown(&project, ran), @r"");
}
