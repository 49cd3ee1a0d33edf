//! Images from one repository into another.

use castoff::execute::ports::{Copied, Registry as _, RegistryFault};
use castoff::oci::{Digest, RawManifest};
use futures_util::future::join_all;
use serde_json::json;

use super::support::images;
use super::support::registry::{Fault, Settings, TestRegistry, When};
use super::{Client, repository};

#[tokio::test]
async fn an_index_arrives_with_platforms_and_attestations() {
    for settings in [
        Settings::default(),
        Settings::distribution_2(),
        Settings::crane(),
    ] {
        let (source, target) = (TestRegistry::start(), TestRegistry::with(settings));
        let tree = images::tree(1, 200_000);
        source.put_tree("a", "1", &tree);
        let client = Client::new();
        let (from, to) = (repository(&source, "a"), repository(&target, "b"));
        let digest = tree.index.digest();
        let copy = || client.registries.copy(&client.cx, &from, digest, &to);
        let copied = copy().await.unwrap();
        assert!(target.is_whole("b", digest.as_str()));
        assert!(target.tags().is_empty(), "no tag moves");
        let held = target.manifest("b", digest.as_str()).unwrap();
        assert_eq!(held.1, tree.index.bytes());
        assert!(copied.sent > 200_000 && copied.sent < 210_000, "{copied:?}");
        assert_eq!((copied.mounted, copied.present), (0, 0));

        // Once more: nothing is sent, and the source is not even asked.
        source.script().clear();
        target.script().clear();
        let again = copy().await.unwrap();
        assert_eq!((again.sent, again.mounted), (0, 0));
        assert_eq!(again.present, copied.sent);
        assert!(source.script().log().is_empty());
        assert_eq!(target.script().log().len(), 5);
    }
}

#[tokio::test]
async fn within_a_registry_blobs_are_mounted() {
    let registry = TestRegistry::start();
    let tree = images::tree(1, 200_000);
    registry.put_tree("a", "1", &tree);
    let client = Client::new();
    let (from, to) = (repository(&registry, "a"), repository(&registry, "b"));
    let digest = tree.index.digest();
    let copy = || client.registries.copy(&client.cx, &from, digest, &to);
    let copied = copy().await.unwrap();
    assert!(
        copied.mounted > 200_000 && copied.sent < 5_000,
        "{copied:?}"
    );
    assert_eq!(registry.script().count("PUT", "/blobs/"), 0);
    assert!(registry.is_whole("b", digest.as_str()));
    // Where mounting does nothing, the answer begins an upload, and it goes on.
    let registry = TestRegistry::with(Settings {
        mounts: false,
        ..Settings::default()
    });
    registry.put_tree("a", "1", &tree);
    let client = Client::new();
    let (from, to) = (repository(&registry, "a"), repository(&registry, "b"));
    let copied = client
        .registries
        .copy(&client.cx, &from, digest, &to)
        .await
        .unwrap();
    assert!(copied.sent > 200_000 && copied.mounted == 0);
    let begun = registry.script().count("POST", "/blobs/uploads/");
    assert_eq!(begun, registry.script().count("PUT", "/blobs/uploads/"));
    assert_eq!(registry.open_uploads(), 0);
}

#[tokio::test]
async fn a_refused_mount_becomes_an_upload() {
    let registry = TestRegistry::start();
    let image = images::image(1, "amd64", &[1000]);
    registry.put("a", "1", &image);
    registry.script().on(
        When::is("POST", "/v2/b/blobs/uploads/").times(1),
        Fault::status(403),
    );
    let client = Client::new();
    let (from, to) = (repository(&registry, "a"), repository(&registry, "b"));
    client
        .registries
        .copy(&client.cx, &from, image.manifest.digest(), &to)
        .await
        .unwrap();
    assert!(registry.is_whole("b", image.manifest.digest().as_str()));
}

#[tokio::test]
async fn services_that_share_a_layer_send_it_once() {
    let (source, target) = (TestRegistry::start(), TestRegistry::start());
    let client = Client::new();
    let mut copies = Vec::new();
    for service in ["one", "two", "three", "four"] {
        // The same layer of 100,000 bytes, other configurations.
        let mut image = images::image(1, service, &[100_000]);
        image.blobs.truncate(2);
        source.put(service, "1", &image);
        copies.push((
            repository(&source, service),
            image.manifest.digest().clone(),
            repository(&target, service),
        ));
    }
    let copying = copies
        .iter()
        .map(|(from, digest, to)| client.registries.copy(&client.cx, from, digest, to));
    let mut all = Copied::default();
    for one in join_all(copying).await {
        let one = one.unwrap();
        all.sent += one.sent;
        all.mounted += one.mounted;
    }
    assert!(all.sent < 110_000, "{all:?}");
    assert_eq!(all.mounted, 300_000);
    for (_, digest, to) in &copies {
        assert!(target.is_whole(to.path(), digest.as_str()));
    }
}

#[tokio::test]
async fn concurrent_copies_of_one_image_do_not_get_into_each_others_way() {
    let (source, target) = (TestRegistry::start(), TestRegistry::start());
    let tree = images::tree(1, 50_000);
    source.put_tree("a", "1", &tree);
    let client = Client::new();
    let (from, to) = (repository(&source, "a"), repository(&target, "a"));
    let copying = (0..8).map(|_| {
        client
            .registries
            .copy(&client.cx, &from, tree.index.digest(), &to)
    });
    for copied in join_all(copying).await {
        copied.unwrap();
    }
    let sent = target.script().count("PUT", "/blobs/uploads/");
    // Layers: one that both share and one each; configurations: two; attestations: two of each.
    assert_eq!(sent, 9, "each blob once");
}

#[tokio::test]
async fn a_download_that_is_cut_goes_on_by_range() {
    let (source, target) = (TestRegistry::start(), TestRegistry::start());
    let image = images::image(1, "amd64", &[3_000_000]);
    source.put("a", "1", &image);
    let layer = Digest::of(&image.blobs[0]).to_string();
    source
        .script()
        .on(When::is("GET", &layer).times(2), Fault::Cut(1_000_000));
    let client = Client::new();
    let (from, to) = (repository(&source, "a"), repository(&target, "a"));
    client
        .registries
        .copy(&client.cx, &from, image.manifest.digest(), &to)
        .await
        .unwrap();
    assert!(target.is_whole("a", image.manifest.digest().as_str()));
    assert_eq!(source.script().count("GET", &layer), 3);
    assert_eq!(
        target.script().count("PUT", "/blobs/uploads/"),
        2,
        "the target saw nothing of it"
    );
}

#[tokio::test]
async fn corrupt_bytes_never_arrive() {
    let (source, target) = (TestRegistry::start(), TestRegistry::start());
    let image = images::image(1, "amd64", &[300_000]);
    source.put("a", "1", &image);
    let layer = Digest::of(&image.blobs[0]);
    source
        .script()
        .on(When::is("GET", layer.as_str()), Fault::WrongBody);
    let client = Client::new();
    let (from, to) = (repository(&source, "a"), repository(&target, "a"));
    let error = client
        .registries
        .copy(&client.cx, &from, image.manifest.digest(), &to)
        .await
        .unwrap_err();
    assert!(
        matches!(&error.fault, RegistryFault::Corrupt { expected, .. } if *expected == layer),
        "{error}"
    );
    assert_eq!(target.blob("a", layer.as_str()), None);
    assert_eq!(target.manifest("a", image.manifest.digest().as_str()), None);
}

#[tokio::test]
async fn missing_parts_are_named() {
    let (source, target) = (TestRegistry::start(), TestRegistry::start());
    let client = Client::new();
    let (from, to) = (repository(&source, "a"), repository(&target, "a"));
    let digest = Digest::of(b"nothing");
    let error = client
        .registries
        .copy(&client.cx, &from, &digest, &to)
        .await
        .unwrap_err();
    assert!(
        error.to_string().ends_with(&format!(
            "registry answered 404 MANIFEST_UNKNOWN: {from}@{digest}"
        )),
        "{error}"
    );
    let image = images::image(1, "amd64", &[100]);
    let mut broken = image.clone();
    broken.blobs.remove(0);
    source.put("a", "1", &broken);
    let error = client
        .registries
        .copy(&client.cx, &from, image.manifest.digest(), &to)
        .await
        .unwrap_err();
    assert!(matches!(error.fault, RegistryFault::NotFound { .. }));
    assert!(
        error
            .to_string()
            .contains(Digest::of(&image.blobs[0]).as_str())
    );
}

/// Indexes within indexes, `depth` deep.
fn nested(depth: usize) -> (Vec<images::Image>, RawManifest) {
    let image = images::image(1, "amd64", &[100]);
    let mut top = image.manifest.clone();
    let mut all = vec![image];
    for level in 0..depth {
        let mut entry = images::entry(&top);
        entry["annotations"] = json!({ "level": level.to_string() });
        top = images::index(&[entry]);
        all.push(images::Image {
            manifest: top.clone(),
            blobs: Vec::new(),
        });
    }
    (all, top)
}

#[tokio::test]
async fn nested_indexes_arrive_and_endless_ones_do_not() {
    for (depth, is_copied) in [(2, true), (6, true), (7, false), (50, false)] {
        let (source, target) = (TestRegistry::start(), TestRegistry::start());
        let (all, top) = nested(depth);
        for image in &all {
            source.put("a", image.manifest.digest().as_str(), image);
        }
        let client = Client::new();
        let copied = client
            .registries
            .copy(
                &client.cx,
                &repository(&source, "a"),
                top.digest(),
                &repository(&target, "a"),
            )
            .await;
        assert_eq!(copied.is_ok(), is_copied, "{depth}");
        assert_eq!(target.is_whole("a", top.digest().as_str()), is_copied);
    }
}

#[tokio::test]
async fn a_child_that_the_target_lost_is_brought_again() {
    let (source, target) = (TestRegistry::start(), TestRegistry::start());
    let tree = images::tree(1, 1000);
    source.put_tree("a", "1", &tree);
    target.put_tree("a", "1", &tree);
    let client = Client::new();
    let to = repository(&target, "a");
    let child = tree.images[0].manifest.digest();
    let lost = to.with_digest(child.clone());
    client.registries.delete(&client.cx, &lost).await.unwrap();
    assert!(!target.is_whole("a", "1"));
    client
        .registries
        .copy(
            &client.cx,
            &repository(&source, "a"),
            tree.index.digest(),
            &to,
        )
        .await
        .unwrap();
    assert!(target.is_whole("a", "1"));
}

#[tokio::test]
async fn blobs_that_lie_elsewhere_are_fetched_without_the_login() {
    use super::support::registry::Access;
    let store = TestRegistry::start();
    let image = images::image(1, "amd64", &[1000]);
    store.put("store", "1", &image);
    let source = TestRegistry::with(Settings {
        access: Access::Basic("me".to_owned(), "pw".to_owned()),
        blobs_at: Some(format!(
            "http://{}/v2/store/blobs/",
            store.host().replace("127.0.0.1", "localhost")
        )),
        ..Settings::default()
    });
    source.put("a", "1", &image);
    let target = TestRegistry::start();
    let client = Client::logged_in(Some(super::me()));
    client
        .registries
        .copy(
            &client.cx,
            &repository(&source, "a"),
            image.manifest.digest(),
            &repository(&target, "a"),
        )
        .await
        .unwrap();
    let asked = store.script().log();
    assert_eq!(asked.len(), 2);
    assert!(asked.iter().all(|seen| seen.authorization.is_empty()));
    assert!(
        source
            .script()
            .log()
            .iter()
            .skip(1)
            .all(|seen| seen.authorization == "Basic")
    );
}
