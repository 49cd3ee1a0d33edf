//! Within a GitHub workflow: outputs and a summary.

use crate::Shop;

#[test]
fn a_step_has_outputs_and_a_summary() {
    let shop = Shop::of(&["api", "web"]);
    let output = shop.project.join(".home/output");
    let summary = shop.project.join(".home/summary");
    let ran = shop
        .castoff(["publish", "--format", "json"])
        .env("GITHUB_ACTIONS", "true")
        .env("GITHUB_EVENT_NAME", "push")
        .env("GITHUB_REF", "refs/heads/main")
        .env("GITHUB_SHA", "860c1904a1ce19322e91ac35af1ab07466440c37")
        .env("GITHUB_REPOSITORY", "acme/shop")
        .env("GITHUB_OUTPUT", output.display().to_string())
        .env("GITHUB_STEP_SUMMARY", summary.display().to_string())
        .run()
        .exits(0);
    let release = ran.json();
    let outputs = parse(&std::fs::read_to_string(output).unwrap());
    let said: serde_json::Value = serde_json::from_str(&outputs["release"]).unwrap();
    assert_eq!(said, release);
    let digests: serde_json::Value = serde_json::from_str(&outputs["digests"]).unwrap();
    for image in release["images"].as_array().unwrap() {
        let service = image["service"].as_str().unwrap();
        assert_eq!(digests[service], image["digest"]);
        assert_eq!(
            outputs[&format!("digest-{service}")],
            image["digest"].as_str().unwrap()
        );
        let tags: Vec<&str> = outputs[&format!("tags-{service}")].lines().collect();
        assert_eq!(serde_json::json!(tags), image["tags"]);
    }
    let summary = std::fs::read_to_string(summary).unwrap();
    assert!(summary.starts_with("### shop: published\n"), "{summary}");
    for image in release["images"].as_array().unwrap() {
        assert!(summary.contains(image["digest"].as_str().unwrap()));
    }
    assert!(summary.contains("sha-860c190"), "{summary}");
}

/// The file as GitHub's runner reads it.
fn parse(text: &str) -> std::collections::BTreeMap<String, String> {
    let mut outputs = std::collections::BTreeMap::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let (name, delimiter) = line.split_once("<<").unwrap();
        let value: Vec<&str> = lines
            .by_ref()
            .take_while(|line| *line != delimiter)
            .collect();
        outputs.insert(name.to_owned(), value.join("\n"));
    }
    outputs
}
