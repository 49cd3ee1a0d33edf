//! What BuildKit's checks remark about Dockerfiles: shown once each, and with `--strict` an error.

use crate::Shop;
use crate::support::bed::Bed;

/// A Dockerfile with two remarks, one of which is about a secret.
const REMARKABLE: &str = "\
ARG BASE
FROM $BASE
ENV API_TOKEN=hunter2 \\
    MODE=fast
CMD echo hello
";

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
    std::fs::write(shop.project.join("api/Dockerfile"), REMARKABLE).unwrap();
    let ran = shop
        .castoff([
            "publish",
            "--set",
            "build.platforms=linux/amd64,linux/arm64",
        ])
        .run()
        .exits(0);
    // Who came first is nobody's promise.
    let shown = remarks(&ran.stderr).replace("`web`, `api`", "`api`, `web`");
    let (of_other, of_app): (Vec<&str>, Vec<&str>) = shown
        .split_inclusive("hint: see ")
        .partition(|part| part.contains("other/Dockerfile"));
    insta::assert_snapshot!(of_app.concat(), @"");
    assert_eq!(of_other.len(), 1, "{shown}");
}

#[test]
fn strict_stops_a_publish_before_any_tag_moves() {
    let shop = Shop::of(&["api", "web"]);
    std::fs::write(
        shop.project.join("web/Dockerfile"),
        "ARG BASE\nFROM $BASE\nRUN sleep 30\nCMD echo hello\n",
    )
    .unwrap();
    let ran = shop.castoff(["publish", "--strict"]).run().exits(4);
    assert!(ran.took.as_secs() < 20, "it did not wait for the build");
    insta::assert_snapshot!(remarks(&ran.stderr), @"");
    for host in [Bed::registry(), Bed::other_registry()] {
        assert_eq!(shop.latest(&host, "api"), None);
        assert_eq!(shop.latest(&host, "web"), None);
    }
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
    std::fs::write(
        shop.project.join("web/Dockerfile"),
        "# check=skip=JSONArgsRecommended\nARG BASE\nFROM $BASE\nCMD echo hello\n",
    )
    .unwrap();
    let ran = shop.castoff(["publish", "--strict"]).run().exits(0);
    assert!(!ran.stderr.contains("warning"), "{}", ran.stderr);
}

#[test]
fn a_check_that_is_an_error_in_the_dockerfile_itself_is_one_without_strict() {
    let shop = Shop::of(&["api"]);
    std::fs::write(
        shop.project.join("api/Dockerfile"),
        "# check=error=true\nARG BASE\nFROM $BASE\nCMD echo hello\n",
    )
    .unwrap();
    let ran = shop.castoff(["publish"]).run().exits(4);
    assert!(
        ran.stderr
            .contains("lint violation found for rules: JSONArgsRecommended"),
        "{}",
        ran.stderr
    );
}
