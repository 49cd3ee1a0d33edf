//! `[cache]`: a second machine finds what the first one built.

use crate::Shop;
use crate::support::bed::Bed;

/// Forgets what the Engine's builder knows of this project, as another machine never knew it.
#[track_caller]
pub(crate) fn forget(shop: &Shop) {
    // The step's text is unique, so no other test's cache goes with it.
    let filter = format!("description~={}", shop.prefix);
    let arguments = ["builder", "prune", "-f", "-a", "--filter", &filter];
    let said = Bed::output("docker", &arguments);
    assert!(
        said.contains("Total:") && !said.contains("Total:\t0B"),
        "{said}"
    );
}

/// The layers of the image. The step writes something random, so the same layers mean that it was not
/// run again.
pub(crate) fn layers(shop: &Shop) -> Vec<String> {
    let reference = format!("{}:latest", shop.repository(&Bed::registry(), "api"));
    let text = Bed::output("crane", &["manifest", "--insecure", &reference]);
    let manifest: serde_json::Value = serde_json::from_str(&text).unwrap();
    let layers = manifest["layers"].as_array().unwrap().iter();
    layers
        .map(|layer| layer["digest"].as_str().unwrap().to_owned())
        .collect()
}

pub(crate) fn with_cache(sources: &str) -> Shop {
    let shop = Shop::of(&["api"]);
    let dockerfile = format!(
        "ARG BASE\nFROM $BASE\nCOPY file /file\nRUN echo {} > /made; cat /proc/sys/kernel/random/uuid > /random\n",
        shop.prefix
    );
    shop.project.write("api/Dockerfile", &dockerfile);
    let publish = std::fs::read_to_string(shop.project.join("publish.toml")).unwrap();
    shop.project.write(
        "publish.toml",
        &format!("{publish}[cache]\ntimeout = \"20s\"\nsources = [{sources}]\n"),
    );
    shop
}

#[test]
fn a_registry_cache_is_written_and_read() {
    let shop = with_cache("\"registry\"");
    shop.castoff(["publish"]).run().exits(0);
    let first = layers(&shop);
    let tags = Bed::tags(&shop.repository(&Bed::registry(), "api"));
    assert!(tags.contains(&"buildcache".to_owned()), "{tags:?}");
    forget(&shop);
    shop.castoff(["publish"]).run().exits(0);
    assert_eq!(layers(&shop), first);
}

#[test]
fn an_inline_cache_is_read_from_the_image() {
    let shop = with_cache("\"inline\"");
    shop.castoff(["publish"]).run().exits(0);
    let first = layers(&shop);
    forget(&shop);
    shop.castoff(["publish"]).run().exits(0);
    assert_eq!(layers(&shop), first);
}

#[test]
fn a_cache_that_cannot_be_read_or_written_is_a_warning() {
    let shop = with_cache("\"registry\"");
    let publish = std::fs::read_to_string(shop.project.join("publish.toml")).unwrap();
    let reference = format!(
        "reference = \"{}/cache:{{{{service}}}}\"\n",
        Bed::var("BED_FAULT_403")
    );
    shop.project
        .write("publish.toml", &format!("{publish}{reference}"));
    let ran = shop.castoff(["publish"]).run().exits(0);
    assert!(shop.latest(&Bed::registry(), "api").is_some());
    assert!(
        ran.stderr
            .contains("warning: the cache could not be written"),
        "{}",
        ran.stderr
    );
}

#[test]
fn the_gha_cache_outside_of_github_is_left_out_and_said() {
    let shop = with_cache("\"gha\"");
    let ran = shop.castoff(["publish"]).run().exits(0);
    assert!(
        ran.stderr.contains("the `gha` cache is left out"),
        "{}",
        ran.stderr
    );
}
