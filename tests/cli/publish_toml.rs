//! publish.toml, value by value: what it comes to, and what is said of a value that is wrong.

use crate::shop;
use crate::support::project::Project;

/// What is said of the shop's publish.toml.
fn said(publish_toml: &str) -> String {
    let project = shop().file("publish.toml", publish_toml).git();
    let ran = project.castoff(["plan", "--offline"]).run().exits(2);
    let folder = project.path().canonicalize().unwrap();
    ran.shown(&[(&*folder.to_string_lossy(), "[project]")])
        .replace("exit 2\n--- stdout\n--- stderr\n", "")
}

#[test]
fn a_value_whose_mistake_shows_only_later_is_pointed_at() {
    let mistakes = [
        "[tags]\nflavor = [\"latest=auto\", \"x\"]\n",
        "[labels]\na = \"{{\"\n",
        "[labels]\n\"\" = \"x\"\n",
        "[services.web.labels]\nb = \"{{date}}\"\n",
        "[annotations.values]\nk = \"{{\"\n",
        "[cache]\nsources = [\"registry\"]\nreference = \"a b\"\n",
        "[cache]\nsources = [\"registry\"]\nreference = \"\"\n",
        "[cache]\nsources = [\"registry\"]\nreference = \"a/{{b}}\"\n",
        "[project]\ncompose = [\"nope.yaml\"]\n",
        "[prune.local.images]\nkeep_last = 4294967296\n",
    ];
    let rules = "[tags]\nrules = [\"type=raw,value=x\"]\n";
    let all = mistakes.map(|mistake| {
        let rules = if mistake.starts_with("[tags]") {
            "rules = [\"type=raw,value=x\"]\n"
        } else {
            rules
        };
        said(&format!("{mistake}{rules}"))
    });
    insta::assert_snapshot!(all.join("\n"));
}

#[test]
fn an_annotation_that_is_given_is_written_on_the_manifest_if_nothing_else_is_said() {
    let annotations = |publish_toml: &str| {
        let project = shop().file("publish.toml", publish_toml).git();
        let plan = project
            .castoff(["plan", "--offline", "--format", "json"])
            .run()
            .exits(0)
            .json();
        let annotations = plan["targets"][0]["build"]["annotations"].clone();
        let config = project.castoff(["config", "--publish"]).run().exits(0);
        let shown = config.stdout.lines().find(|line| line.contains("levels"));
        (annotations, shown.unwrap().replace(' ', ""))
    };
    let (given, shown) = annotations("[annotations.values]\nk = \"{{sha}}x\"\n");
    assert!(
        given["manifest"]["k"].as_str().unwrap().len() > 7,
        "{given}"
    );
    assert_eq!(given.as_object().unwrap().len(), 1);
    assert_eq!(shown, "annotations.levels=[\"manifest\"]#default");
    let (given, _) = annotations("[services.web.annotations.values]\nk = \"v\"\n");
    assert_eq!(given["manifest"]["k"], "v");
    for silent in [
        "[annotations]\nlevels = []\nvalues = { k = \"v\" }\n",
        "[annotations]\n",
        "",
    ] {
        let (given, shown) = annotations(silent);
        assert!(given.is_null(), "{silent}");
        assert!(shown.starts_with("annotations.levels=[]"), "{shown}");
    }
    let project = shop()
        .file(
            "publish.toml",
            "[annotations.values]\nk = \"v\"\n[tags]\nrules = [\"type=raw,value=x\"]\n",
        )
        .git();
    let tags = project.castoff(["tags", "--format=json"]).run().exits(0);
    assert_eq!(tags.json()[0]["annotations"]["manifest"]["k"], "v");
}

#[test]
fn a_platform_is_built_once_whatever_names_it_goes_by() {
    let check = |project: Project| {
        let ran = project
            .castoff(["plan", "--offline", "--format", "json"])
            .run()
            .exits(0);
        let plan = ran.json();
        assert_eq!(
            plan["targets"][0]["platforms"],
            serde_json::json!(["linux/amd64", "linux/arm64"])
        );
        let warnings = plan["warnings"].to_string();
        assert!(
            warnings.contains("the platform linux/amd64 is named twice"),
            "{warnings}"
        );
    };
    let twice = "[\"linux/amd64\", \"linux/arm64\", \"linux/x86_64\"]";
    check(
        shop()
            .file("publish.toml", &format!("[build]\nplatforms = {twice}\n"))
            .git(),
    );
    let compose = format!(
        "name: shop\nservices:\n  web:\n    image: acme/web\n    build: {{ context: web, platforms: {twice} }}\n"
    );
    check(shop().file("compose.yaml", &compose).git());
}
