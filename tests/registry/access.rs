//! Logins, tokens and scopes.

use castoff::execute::ports::{Credential, Registry as _, RegistryFault, WriteTarget};
use castoff::secret::Secret;
use futures_util::future::join_all;

use super::support::images;
use super::support::registry::{Access, Canned, Fault, Settings, TestRegistry, TokenServer, When};
use super::{Client, me, repository, tagged};

fn guarded(server: TokenServer) -> TestRegistry {
    TestRegistry::with(Settings {
        access: Access::Token(server),
        ..Settings::default()
    })
}

fn basic() -> TestRegistry {
    TestRegistry::with(Settings {
        access: Access::Basic("me".to_owned(), "pw".to_owned()),
        ..Settings::default()
    })
}

#[tokio::test]
async fn basic_logins_are_sent_once_they_are_asked_for() {
    let registry = basic();
    registry.put("a", "1", &images::image(1, "amd64", &[10]));
    let client = Client::logged_in(Some(me()));
    let found = client
        .registries
        .resolve(&client.cx, &tagged(&registry, "a", "1"))
        .await;
    assert!(found.unwrap().is_some());
    let log = registry.script().log();
    assert_eq!(log[0].line(), "GET /v2/");
    assert_eq!(log[0].authorization, "");
    assert_eq!(
        (log[1].line(), log[1].authorization.as_str()),
        ("HEAD /v2/a/manifests/1".to_owned(), "Basic")
    );
    assert_eq!(log.len(), 2);
}

#[tokio::test]
async fn a_wrong_or_missing_login_is_told_apart() {
    let registry = basic();
    let wrong = Credential::Password {
        username: "me".to_owned(),
        password: Secret::new("hunter2hunter2"),
    };
    for (login, expected) in [
        (None, "no login was found"),
        (Some(wrong), "the login was refused"),
    ] {
        let client = Client::logged_in(login);
        let error = client
            .registries
            .check_write(&client.cx, &repository(&registry, "a"))
            .await
            .unwrap_err();
        assert!(error.to_string().ends_with(expected), "{error}");
        assert!(error.hint().unwrap().contains("docker login"));
        assert_eq!(client.told.retries(), 0);
    }
    assert!(registry.script().log().len() <= 4, "nobody guesses twice");
}

#[tokio::test]
async fn tokens_are_fetched_by_get_and_used_for_all_they_cover() {
    let registry = guarded(TokenServer::new());
    let client = Client::logged_in(Some(me()));
    let (registries, cx) = (&client.registries, &client.cx);
    let image = images::image(1, "amd64", &[]);
    let target = repository(&registry, "a");
    registries.check_write(cx, &target).await.unwrap();
    for blob in &image.blobs {
        registries.put_blob(cx, &target, blob).await.unwrap();
    }
    let tag = "1".parse().unwrap();
    registries
        .put_manifest(cx, &target, WriteTarget::Tag(&tag), &image.manifest)
        .await
        .unwrap();
    let found = registries.resolve(cx, &tagged(&registry, "a", "1")).await;
    assert_eq!(found.unwrap().unwrap().digest, *image.manifest.digest());
    let log = registry.script().log();
    let asked: Vec<_> = log.iter().filter(|seen| seen.path == "/token").collect();
    assert_eq!(asked.len(), 1, "{:?}", registry.script().lines());
    assert_eq!(asked[0].authorization, "Basic");
    assert_eq!(
        asked[0].query,
        "service=test&scope=repository%3Aa%3Apull%2Cpush"
    );
}

#[tokio::test]
async fn fifty_requests_fetch_one_token() {
    let registry = guarded(TokenServer::new());
    registry.put("a", "1", &images::image(1, "amd64", &[10]));
    let client = Client::logged_in(Some(me()));
    let reference = tagged(&registry, "a", "1");
    let asking = (0..50).map(|_| client.registries.resolve(&client.cx, &reference));
    for found in join_all(asking).await {
        assert!(found.unwrap().is_some());
    }
    assert_eq!(registry.script().count("GET", "/token"), 1);
    assert_eq!(registry.script().count("GET", "/v2/"), 1);
}

#[tokio::test]
async fn token_servers_may_know_one_way_only() {
    for (get, post) in [(true, false), (false, true)] {
        let registry = guarded(TokenServer {
            get,
            post,
            ..TokenServer::new()
        });
        let client = Client::logged_in(Some(me()));
        let written = client
            .registries
            .check_write(&client.cx, &repository(&registry, "a"))
            .await;
        written.unwrap();
    }
}

#[tokio::test]
async fn identity_tokens_are_exchanged_by_post() {
    let registry = guarded(TokenServer::new());
    let client = Client::logged_in(Some(Credential::IdentityToken(Secret::new("rt"))));
    let target = repository(&registry, "a");
    client
        .registries
        .check_write(&client.cx, &target)
        .await
        .unwrap();
    assert_eq!(registry.script().count("POST", "/token"), 1);
    assert_eq!(registry.script().count("GET", "/token"), 0);
    let client = Client::logged_in(Some(Credential::IdentityToken(Secret::new("old"))));
    let error = client
        .registries
        .check_write(&client.cx, &target)
        .await
        .unwrap_err();
    assert!(
        matches!(
            error.fault,
            RegistryFault::Unauthorized {
                anonymous: false,
                ..
            }
        ),
        "{error}"
    );
}

#[tokio::test]
async fn registry_tokens_are_sent_as_they_are() {
    let registry = guarded(TokenServer::new());
    let client = Client::logged_in(Some(Credential::RegistryToken(Secret::new("stale-token"))));
    let error = client
        .registries
        .check_write(&client.cx, &repository(&registry, "a"))
        .await
        .unwrap_err();
    assert!(
        error.to_string().contains("the login was refused"),
        "{error}"
    );
    assert_eq!(registry.script().count("GET", "/token"), 0);
    assert_eq!(registry.script().count("POST", "/token"), 0);
}

#[tokio::test]
async fn a_token_that_runs_out_is_renewed_once() {
    let registry = guarded(TokenServer::new());
    registry.put("a", "1", &images::image(1, "amd64", &[10]));
    let client = Client::logged_in(Some(me()));
    let reference = tagged(&registry, "a", "1");
    let resolve = || client.registries.resolve(&client.cx, &reference);
    resolve().await.unwrap();
    registry.void_tokens();
    resolve().await.unwrap();
    assert_eq!(registry.script().count("GET", "/token"), 2);
    assert_eq!(client.told.retries(), 0, "that is no failure");
}

#[tokio::test]
async fn a_token_that_runs_out_within_an_upload_is_renewed() {
    let registry = guarded(TokenServer::new());
    let client = Client::logged_in(Some(me()));
    let target = repository(&registry, "a");
    // The PUT of the blob is the first request that meets this.
    let challenge = "Bearer realm=\"REALM\",service=\"test\""
        .replace("REALM", &format!("http://{}/token", registry.host()));
    let expired =
        Canned::error(401, "UNAUTHORIZED", "expired").with("WWW-Authenticate", &challenge);
    registry.script().on(
        When::is("PUT", "/blobs/uploads/").times(1),
        Fault::Answer(expired),
    );
    let bytes = images::noise(1, 300_000);
    let digest = client
        .registries
        .put_blob(&client.cx, &target, &bytes)
        .await
        .unwrap();
    assert_eq!(registry.blob("a", digest.as_str()), Some(bytes));
    assert_eq!(registry.script().count("GET", "/token"), 2);
}

#[tokio::test]
async fn short_lived_tokens_are_renewed_before_they_end() {
    let registry = guarded(TokenServer {
        expires_in: 0.25,
        ..TokenServer::new()
    });
    registry.put("a", "1", &images::image(1, "amd64", &[10]));
    let client = Client::logged_in(Some(me()));
    let reference = tagged(&registry, "a", "1");
    for _ in 0..4 {
        let found = client.registries.resolve(&client.cx, &reference).await;
        assert!(found.unwrap().is_some());
        tokio::time::sleep(std::time::Duration::from_millis(150)).await;
    }
    let log = registry.script().log();
    let refused = log.iter().filter(|seen| seen.status == 401).count();
    assert_eq!(refused, 1, "only the first request, which asks for the way");
}

#[tokio::test]
async fn reading_after_writing_renews_the_token_for_both() {
    let registry = guarded(TokenServer {
        expires_in: 0.2,
        ..TokenServer::new()
    });
    registry.put("a", "1", &images::image(1, "amd64", &[10]));
    let client = Client::logged_in(Some(me()));
    let target = repository(&registry, "a");
    let checked = client.registries.check_write(&client.cx, &target).await;
    checked.unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(250)).await;
    let reference = tagged(&registry, "a", "1");
    let found = client.registries.resolve(&client.cx, &reference).await;
    assert!(found.unwrap().is_some());
    let log = registry.script().log();
    let asked: Vec<_> = log.iter().filter(|seen| seen.path == "/token").collect();
    assert_eq!(asked.len(), 2);
    assert!(asked.iter().all(|seen| seen.query.contains("pull%2Cpush")));
}

#[tokio::test]
async fn anonymous_reading_needs_a_token_too() {
    let registry = guarded(TokenServer {
        anonymous: vec!["pull".to_owned()],
        ..TokenServer::new()
    });
    registry.put("a", "1", &images::image(1, "amd64", &[10]));
    let client = Client::logged_in(None);
    let found = client
        .registries
        .resolve(&client.cx, &tagged(&registry, "a", "1"))
        .await;
    assert!(found.unwrap().is_some());
    let error = client
        .registries
        .check_write(&client.cx, &repository(&registry, "a"))
        .await
        .unwrap_err();
    assert!(error.to_string().ends_with("no login was found"), "{error}");
}

#[tokio::test]
async fn a_good_login_that_may_not_write_is_denied() {
    let registry = guarded(TokenServer {
        actions: vec!["pull".to_owned()],
        ..TokenServer::new()
    });
    let client = Client::logged_in(Some(me()));
    let error = client
        .registries
        .check_write(&client.cx, &repository(&registry, "a"))
        .await
        .unwrap_err();
    assert!(
        matches!(error.fault, RegistryFault::Denied { status: 401, .. }),
        "{error}"
    );
    assert!(error.hint().unwrap().contains("may write"));
}

#[tokio::test]
async fn a_mount_asks_for_both_repositories_and_deleting_for_its_own_scope() {
    let registry = guarded(TokenServer::new());
    let image = images::image(1, "amd64", &[1000]);
    registry.put("from", "1", &image);
    let client = Client::logged_in(Some(me()));
    let (from, to) = (repository(&registry, "from"), repository(&registry, "to"));
    let copied = client
        .registries
        .copy(&client.cx, &from, image.manifest.digest(), &to)
        .await
        .unwrap();
    assert!(copied.mounted > 1000 && copied.sent < 2000, "{copied:?}");
    let scopes: Vec<String> = registry
        .script()
        .log()
        .into_iter()
        .filter(|seen| seen.path == "/token")
        .map(|seen| seen.query)
        .collect();
    let both = "scope=repository%3Afrom%3Apull&scope=repository%3Ato%3Apull%2Cpush";
    assert!(
        scopes.iter().any(|query| query.contains(both)),
        "{scopes:?}"
    );
    let gone = client
        .registries
        .delete(&client.cx, &tagged(&registry, "from", "1"))
        .await;
    assert!(gone.unwrap());
    let asked = registry.script().log();
    assert!(asked.iter().any(|seen| seen.query.contains("delete")));
}

#[tokio::test]
async fn a_realm_that_is_no_place_for_a_login_gets_none() {
    for realm in ["ftp://h/token", "not a url", "http://me:pw@127.0.0.1/token"] {
        let registry = guarded(TokenServer {
            realm: Some(realm.to_owned()),
            ..TokenServer::new()
        });
        let client = Client::logged_in(Some(me()));
        let error = client
            .registries
            .check_write(&client.cx, &repository(&registry, "a"))
            .await
            .unwrap_err();
        assert!(
            matches!(error.fault, RegistryFault::Protocol { .. }),
            "{error}"
        );
        assert!(!error.to_string().contains("pw"), "{error}");
    }
}

#[tokio::test]
async fn messages_never_show_what_was_sent() {
    let registry = guarded(TokenServer::new());
    let client = Client::logged_in(Some(Credential::Password {
        username: "me".to_owned(),
        password: Secret::new("pw"),
    }));
    // The registry says back everything that it was sent.
    let echo = Canned::error(
        403,
        "DENIED",
        "you sent token-1, bWU6cHc= to http://x/?sig=secret&token=token-1\u{1b}[31m",
    );
    registry
        .script()
        .on(When::is("POST", "/blobs/uploads/"), Fault::Answer(echo));
    let error = client
        .registries
        .check_write(&client.cx, &repository(&registry, "a"))
        .await
        .unwrap_err();
    let shown = format!("{error} {error:?}");
    assert!(
        error
            .to_string()
            .ends_with("you sent ***, *** to http://x/?… [31m"),
        "{error}"
    );
    assert!(!shown.contains("token-1") && !shown.contains("secret"));
}
