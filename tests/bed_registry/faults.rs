//! What nginx does to a registry, and what comes of it.

use std::time::{Duration, Instant};

use castoff::event::Event;
use castoff::execute::ports::{Registry as _, RegistryFault, WriteTarget};
use castoff::oci::Digest;

use super::support::images;
use super::{Client, behind, own, tagged};

#[tokio::test]
async fn a_registry_that_is_too_busy_is_waited_for_as_long_as_it_says() {
    let client = Client::new();
    let repository = own("BED_REGISTRY");
    let tree = images::tree(images::fresh(), 1000);
    client.push(&repository, "1", &tree).await;
    let reference = tagged(&behind("BED_FAULT_429", &repository), "1");
    let asking = (0..8).map(|_| client.registries.resolve(&client.cx, &reference));
    for found in futures_util::future::join_all(asking).await {
        assert_eq!(found.unwrap(), Some(tree.index.descriptor()));
    }
    let waits: Vec<f64> = client
        .told
        .events()
        .into_iter()
        .filter_map(|event| match event {
            Event::Retried { wait, because, .. } => {
                assert_eq!(because, "registry answered 429: too many requests");
                Some(wait)
            }
            _ => None,
        })
        .collect();
    assert!(!waits.is_empty());
    assert!(
        waits.iter().all(|wait| (wait - 1.0).abs() < 1e-9),
        "{waits:?}"
    );
}

#[tokio::test]
async fn writes_of_which_half_are_refused_arrive_all_the_same() {
    let client = Client::new();
    let repository = own("BED_FAULT_503");
    let tree = images::real_tree(images::fresh(), 300_000);
    client.push(&repository, "1", &tree).await;
    let straight = tagged(&behind("BED_REGISTRY", &repository), "1");
    let found = client.registries.resolve(&client.cx, &straight).await;
    assert_eq!(found.unwrap(), Some(tree.index.descriptor()));
    assert!(client.told.retries() > 0);
}

#[tokio::test]
async fn uploads_that_are_always_cut_end() {
    let mut options = super::options();
    options.patience.attempts = 4;
    let client = Client::with(options, std::collections::BTreeMap::new());
    let repository = own("BED_FAULT_CUT");
    let began = Instant::now();
    for length in [1000, 3_000_000] {
        let bytes = images::noise(images::fresh(), length);
        let put = client.registries.put_blob(&client.cx, &repository, &bytes);
        let error = put.await.unwrap_err();
        assert!(matches!(error.fault, RegistryFault::Lost { .. }), "{error}");
    }
    assert!(began.elapsed() < Duration::from_secs(20));
}

#[tokio::test]
async fn bodies_that_are_too_large_arrive_in_pieces() {
    let client = Client::new();
    let repository = own("BED_FAULT_413");
    for length in [65_536, 65_537, 1_000_000] {
        let bytes = images::noise(images::fresh(), length);
        let put = client.registries.put_blob(&client.cx, &repository, &bytes);
        assert_eq!(put.await.unwrap(), Digest::of(&bytes));
    }
    assert_eq!(client.told.retries(), 0, "that is no failure");
}

#[tokio::test]
async fn a_proxy_without_a_registry_is_told_of() {
    let mut options = super::options();
    options.patience.attempts = 3;
    let client = Client::with(options, std::collections::BTreeMap::new());
    let repository = own("BED_FAULT_502");
    let checked = client.registries.check_write(&client.cx, &repository).await;
    let error = checked.unwrap_err();
    assert!(
        error.to_string().ends_with(": registry answered 502"),
        "{error}"
    );
    assert!(error.hint().unwrap().contains("is in trouble"));
    assert_eq!(client.told.retries(), 2);
}

#[tokio::test]
async fn slow_downloads_arrive() {
    let client = Client::new();
    let source = own("BED_REGISTRY");
    let image = images::image(images::fresh(), "amd64", &[150_000]);
    client.push_image(&source, &image).await;
    let target = own("BED_REGISTRY_CRANE");
    let slow = behind("BED_FAULT_SLOW", &source);
    let digest = image.manifest.digest();
    let copied = client
        .registries
        .copy(&client.cx, &slow, digest, &target)
        .await;
    assert!(copied.unwrap().sent > 150_000);
}

#[tokio::test]
async fn a_tag_that_cannot_be_set_is_the_only_thing_that_fails() {
    let mut options = super::options();
    options.patience.attempts = 3;
    let client = Client::with(options, std::collections::BTreeMap::new());
    let repository = own("BED_FAULT_TAG");
    let image = images::image(images::fresh(), "amd64", &[1000]);
    client.push_image(&repository, &image).await;
    let tag = "1".parse().unwrap();
    let target = WriteTarget::Tag(&tag);
    let put = client
        .registries
        .put_manifest(&client.cx, &repository, target, &image.manifest);
    let error = put.await.unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with("registry answered 500 UNKNOWN: internal error"),
        "{error}"
    );
    assert!(client.tag_names(&repository).await.is_empty());
}
