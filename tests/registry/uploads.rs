//! Blobs on their way in.

use castoff::execute::ports::{Registry as _, RegistryFault};
use castoff::oci::{Descriptor, Digest};

use super::support::images;
use super::support::registry::{Canned, Fault, Settings, TestRegistry, When};
use super::{Client, repository};

async fn put(client: &Client, registry: &TestRegistry, bytes: &[u8]) -> Result<(), String> {
    let target = repository(registry, "a");
    let digest = client
        .registries
        .put_blob(&client.cx, &target, bytes)
        .await
        .map_err(|error| error.to_string())?;
    assert_eq!(digest, Digest::of(bytes));
    let held = registry.blob("a", digest.as_str());
    assert!(held.as_deref() == Some(bytes), "another blob arrived");
    Ok(())
}

#[tokio::test]
async fn one_put_carries_a_blob_and_what_is_there_is_not_sent() {
    let registry = TestRegistry::start();
    let client = Client::new();
    let bytes = images::noise(1, 200_000);
    put(&client, &registry, &bytes).await.unwrap();
    let digest = Digest::of(&bytes);
    assert_eq!(
        registry.script().lines(),
        [
            "GET /v2/".to_owned(),
            format!("HEAD /v2/a/blobs/{digest}"),
            "POST /v2/a/blobs/uploads/".to_owned(),
            "PUT /v2/a/blobs/uploads/u1".to_owned(),
        ]
    );
    put(&client, &registry, &bytes).await.unwrap();
    let other = Client::new();
    put(&other, &registry, &bytes).await.unwrap();
    assert_eq!(registry.script().count("POST", ""), 1);
    put(&client, &registry, b"").await.unwrap();
}

#[tokio::test]
async fn where_one_put_is_too_much_pieces_are_sent() {
    let bytes = images::noise(1, 300_000);
    for limit in [1_000_000, 100_000, 65_536, 20_000] {
        let registry = TestRegistry::with(Settings {
            body_limit: Some(limit),
            ..Settings::default()
        });
        let client = Client::new();
        put(&client, &registry, &bytes).await.unwrap();
        let patches = registry.script().count("PATCH", "/blobs/uploads/");
        assert_eq!(patches > 0, limit < 300_000, "{limit}");
        assert_eq!(client.told.retries(), 0);
        // What was learned serves the next blob.
        let before = registry.script().count("PUT", "/blobs/uploads/");
        put(&client, &registry, &images::noise(2, 200_000))
            .await
            .unwrap();
        let refused = registry.script().log();
        let refused = refused.iter().filter(|seen| seen.status == 413);
        assert!(refused.count() <= 5);
        assert_eq!(
            registry.script().count("PUT", "/blobs/uploads/"),
            before + 1
        );
    }
    let registry = TestRegistry::with(Settings {
        body_limit: Some(1000),
        ..Settings::default()
    });
    let error = put(&Client::new(), &registry, &bytes).await.unwrap_err();
    assert!(error.contains("registry answered 413"), "{error}");
}

#[tokio::test]
async fn a_registry_may_want_larger_pieces_or_no_put_with_a_body() {
    let bytes = images::noise(1, 9_000_000);
    let registry = TestRegistry::with(Settings {
        least_piece: Some(5_000_000),
        ..Settings::default()
    });
    registry.script().on(
        When::is("PUT", "/blobs/uploads/").times(1),
        Fault::Answer(Canned::error(405, "UNSUPPORTED", "not in one")),
    );
    put(&Client::new(), &registry, &bytes).await.unwrap();
    assert_eq!(registry.script().count("PATCH", ""), 2);
}

#[tokio::test]
async fn an_upload_that_was_cut_goes_on_where_the_registry_says() {
    let registry = TestRegistry::start();
    let client = Client::new();
    registry.script().on(
        When::is("PUT", "/blobs/uploads/").times(1),
        Fault::ResetWithin(2_000_000),
    );
    let bytes = images::noise(1, 3_000_000);
    put(&client, &registry, &bytes).await.unwrap();
    let lines = registry.script().lines();
    assert_eq!(
        lines[3..],
        [
            "PUT /v2/a/blobs/uploads/u1".to_owned(),
            format!("HEAD /v2/a/blobs/{}", Digest::of(&bytes)),
            "GET /v2/a/blobs/uploads/u1".to_owned(),
            "PATCH /v2/a/blobs/uploads/u1".to_owned(),
            "PUT /v2/a/blobs/uploads/u1".to_owned(),
        ]
    );
    assert_eq!(client.told.retries(), 1);
    assert_eq!(registry.open_uploads(), 0);
}

#[tokio::test]
async fn an_upload_that_cannot_go_on_begins_anew() {
    let registry = TestRegistry::with(Settings::distribution_2());
    let client = Client::new();
    registry.script().on(
        When::is("PUT", "/blobs/uploads/").times(2),
        Fault::ResetWithin(100_000),
    );
    put(&client, &registry, &images::noise(1, 300_000))
        .await
        .unwrap();
    assert_eq!(registry.script().count("POST", "/blobs/uploads/"), 3);
}

#[tokio::test]
async fn an_upload_that_may_not_go_on_begins_anew_too() {
    // It says how far it got, and knows no PATCH.
    let registry = TestRegistry::start();
    let client = Client::new();
    registry.script().on(
        When::is("PUT", "/blobs/uploads/").times(1),
        Fault::ResetWithin(100_000),
    );
    registry.script().on(
        When::is("PATCH", "/blobs/uploads/"),
        Fault::Answer(Canned::error(405, "UNSUPPORTED", "no pieces")),
    );
    put(&client, &registry, &images::noise(1, 300_000))
        .await
        .unwrap();
    assert_eq!(registry.script().count("PATCH", ""), 1);
    assert_eq!(registry.script().count("PUT", "/blobs/uploads/"), 2);
}

#[tokio::test]
async fn an_upload_whose_answer_was_lost_is_found() {
    let registry = TestRegistry::start();
    let client = Client::new();
    registry.script().on(
        When::is("PUT", "/blobs/uploads/").times(1),
        Fault::ResetAfter,
    );
    put(&client, &registry, &images::noise(1, 300_000))
        .await
        .unwrap();
    assert_eq!(registry.script().count("PUT", "/blobs/uploads/"), 1);
}

#[tokio::test]
async fn every_step_of_an_upload_may_fail_and_is_made_again() {
    let bytes = images::noise(1, 100_000);
    for fault in [
        Fault::Reset,
        Fault::ResetAfter,
        Fault::status(500),
        Fault::status(503),
        Fault::too_many(0),
        Fault::AnswerAfter(Canned::error(502, "", "")),
        Fault::Hang,
        Fault::HangAfter,
    ] {
        for index in 1..=4 {
            let registry = TestRegistry::start();
            registry.script().on(When::request(index), fault.clone());
            let client = Client::new();
            put(&client, &registry, &bytes)
                .await
                .unwrap_or_else(|error| panic!("{fault:?} at {index}: {error}"));
            assert_eq!(client.told.retries(), 1, "{fault:?} at {index}");
        }
    }
}

#[tokio::test]
async fn what_fails_for_good_ends_with_the_last_reason() {
    let registry = TestRegistry::start();
    registry.script().on(
        When::is("PUT", "/blobs/uploads/"),
        Fault::Answer(Canned::error(500, "UNKNOWN", "disk full")),
    );
    let client = Client::new();
    let error = put(&client, &registry, b"x").await.unwrap_err();
    assert!(
        error.ends_with("registry answered 500 UNKNOWN: disk full"),
        "{error}"
    );
    assert_eq!(client.told.retries(), 3);
}

#[tokio::test]
async fn checking_for_write_access_leaves_nothing_behind() {
    let registry = TestRegistry::start();
    let client = Client::new();
    client
        .registries
        .check_write(&client.cx, &repository(&registry, "a"))
        .await
        .unwrap();
    assert_eq!(registry.open_uploads(), 0);
    assert!(registry.tags().is_empty());
    let read_only = TestRegistry::with(Settings {
        read_only: true,
        ..Settings::default()
    });
    let error = client
        .registries
        .check_write(&client.cx, &repository(&read_only, "a"))
        .await
        .unwrap_err();
    assert!(matches!(
        error.fault,
        RegistryFault::NotAllowed { status: 405, .. }
    ));
}

#[tokio::test]
async fn small_blobs_are_read_whole_and_large_ones_refused() {
    let registry = TestRegistry::start();
    let image = images::image(1, "amd64", &[1000]);
    registry.put("a", "1", &image);
    let client = Client::new();
    let descriptor = |bytes: &[u8], size: u64| Descriptor {
        media_type: "x".to_owned(),
        digest: Digest::of(bytes),
        size,
        platform: None,
        annotations: std::collections::BTreeMap::new(),
        artifact_type: None,
    };
    let read = async |wanted: &Descriptor, limit: u64| {
        client
            .registries
            .blob(&client.cx, &repository(&registry, "a"), wanted, limit)
            .await
    };
    let blob = &image.blobs[0];
    assert_eq!(read(&descriptor(blob, 1000), 1000).await.unwrap(), *blob);
    let error = read(&descriptor(blob, 1000), 999).await.unwrap_err();
    assert!(error.to_string().contains("more than the 999"), "{error}");
    let error = read(&descriptor(blob, 500), 999).await.unwrap_err();
    assert!(
        error.to_string().contains("has 1000 bytes and not 500"),
        "{error}"
    );
    let error = read(&descriptor(b"missing", 7), 999).await.unwrap_err();
    assert!(matches!(error.fault, RegistryFault::NotFound { .. }));
    for fault in [Fault::WrongBody, Fault::Truncate(10)] {
        registry.script().clear();
        registry.script().on(When::is("GET", "/blobs/"), fault);
        let error = read(&descriptor(blob, 1000), 1000).await.unwrap_err();
        assert!(
            matches!(
                error.fault,
                RegistryFault::Corrupt { .. } | RegistryFault::Protocol { .. }
            ),
            "{error}"
        );
    }
}
