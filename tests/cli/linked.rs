//! Services that build on others, as the plan has them.

use std::fmt::Write as _;

use crate::support::project::Project;

/// A project whose services build on each other: name, the one it builds on, platforms.
fn family(services: &[(&str, Option<&str>, &str)]) -> Project {
    let mut compose = "name: family\nservices:\n".to_owned();
    for (name, on, platforms) in services {
        let contexts = on.map_or_else(String::new, |on| {
            format!("      additional_contexts: {{ parent: \"service:{on}\" }}\n")
        });
        let _ = write!(
            compose,
            "  {name}:\n    image: acme/{name}\n    build:\n      context: .\n      platforms: [{platforms}]\n{contexts}"
        );
    }
    Project::new()
        .file("compose.yaml", &compose)
        .file("Dockerfile", "FROM scratch\n")
}

fn said(project: &Project, arguments: &[&str]) -> String {
    let arguments = ["plan", "--offline"].iter().chain(arguments);
    let ran = project.castoff([]).args(arguments).run();
    ran.shown(&[(&*project.path().to_string_lossy(), "[project]")])
}

#[test]
fn the_order_of_a_plan_begins_with_what_others_build_on() {
    let project = family(&[
        ("api", Some("lib"), ""),
        ("base", None, ""),
        ("lib", Some("base"), ""),
        ("web", Some("base"), ""),
    ]);
    let plan = project
        .castoff(["plan", "--offline", "--format", "json"])
        .run()
        .exits(0)
        .json();
    insta::assert_snapshot!(plan["order"], @r#"[["base"],["lib","web"],["api"]]"#);
    let plan = project
        .castoff(["plan", "--offline", "--format", "json", "api"])
        .run()
        .exits(0)
        .json();
    insta::assert_snapshot!(plan["order"], @r#"[["base"],["lib"],["api"]]"#);
    let lib = &plan["targets"][2];
    assert_eq!(lib["service"], "lib");
    assert_eq!(lib["tags"], serde_json::json!([]));
    insta::assert_snapshot!(said(&project, &["api"]), @"
    exit 0
    --- stdout
     SERVICE  ACTION  PLATFORMS          REPOSITORY
     api      build   the builder's own  docker.io/acme/api
     base     build   the builder's own  none: others build on it
     lib      build   the builder's own  none: others build on it

     SERVICE  WHY
     api      no registry was asked what is there already
     base     others build on it
     lib      others build on it

     TAG                        CHANGE   RULE
     docker.io/acme/api:latest  – → new  image

    3 to build, 0 to reuse; 1 of 1 tags move
    --- stderr
    ");
}

#[test]
fn services_that_build_on_each_other() {
    let project = family(&[("a", Some("b"), ""), ("b", Some("a"), "")]);
    insta::assert_snapshot!(said(&project, &[]), @"
    exit 2
    --- stdout
    --- stderr
    error: services `a`, `b` build on each other: none of them can be built first
    hint: take a `service:` out of `additional_contexts` of one of them
    ");
}

#[test]
fn a_service_that_builds_on_one_of_fewer_platforms() {
    let project = family(&[
        ("a", Some("b"), "linux/amd64, linux/arm64"),
        ("b", None, "linux/amd64"),
    ]);
    insta::assert_snapshot!(said(&project, &[]), @"
    exit 0
    --- stdout
     SERVICE  ACTION  PLATFORMS                 REPOSITORY
     a        build   linux/amd64, linux/arm64  docker.io/acme/a
     b        build   linux/amd64               docker.io/acme/b

     SERVICE  WHY
     a        no registry was asked what is there already
     b        no registry was asked what is there already

     TAG                      CHANGE   RULE
     docker.io/acme/a:latest  – → new  image
     docker.io/acme/b:latest  – → new  image

    2 to build, 0 to reuse; 2 of 2 tags move
    --- stderr
    warning: a: it is built for linux/arm64, and takes service `b`, which is built for linux/amd64 alone
    hint: give both the same platforms, unless only files that fit all are copied
    ");
}
