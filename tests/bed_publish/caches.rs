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
    shop.castoff(["publish", "--rebuild"]).run().exits(0);
    let first = layers(&shop);
    let tags = Bed::tags(&shop.repository(&Bed::registry(), "api"));
    assert!(tags.contains(&"buildcache".to_owned()), "{tags:?}");
    forget(&shop);
    shop.castoff(["publish", "--rebuild"]).run().exits(0);
    assert_eq!(layers(&shop), first);
}

#[test]
fn an_inline_cache_is_read_from_the_image() {
    let shop = with_cache("\"inline\"");
    shop.castoff(["publish", "--rebuild"]).run().exits(0);
    let first = layers(&shop);
    forget(&shop);
    shop.castoff(["publish", "--rebuild"]).run().exits(0);
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
    let ran = shop.castoff(["publish", "--rebuild"]).run().exits(0);
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
    let ran = shop.castoff(["publish", "--rebuild"]).run().exits(0);
    assert!(
        ran.stderr.contains("the `gha` cache is left out"),
        "{}",
        ran.stderr
    );
}

#[test]
fn a_branch_reads_the_default_branchs_cache_and_writes_its_own() {
    let shop = with_cache("\"registry\"");
    shop.castoff(["publish", "--rebuild"]).run().exits(0);
    let first = layers(&shop);
    forget(&shop);
    shop.project.run_git(&["switch", "-q", "-c", "feature/x"]);
    shop.castoff(["publish", "--rebuild"]).run().exits(0);
    assert_eq!(layers(&shop), first);
    let repository = shop.repository(&Bed::registry(), "api");
    let tags = Bed::tags(&repository);
    assert!(
        tags.contains(&"buildcache-feature-x".to_owned()),
        "{tags:?}"
    );
}

#[test]
fn a_kind_of_cache_that_the_builder_does_not_have_is_a_warning() {
    let shop = Shop::of(&["api"]);
    let compose = std::fs::read_to_string(shop.project.join("compose.yaml")).unwrap();
    let caches = "      cache_from: [\"type=s3,bucket=b,region=r\"]\n      cache_to: [\"type=s3,bucket=b,region=r\", \"type=azblob,name=n\"]\n";
    shop.project
        .write("compose.yaml", &format!("{compose}{caches}"));
    let ran = shop.castoff(["publish", "--rebuild"]).run().exits(0);
    for says in [
        "the `s3` cache is not written: the builder has no such cache",
        "the `azblob` cache is not written: the builder has no such cache",
        "the cache could not be read: unknown cache importer: s3",
    ] {
        assert!(ran.stderr.contains(says), "{}", ran.stderr);
    }
}

#[test]
fn the_image_of_another_project_is_a_cache() {
    let shop = with_cache("\"inline\"");
    shop.castoff(["publish", "--rebuild"]).run().exits(0);
    let first = layers(&shop);
    forget(&shop);
    // Without a cache of its own, but with that image.
    let image = format!("{}:latest", shop.repository(&Bed::registry(), "api"));
    let publish = std::fs::read_to_string(shop.project.join("publish.toml")).unwrap();
    let other = publish
        .replace("[cache]\n", "[cache]\nwrite = false\n")
        .replace("sources = [\"inline\"]", "sources = []")
        .replace("-a/", "-other/");
    shop.project.write("publish.toml", &other);
    let compose = std::fs::read_to_string(shop.project.join("compose.yaml")).unwrap();
    shop.project.write(
        "compose.yaml",
        &format!("{compose}      cache_from: [\"{image}\"]\n"),
    );
    shop.castoff(["publish", "--rebuild"]).run().exits(0);
    let reference = image.replace("-a/", "-other/");
    let text = Bed::output("crane", &["manifest", "--insecure", &reference]);
    assert!(text.contains(first.last().unwrap()), "{text}");
}
