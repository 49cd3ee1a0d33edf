//! GitHub's cache service, written and read by the Engine's own BuildKit.

use std::time::Duration;

use crate::Shop;
use crate::caches::{forget, layers, with_cache};
use crate::support::actions_cache::{ActionsCache, Mood, reading_token, token};
use crate::support::bed::Bed;
use crate::support::program::Castoff;

/// A publish within a workflow, with the runtime's variables.
fn in_workflow(shop: &Shop, cache: &ActionsCache, token: &str, new: bool) -> Castoff {
    shop.castoff(["publish", "--rebuild"])
        .env("GITHUB_ACTIONS", "true")
        .env("GITHUB_EVENT_NAME", "push")
        .env("GITHUB_REF", "refs/heads/x")
        .env("ACTIONS_RUNTIME_TOKEN", token)
        .env("ACTIONS_CACHE_URL", cache.url())
        .env("ACTIONS_RESULTS_URL", cache.url())
        .env("ACTIONS_CACHE_SERVICE_V2", if new { "true" } else { "" })
}

fn is_written_and_read(new: bool, path: &str) {
    let shop = with_cache("\"gha\"");
    let cache = ActionsCache::start();
    let token = token(&["refs/heads/x", "refs/heads/main"]);
    let ran = in_workflow(&shop, &cache, &token, new).run().exits(0);
    assert!(!ran.stderr.contains("the cache"), "{}", ran.stderr);
    let stored = cache.stored();
    assert!(
        stored
            .iter()
            .any(|(scope, key)| scope == "refs/heads/x" && key.starts_with("index-api-")),
        "{stored:?}"
    );
    assert!(
        stored
            .iter()
            .any(|(_, key)| key.starts_with("buildkit-blob-1-sha256:"))
    );
    assert!(cache.requests(path) > 0);
    let first = layers(&shop);
    forget(&shop);
    let ran = in_workflow(&shop, &cache, &token, new).run().exits(0);
    assert_eq!(layers(&shop), first, "{}", ran.stderr);
}

#[test]
fn the_first_protocol_is_written_and_read() {
    is_written_and_read(false, "/_apis/artifactcache/");
}

#[test]
fn the_second_protocol_is_written_and_read() {
    is_written_and_read(true, "/twirp/");
}

#[test]
fn a_new_branch_reads_what_the_default_branch_wrote_and_writes_its_own() {
    let shop = with_cache("\"gha\"");
    let cache = ActionsCache::start();
    let main = token(&["refs/heads/main"]);
    in_workflow(&shop, &cache, &main, true).run().exits(0);
    let first = layers(&shop);
    // A branch that is neither sees nothing of it.
    forget(&shop);
    let other = token(&["refs/heads/other"]);
    in_workflow(&shop, &cache, &other, true).run().exits(0);
    assert_ne!(layers(&shop), first);
    forget(&shop);
    let branch = token(&["refs/heads/x", "refs/heads/main"]);
    in_workflow(&shop, &cache, &branch, true).run().exits(0);
    assert_eq!(layers(&shop), first);
    let scopes: Vec<String> = cache.stored().into_iter().map(|(scope, _)| scope).collect();
    assert!(scopes.contains(&"refs/heads/x".to_owned()), "{scopes:?}");
}

#[test]
fn a_token_that_only_reads_is_used_for_that() {
    let shop = with_cache("\"gha\"");
    let cache = ActionsCache::start();
    in_workflow(&shop, &cache, &token(&["refs/heads/main"]), true)
        .run()
        .exits(0);
    let (first, stored) = (layers(&shop), cache.stored());
    forget(&shop);
    let reading = reading_token("refs/heads/main");
    let ran = in_workflow(&shop, &cache, &reading, true).run().exits(0);
    assert!(
        ran.stderr
            .contains("the `gha` cache is not written: this run may only read it"),
        "{}",
        ran.stderr
    );
    assert_eq!((layers(&shop), cache.stored()), (first, stored));
}

/// Publishes with a service in a bad mood: that succeeds, and says why there is no cache.
fn survives(mood: Mood, new: bool, says: &str) {
    let (shop, cache) = impatient(mood);
    let token = token(&["refs/heads/x"]);
    let ran = in_workflow(&shop, &cache, &token, new).run().exits(0);
    assert!(shop.latest(&Bed::registry(), "api").is_some());
    assert!(ran.stderr.contains(says), "{}", ran.stderr);
    assert!(!ran.stderr.contains(&token), "{}", ran.stderr);
    assert!(ran.took < Duration::from_mins(1), "{:?}", ran.took);
}

/// A shop that waits three seconds for a cache, and a service in a mood.
fn impatient(mood: Mood) -> (Shop, ActionsCache) {
    let shop = with_cache("\"gha\"");
    let cache = ActionsCache::start();
    cache.set_mood(mood);
    let publish = std::fs::read_to_string(shop.project.join("publish.toml")).unwrap();
    let impatient = publish.replace("timeout = \"20s\"", "timeout = \"3s\"");
    shop.project.write("publish.toml", &impatient);
    // No base that another test has, too: BuildKit lets builds share steps, and what they wait for.
    shop.project
        .write("api/Dockerfile", "FROM scratch\nCOPY file /file\n");
    (shop, cache)
}

#[test]
fn a_service_that_is_out_of_order_is_a_warning_without_the_token_that_it_shows() {
    for new in [false, true] {
        survives(Mood::Broken, new, "warning: the cache could not be");
    }
}

#[test]
fn a_service_that_takes_nothing_is_a_warning() {
    survives(Mood::ReadOnly, true, "the cache could not be written");
}

#[test]
fn entries_of_the_compose_file_have_the_credentials_too() {
    let shop = Shop::of(&["api"]);
    let compose = std::fs::read_to_string(shop.project.join("compose.yaml")).unwrap();
    let caches = "      cache_from: [\"type=gha,scope=mine\"]\n      cache_to: [\"type=gha,scope=mine,mode=max\"]\n";
    shop.project
        .write("compose.yaml", &format!("{compose}{caches}"));
    let cache = ActionsCache::start();
    let token = token(&["refs/heads/x"]);
    in_workflow(&shop, &cache, &token, true).run().exits(0);
    let stored = cache.stored();
    assert!(
        stored.iter().any(|(_, key)| key.starts_with("index-mine-")),
        "{stored:?}"
    );
    // Where there is no such service that is said, and nothing fails.
    let ran = shop.castoff(["publish"]).run().exits(0);
    assert!(
        ran.stderr.contains("the `gha` cache is left out"),
        "{}",
        ran.stderr
    );
}

#[test]
fn what_no_builder_would_take_is_left_out_before_it_is_asked() {
    let shop = with_cache("\"gha\"");
    let cache = ActionsCache::start();
    let ran = in_workflow(&shop, &cache, "hunter2", true).run().exits(0);
    assert!(
        ran.stderr
            .contains("the `gha` cache is left out: ACTIONS_RUNTIME_TOKEN is not a token"),
        "{}",
        ran.stderr
    );
    assert!(!ran.stderr.contains("hunter2"));
    assert_eq!(cache.requests(""), 0);
}

#[test]
fn a_service_that_is_overrun_is_a_warning() {
    survives(Mood::TooMany, true, "the cache could not be");
}

#[test]
fn a_service_that_hangs_on_writes_is_a_warning() {
    survives(
        Mood::WritesHang,
        true,
        "the cache could not be written: no sign of it for 3 s",
    );
}

/// BuildKit waits for ever and does nothing else meanwhile; castoff does not.
#[test]
fn a_service_that_hangs_on_reads_ends_the_build_with_a_reason() {
    let (shop, cache) = impatient(Mood::Hangs);
    let token = token(&["refs/heads/x"]);
    let ran = in_workflow(&shop, &cache, &token, true).run();
    assert_ne!(ran.code, Some(0));
    assert!(
        ran.stderr
            .contains("the cache of service `api`: no sign of it for 3 s"),
        "{}",
        ran.stderr
    );
    assert!(shop.latest(&Bed::registry(), "api").is_none());
    assert!(ran.took < Duration::from_mins(1), "{:?}", ran.took);
}
