//! Tags, repositories, referrers.

use castoff::execute::ports::{Registry as _, RegistryFault, WriteTarget};

use super::support::images;
use super::support::registry::{Canned, Fault, Links, Settings, TestRegistry, When};
use super::{Client, repository};

fn with_tags(settings: Settings, count: usize) -> TestRegistry {
    let registry = TestRegistry::with(settings);
    let image = images::image(1, "amd64", &[10]);
    for number in 0..count {
        registry.put("a", &format!("v{number:05}"), &image);
    }
    registry
}

#[tokio::test]
async fn all_pages_are_read_however_they_are_joined() {
    for (links, page, count) in [
        (Links::Relative, 7, 50),
        (Links::Absolute, 7, 49),
        (Links::Relative, 1000, 50),
        // Registries from before the Link header: a full page means that there may be more.
        (Links::None, 1000, 2500),
        (Links::None, 1000, 1000),
    ] {
        let registry = with_tags(
            Settings {
                page,
                links,
                ..Settings::default()
            },
            count,
        );
        let client = Client::new();
        let tags = client
            .registries
            .tags(&client.cx, &repository(&registry, "a"))
            .await
            .unwrap();
        assert_eq!(tags.len(), count, "{links:?} {page}");
        let is_sorted = tags.is_sorted_by_key(|tag| tag.as_str().to_owned());
        assert!(is_sorted);
    }
}

#[tokio::test]
async fn a_repository_that_is_not_there_has_no_tags() {
    let registry = TestRegistry::start();
    let client = Client::new();
    let tags = client
        .registries
        .tags(&client.cx, &repository(&registry, "none"))
        .await;
    assert!(tags.unwrap().is_empty());
}

#[tokio::test]
async fn pages_that_lead_astray_are_not_followed() {
    let registry = with_tags(Settings::default(), 3);
    let page = |link: &str| {
        let mut canned = Canned::error(200, "", "").with("Link", link);
        canned.body = r#"{"name":"a","tags":["x"]}"#.to_owned();
        Fault::Answer(canned)
    };
    for (link, expected) in [
        (
            "</v2/a/tags/list?n=1000>; rel=\"next\"",
            "the pages go round in circles",
        ),
        (
            "<http://evil.example/v2/a/tags/list>; rel=\"next\"",
            "the next page lies on another host, evil.example",
        ),
    ] {
        registry.script().clear();
        registry
            .script()
            .on(When::is("GET", "/tags/list"), page(link));
        let client = Client::new();
        let error = client
            .registries
            .tags(&client.cx, &repository(&registry, "a"))
            .await
            .unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    }
    // A link that is new every time ends too.
    let links = (0..20_000).map(|n| format!("</v2/a/tags/list?n={n}>; rel=\"next\""));
    registry.script().clear();
    for (index, link) in links.take(30).enumerate() {
        registry.script().on(
            When::is("GET", "/tags/list")
                .after(index.try_into().unwrap())
                .times(1),
            page(&link),
        );
    }
    let client = Client::new();
    let tags = client
        .registries
        .tags(&client.cx, &repository(&registry, "a"))
        .await;
    assert_eq!(tags.unwrap().len(), 4, "x, and the three of the last page");
}

#[tokio::test]
async fn an_impossible_tag_makes_the_list_worthless() {
    let registry = TestRegistry::start();
    let mut canned = Canned::error(200, "", "");
    canned.body = r#"{"name":"a","tags":["ok","../../etc/passwd"]}"#.to_owned();
    registry
        .script()
        .on(When::is("GET", "/tags/list"), Fault::Answer(canned));
    let client = Client::new();
    let error = client
        .registries
        .tags(&client.cx, &repository(&registry, "a"))
        .await
        .unwrap_err();
    assert!(error.to_string().contains("impossible tag"), "{error}");
}

#[tokio::test]
async fn repositories_are_listed_where_the_registry_tells() {
    let registry = TestRegistry::with(Settings {
        page: 2,
        ..Settings::default()
    });
    let image = images::image(1, "amd64", &[10]);
    for name in ["a", "b/c", "d", "e/f/g", "h"] {
        registry.put(name, "1", &image);
    }
    let client = Client::new();
    let names = client
        .registries
        .repositories(&client.cx, registry.host())
        .await;
    assert_eq!(names.unwrap(), ["a", "b/c", "d", "e/f/g", "h"]);
}

#[tokio::test]
async fn referrers_come_from_the_api_or_the_fallback_tag() {
    for settings in [Settings::default(), Settings::distribution_2()] {
        let has_api = settings.referrers;
        let registry = TestRegistry::with(settings);
        let client = Client::new();
        let (registries, cx) = (&client.registries, &client.cx);
        let target = repository(&registry, "a");
        let image = images::image(1, "amd64", &[10]);
        registry.put("a", "1", &image);
        let subject = image.manifest.digest();
        let none = registries.referrers(cx, &target, subject).await.unwrap();
        assert!(none.is_empty());
        let mut expected = Vec::new();
        for kind in ["application/x-record", "application/x-signature"] {
            let artifact = images::artifact(&image.manifest, kind);
            for blob in &artifact.blobs {
                registries.put_blob(cx, &target, blob).await.unwrap();
            }
            for _ in 0..2 {
                registries
                    .put_manifest(cx, &target, WriteTarget::Digest, &artifact.manifest)
                    .await
                    .unwrap();
            }
            expected.push((artifact.manifest.digest().clone(), Some(kind.to_owned())));
        }
        let found = registries.referrers(cx, &target, subject).await.unwrap();
        let mut found: Vec<_> = found
            .into_iter()
            .map(|entry| {
                assert_eq!(
                    entry.annotations.get("dev.castoff.kind"),
                    entry.artifact_type.as_ref()
                );
                (entry.digest, entry.artifact_type)
            })
            .collect();
        found.sort();
        expected.sort();
        assert_eq!(found, expected);
        let fallback = format!("a:{}", subject.to_string().replace(':', "-"));
        assert_eq!(registry.tags().contains_key(&fallback), !has_api);
        if !has_api {
            let asked = registry.script().count("GET", "/referrers/");
            assert_eq!(asked, 1, "that there is no such API is learned once");
        }
    }
}

#[tokio::test]
async fn a_failure_is_not_taken_for_no_referrers() {
    let registry = TestRegistry::start();
    let image = images::image(1, "amd64", &[10]);
    registry.put("a", "1", &image);
    registry
        .script()
        .on(When::is("GET", "/referrers/"), Fault::status(500));
    let client = Client::new();
    let error = client
        .registries
        .referrers(
            &client.cx,
            &repository(&registry, "a"),
            image.manifest.digest(),
        )
        .await
        .unwrap_err();
    assert!(matches!(
        error.fault,
        RegistryFault::Refused { status: 500, .. }
    ));
}
