//! Where registries differ, and what they refuse.

use castoff::execute::ports::{Registry as _, RegistryFault, WriteTarget};

use super::support::images;
use super::{Client, OPEN, bed, own, tagged};

#[tokio::test]
async fn every_registry_says_whether_it_can_be_written() {
    let client = Client::new();
    for host in OPEN {
        let checked = client.registries.check_write(&client.cx, &own(host)).await;
        checked.unwrap();
    }
    for (host, expected) in [
        (
            "BED_REGISTRY_READONLY",
            "registry answered 405: it does not allow this",
        ),
        (
            "BED_FAULT_403",
            "registry answered 403 DENIED: requested access to the resource is denied",
        ),
    ] {
        let repository = own(host);
        let checked = client.registries.check_write(&client.cx, &repository).await;
        let shown = checked.unwrap_err().to_string();
        let begins = format!("check that {repository} may be written: {expected}");
        assert!(shown.starts_with(&begins), "{shown}");
    }
}

#[tokio::test]
async fn deleting_by_digest_takes_tags_along_or_does_not() {
    let client = Client::new();
    let (registries, cx) = (&client.registries, &client.cx);
    for host in OPEN {
        let is_crane = host == "BED_REGISTRY_CRANE";
        let repository = own(host);
        let tree = images::tree(images::fresh(), 1000);
        client.push(&repository, "a", &tree).await;
        client.tag(&repository, "b", &tree).await;
        let deleted = registries.delete(cx, &tagged(&repository, "a")).await;
        if is_crane {
            assert!(deleted.unwrap());
            assert_eq!(client.tag_names(&repository).await, ["b"]);
        } else {
            let error = deleted.unwrap_err();
            assert!(
                matches!(error.fault, RegistryFault::NotAllowed { .. }),
                "{host}: {error}"
            );
        }
        let by_digest = repository.with_digest(tree.index.digest().clone());
        assert!(registries.delete(cx, &by_digest).await.unwrap(), "{host}");
        assert!(!registries.delete(cx, &by_digest).await.unwrap(), "{host}");
        let left = client.tag_names(&repository).await;
        assert_eq!(left.is_empty(), !is_crane, "{host}: {left:?}");
    }
}

#[tokio::test]
async fn deletes_that_are_switched_off_are_told() {
    let client = Client::new();
    let repository = own("BED_REGISTRY_NODELETE");
    let tree = images::tree(images::fresh(), 1000);
    client.push(&repository, "a", &tree).await;
    let by_digest = repository.with_digest(tree.index.digest().clone());
    for reference in [by_digest, tagged(&repository, "a")] {
        let error = client
            .registries
            .delete(&client.cx, &reference)
            .await
            .unwrap_err();
        assert!(
            matches!(error.fault, RegistryFault::NotAllowed { .. }),
            "{error}"
        );
        assert!(error.hint().unwrap().contains("switched off"), "{error}");
    }
}

#[tokio::test]
async fn what_is_not_there_is_not_there_everywhere() {
    let client = Client::new();
    let (registries, cx) = (&client.registries, &client.cx);
    for host in OPEN {
        let repository = own(host);
        let reference = tagged(&repository, "none");
        assert_eq!(registries.resolve(cx, &reference).await.unwrap(), None);
        assert_eq!(registries.manifest(cx, &reference).await.unwrap(), None);
        assert!(client.tag_names(&repository).await.is_empty());
        let digest = castoff::oci::Digest::of(b"none");
        let none = registries.referrers(cx, &repository, &digest).await;
        assert!(none.unwrap().is_empty(), "{host}");
        if host != "BED_REGISTRY_TOKEN" {
            let gone = registries.delete(cx, &repository.with_digest(digest)).await;
            assert!(!gone.unwrap(), "{host}");
        }
    }
}

#[tokio::test]
async fn more_tags_than_a_page_holds_are_all_listed() {
    // crane's registry cuts the list and says nothing of there being more.
    let client = Client::new();
    let repository = own("BED_REGISTRY_CRANE");
    let tree = images::tree(images::fresh(), 100);
    client.push(&repository, "first", &tree).await;
    let tags: Vec<castoff::oci::Tag> = (0..2100)
        .map(|number| format!("v{number:04}").parse().unwrap())
        .collect();
    for some in tags.chunks(16) {
        let moving = some.iter().map(|tag| {
            let target = WriteTarget::Tag(tag);
            client
                .registries
                .put_manifest(&client.cx, &repository, target, &tree.index)
        });
        for moved in futures_util::future::join_all(moving).await {
            moved.unwrap();
        }
    }
    assert_eq!(client.tag_names(&repository).await.len(), 2101);
}

#[tokio::test]
async fn repositories_are_listed() {
    let client = Client::new();
    for host in ["BED_REGISTRY", "BED_REGISTRY_CRANE", "BED_REGISTRY_AUTH"] {
        let repository = own(host);
        let tree = images::tree(images::fresh(), 100);
        client.push(&repository, "x", &tree).await;
        let listed = client.registries.repositories(&client.cx, &bed(host)).await;
        let listed = listed.unwrap();
        assert!(
            listed.iter().any(|name| name == repository.path()),
            "{host}"
        );
    }
}
