//! What BuildKit's checks remark about Dockerfiles: shown once each, and with `--strict` an error.

use crate::Shop;
use crate::support::bed::Bed;

/// Writes the Dockerfile of a service: its steps on the bed's base.
fn dockerfile(shop: &Shop, service: &str, steps: &str) {
    let text = format!("FROM {}\n{steps}", Bed::base());
    std::fs::write(shop.project.join(&format!("{service}/Dockerfile")), text).unwrap();
}

fn remarks(stderr: &str) -> String {
    let at = stderr.find("warning: `").unwrap_or(stderr.len());
    stderr[at..].to_owned()
}

#[test]
fn each_remark_is_shown_once_for_all_services_and_platforms() {
    let shop = Shop::of(&["api", "web", "other"]);
    let file = shop.project.join("compose.yaml");
    let compose = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, compose.replace("context: web", "context: api")).unwrap();
    let remarkable = "ENV API_TOKEN=hunter2 \\\n    MODE=fast\nCMD echo hello\n";
    dockerfile(&shop, "api", remarkable);
    dockerfile(&shop, "other", "CMD echo other\n");
    let platforms = "build.platforms=linux/amd64,linux/arm64";
    let ran = shop.castoff(["publish", "--set", platforms]).run().exits(0);
    insta::assert_snapshot!(remarks(&ran.stderr), @r#"
    warning: `api`, `web`: SecretsUsedInArgOrEnv: Do not use ARG or ENV instructions for sensitive data (ENV "API_TOKEN")
     --> api/Dockerfile:2:1
      |
    2 | ENV API_TOKEN=*** \
    3 |     MODE=fast
    hint: see https://docs.docker.com/go/dockerfile/rule/secrets-used-in-arg-or-env/
    warning: `api`, `web`: JSONArgsRecommended: JSON arguments recommended for CMD to prevent unintended behavior related to OS signals
     --> api/Dockerfile:4:1
      |
    4 | CMD echo hello
      | ^^^^^^^^^^^^^^
    hint: see https://docs.docker.com/go/dockerfile/rule/json-args-recommended/
    warning: `other`: JSONArgsRecommended: JSON arguments recommended for CMD to prevent unintended behavior related to OS signals
     --> other/Dockerfile:2:1
      |
    2 | CMD echo other
      | ^^^^^^^^^^^^^^
    hint: see https://docs.docker.com/go/dockerfile/rule/json-args-recommended/
    warning: 3 remarks in 2 Dockerfiles
    hint: with --strict they are errors; `# check=skip=NAME` on top of a Dockerfile switches a check off
    "#);
}

#[test]
fn strict_stops_a_publish_before_any_tag_moves() {
    let shop = Shop::of(&["api", "web"]);
    dockerfile(&shop, "api", "COPY file /file\n");
    dockerfile(&shop, "web", "RUN sleep 30\nCMD echo hello\n");
    let ran = shop.castoff(["publish", "--strict"]).run().exits(4);
    assert!(ran.took.as_secs() < 20, "it did not wait for the build");
    insta::assert_snapshot!(remarks(&ran.stderr), @"
    warning: `web`: JSONArgsRecommended: JSON arguments recommended for CMD to prevent unintended behavior related to OS signals
     --> web/Dockerfile:3:1
      |
    3 | CMD echo hello
      | ^^^^^^^^^^^^^^
    hint: see https://docs.docker.com/go/dockerfile/rule/json-args-recommended/
    warning: 1 remark in 1 Dockerfile
    hint: with --strict they are errors; `# check=skip=NAME` on top of a Dockerfile switches a check off
    error: build `web`
      caused by: its Dockerfile is remarked on once, and --strict is in force
    hint: heed the warnings above, or switch a check off with `# check=skip=NAME` on top of the Dockerfile
    ");
    for host in [Bed::registry(), Bed::other_registry()] {
        assert_eq!(shop.latest(&host, "api"), None);
        assert_eq!(shop.latest(&host, "web"), None);
    }
    // What was built before is not let through for that.
    dockerfile(&shop, "web", "CMD echo hello\n");
    shop.castoff(["publish"]).run().exits(0);
    shop.castoff(["publish", "--strict"]).run().exits(4);
    // publish.toml can say so, for one service; and a Dockerfile can switch a check off.
    let file = shop.project.join("publish.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, format!("{text}[services.web]\nstrict = true\n")).unwrap();
    let ran = shop.castoff(["publish"]).run().exits(4);
    assert!(
        ran.stderr.contains("--strict is in force"),
        "{}",
        ran.stderr
    );
    let switched_off = "# check=skip=JSONArgsRecommended\n";
    let path = shop.project.join("web/Dockerfile");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, format!("{switched_off}{text}")).unwrap();
    let ran = shop.castoff(["publish", "--strict"]).run().exits(0);
    assert!(!ran.stderr.contains("warning"), "{}", ran.stderr);
}

#[test]
fn a_check_that_is_an_error_in_the_dockerfile_itself_is_one_without_strict() {
    let shop = Shop::of(&["api"]);
    let text = format!("# check=error=true\nFROM {}\nCMD echo hello\n", Bed::base());
    std::fs::write(shop.project.join("api/Dockerfile"), text).unwrap();
    let ran = shop.castoff(["publish"]).run().exits(4);
    assert!(
        ran.stderr
            .contains("lint violation found for rules: JSONArgsRecommended"),
        "{}",
        ran.stderr
    );
}
