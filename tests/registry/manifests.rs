//! Manifests: looked up, read, written, deleted.

use castoff::execute::ports::{Registry as _, RegistryFault, WriteTarget};
use castoff::oci::{RawManifest, media_type};

use super::support::images;
use super::support::registry::{Canned, Fault, Settings, TestRegistry, When};
use super::{Client, repository, tagged};

#[tokio::test]
async fn a_tag_is_resolved_by_head_alone() {
    let registry = TestRegistry::start();
    let tree = images::tree(1, 100);
    registry.put_tree("a/b", "1", &tree);
    let client = Client::new();
    let found = client
        .registries
        .resolve(&client.cx, &tagged(&registry, "a/b", "1"))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(found, tree.index.descriptor());
    assert_eq!(
        registry.script().lines(),
        ["GET /v2/", "HEAD /v2/a/b/manifests/1"]
    );
    let missing = client
        .registries
        .resolve(&client.cx, &tagged(&registry, "a/b", "2"))
        .await;
    assert_eq!(missing.unwrap(), None);
    let missing = client
        .registries
        .manifest(&client.cx, &tagged(&registry, "nowhere", "2"))
        .await;
    assert_eq!(missing.unwrap(), None);
}

#[tokio::test]
async fn where_head_tells_too_little_get_is_asked() {
    let registry = TestRegistry::start();
    let image = images::image(1, "amd64", &[10]);
    registry.put("a", "1", &image);
    for fault in [
        Fault::NoDigest,
        Fault::Answer(Canned::error(405, "UNSUPPORTED", "no HEAD here")),
    ] {
        let client = Client::new();
        registry.script().clear();
        registry.script().on(When::is("HEAD", "/manifests/"), fault);
        let found = client
            .registries
            .resolve(&client.cx, &tagged(&registry, "a", "1"))
            .await;
        assert_eq!(found.unwrap(), Some(image.manifest.descriptor()));
        assert_eq!(registry.script().count("GET", "/manifests/1"), 1);
    }
}

#[tokio::test]
async fn bytes_are_what_they_were_and_have_the_digest_announced() {
    let registry = TestRegistry::start();
    let image = images::image(1, "amd64", &[10]);
    registry.put("a", "1", &image);
    let client = Client::new();
    let (registries, cx) = (&client.registries, &client.cx);
    let reference = tagged(&registry, "a", "1");
    let read = registries.manifest(cx, &reference).await.unwrap().unwrap();
    assert_eq!(read, image.manifest);
    let by_digest = repository(&registry, "a").with_digest(image.manifest.digest().clone());
    for (fault, asked) in [
        (Fault::WrongBody, &reference),
        (Fault::WrongBody, &by_digest),
        (Fault::WrongDigest, &reference),
        (Fault::Truncate(100), &by_digest),
    ] {
        registry.script().clear();
        registry.script().on(When::is("GET", "/manifests/"), fault);
        let error = registries.manifest(cx, asked).await.unwrap_err();
        assert!(
            matches!(error.fault, RegistryFault::Corrupt { .. }),
            "{error}"
        );
    }
    registry.script().clear();
    registry
        .script()
        .on(When::is("HEAD", "/manifests/"), Fault::WrongDigest);
    let error = registries.resolve(cx, &by_digest).await.unwrap_err();
    assert!(matches!(error.fault, RegistryFault::Corrupt { .. }));
}

#[tokio::test]
async fn a_registry_that_takes_another_manifest_is_caught() {
    let registry = TestRegistry::start();
    registry
        .script()
        .on(When::is("PUT", "/manifests/"), Fault::WrongDigest);
    registry.set(|settings| settings.strict = false);
    let client = Client::new();
    let image = images::image(1, "amd64", &[10]);
    let tag = "1".parse().unwrap();
    let error = client
        .registries
        .put_manifest(
            &client.cx,
            &repository(&registry, "a"),
            WriteTarget::Tag(&tag),
            &image.manifest,
        )
        .await
        .unwrap_err();
    assert!(matches!(error.fault, RegistryFault::Corrupt { .. }));
    let host = registry.host();
    assert!(
        error
            .to_string()
            .starts_with(&format!("move tag {host}/a:1: "))
    );
}

#[tokio::test]
async fn a_move_whose_answer_was_lost_is_looked_at_before_it_is_made_again() {
    let registry = TestRegistry::start();
    let image = images::image(1, "amd64", &[10]);
    registry.put("a", "other", &image);
    let client = Client::new();
    registry
        .script()
        .on(When::is("PUT", "/manifests/").times(1), Fault::ResetAfter);
    let tag = "1".parse().unwrap();
    client
        .registries
        .put_manifest(
            &client.cx,
            &repository(&registry, "a"),
            WriteTarget::Tag(&tag),
            &image.manifest,
        )
        .await
        .unwrap();
    assert_eq!(registry.script().count("PUT", "/manifests/1"), 1);
    assert_eq!(registry.script().count("HEAD", "/manifests/1"), 1);
    assert_eq!(client.told.retries(), 1);
}

#[tokio::test]
async fn deleting_tells_whether_there_was_anything() {
    let registry = TestRegistry::start();
    let image = images::image(1, "amd64", &[10]);
    registry.put("a", "1", &image);
    registry.put("a", "2", &image);
    let client = Client::new();
    let (registries, cx) = (&client.registries, &client.cx);
    let one = tagged(&registry, "a", "1");
    assert!(registries.delete(cx, &one).await.unwrap());
    assert!(!registries.delete(cx, &one).await.unwrap());
    assert_eq!(registry.tags().len(), 1, "its sibling stays");
    // The first attempt did it, and its answer was lost.
    registry
        .script()
        .on(When::is("DELETE", "").times(1), Fault::ResetAfter);
    let two = tagged(&registry, "a", "2");
    assert!(registries.delete(cx, &two).await.unwrap());
    assert!(registry.tags().is_empty());
}

#[tokio::test]
async fn registries_that_do_not_delete_say_so() {
    let client = Client::new();
    let (registries, cx) = (&client.registries, &client.cx);
    let image = images::image(1, "amd64", &[10]);
    let registry = TestRegistry::with(Settings::distribution_2());
    registry.put("a", "1", &image);
    registry.put("a", "2", &image);
    let error = registries
        .delete(cx, &tagged(&registry, "a", "1"))
        .await
        .unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with("registry answered 400: it does not allow this: it deletes by digest only"),
        "{error}"
    );
    let by_digest = repository(&registry, "a").with_digest(image.manifest.digest().clone());
    assert!(registries.delete(cx, &by_digest).await.unwrap());
    assert!(registry.tags().is_empty(), "its tags go along");

    let registry = TestRegistry::with(Settings {
        delete_manifests: false,
        ..Settings::default()
    });
    registry.put("a", "1", &image);
    let error = registries
        .delete(cx, &tagged(&registry, "a", "1"))
        .await
        .unwrap_err();
    assert!(
        matches!(error.fault, RegistryFault::NotAllowed { status: 405, .. }),
        "{error}"
    );

    let registry = TestRegistry::with(Settings::crane());
    registry.put("a", "1", &image);
    let by_digest = repository(&registry, "a").with_digest(image.manifest.digest().clone());
    assert!(registries.delete(cx, &by_digest).await.unwrap());
    assert_eq!(registry.tags().len(), 1, "its tag stays");
}

#[tokio::test]
async fn what_is_no_manifest_is_refused() {
    let registry = TestRegistry::start();
    registry.set(|settings| settings.strict = false);
    let client = Client::new();
    for (kind, body) in [
        ("text/html", "<html>welcome</html>"),
        (media_type::OCI_MANIFEST, "{}"),
        (
            media_type::OCI_MANIFEST,
            r#"{"schemaVersion":2,"manifests":[],"layers":[],"config":{}}"#,
        ),
        (
            "application/vnd.docker.distribution.manifest.v1+prettyjws",
            r#"{"schemaVersion":1}"#,
        ),
    ] {
        let image = images::Image {
            manifest: RawManifest::new(kind, body.as_bytes().to_vec()),
            blobs: Vec::new(),
        };
        registry.put("a", "bad", &image);
        let read = client
            .registries
            .manifest(&client.cx, &tagged(&registry, "a", "bad"))
            .await;
        if body == "{}" {
            // Says nothing of itself: it is what the registry says it is, and parsing will tell.
            assert!(read.unwrap().unwrap().parse().is_err());
            continue;
        }
        let error = read.unwrap_err();
        assert!(
            matches!(error.fault, RegistryFault::Protocol { .. }),
            "{kind}: {error}"
        );
    }
}
