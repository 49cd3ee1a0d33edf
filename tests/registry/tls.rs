//! Who is trusted, and who is shown what.

use castoff::execute::ports::{Registry as _, RegistryFault};
use castoff::registry::{HostSettings, Registries, RegistryOptions};
use std::sync::Arc;

use super::support::images;
use super::support::registry::{
    Access, Fault, Settings, TestRegistry, Tls, TokenServer, When, certificates,
};
use super::{Always, Client, me, options, repository, tagged};

fn with(registry: &TestRegistry, settings: HostSettings) -> RegistryOptions {
    let mut options = options();
    options.hosts.insert(registry.host().to_owned(), settings);
    options
}

fn ca() -> HostSettings {
    HostSettings {
        ca: Some(certificates().join("ca.pem")),
        ..HostSettings::default()
    }
}

async fn ping(client: &Client, registry: &TestRegistry) -> Result<(), RegistryFault> {
    let pinged = client.registries.ping(&client.cx, registry.host()).await;
    pinged.map_err(|error| error.fault)
}

#[tokio::test]
async fn a_registry_on_this_machine_is_asked_what_it_speaks() {
    let plain = TestRegistry::start();
    ping(&Client::new(), &plain).await.unwrap();
    let secure = TestRegistry::secure(Settings::default(), Tls::On);
    let client = Client::with(with(&secure, ca()));
    ping(&client, &secure).await.unwrap();
    assert_eq!(client.told.retries(), 0);
}

#[tokio::test]
async fn an_unknown_ca_is_not_trusted_even_here() {
    let registry = TestRegistry::secure(Settings::default(), Tls::On);
    let fault = ping(&Client::new(), &registry).await.unwrap_err();
    let RegistryFault::Tls { message, .. } = &fault else {
        panic!("{fault}");
    };
    assert!(
        message.contains("UnknownIssuer") || message.contains("No CA certificates"),
        "{message}"
    );
    assert!(registry.script().log().is_empty());
}

#[tokio::test]
async fn what_is_set_is_not_guessed() {
    let plain = TestRegistry::start();
    let said = HostSettings {
        plain_http: Some(false),
        ..ca()
    };
    let fault = ping(&Client::with(with(&plain, said)), &plain)
        .await
        .unwrap_err();
    assert!(matches!(fault, RegistryFault::Tls { .. }), "{fault}");
    let secure = TestRegistry::secure(Settings::default(), Tls::On);
    let said = HostSettings {
        plain_http: Some(true),
        ..ca()
    };
    let fault = ping(&Client::with(with(&secure, said)), &secure)
        .await
        .unwrap_err();
    assert!(matches!(fault, RegistryFault::Protocol { .. }), "{fault}");
}

#[tokio::test]
async fn a_client_certificate_opens_the_door() {
    let registry = TestRegistry::secure(Settings::default(), Tls::Mutual);
    let client = Client::with(with(&registry, ca()));
    let fault = ping(&client, &registry).await.unwrap_err();
    assert!(matches!(fault, RegistryFault::Tls { .. }), "{fault}");
    let shown = HostSettings {
        client_cert: Some(certificates().join("client.pem")),
        client_key: Some(certificates().join("client.key")),
        ..ca()
    };
    let client = Client::with(with(&registry, shown));
    ping(&client, &registry).await.unwrap();
}

#[tokio::test]
async fn files_that_are_no_certificates_are_named() {
    let registry = TestRegistry::secure(Settings::default(), Tls::On);
    for (file, expected) in [
        ("none.pem", "cannot read"),
        ("server.key", "holds no"),
        ("README.md", "holds no"),
    ] {
        let settings = HostSettings {
            ca: Some(certificates().join(file)),
            ..HostSettings::default()
        };
        let fault = ping(&Client::with(with(&registry, settings)), &registry)
            .await
            .unwrap_err();
        let shown = fault.to_string();
        assert!(shown.contains(expected) && shown.contains(file), "{shown}");
    }
}

#[tokio::test]
async fn a_login_never_leaves_tls() {
    let elsewhere = TestRegistry::start();
    let registry = TestRegistry::secure(
        Settings {
            access: Access::Token(TokenServer {
                realm: Some(format!("http://{}/token", elsewhere.host())),
                ..TokenServer::new()
            }),
            ..Settings::default()
        },
        Tls::On,
    );
    let client = Client::of(Registries::with_credentials(
        with(&registry, ca()),
        Arc::new(Always(Some(me()))),
    ));
    let error = client
        .registries
        .check_write(&client.cx, &repository(&registry, "a"))
        .await
        .unwrap_err();
    assert!(error.to_string().contains("over plain HTTP"), "{error}");
    assert!(elsewhere.script().log().is_empty());
}

#[tokio::test]
async fn a_redirect_down_to_plain_http_is_not_followed() {
    let elsewhere = TestRegistry::start();
    let registry = TestRegistry::secure(Settings::default(), Tls::On);
    registry.put("a", "1", &images::image(1, "amd64", &[10]));
    registry.script().on(
        When::is("GET", "/manifests/"),
        Fault::redirect(
            307,
            &format!("http://{}/v2/a/manifests/1?sig=s3cret", elsewhere.host()),
        ),
    );
    let client = Client::with(with(&registry, ca()));
    let error = client
        .registries
        .manifest(&client.cx, &tagged(&registry, "a", "1"))
        .await
        .unwrap_err();
    assert!(error.to_string().contains("down to plain HTTP"), "{error}");
    assert!(!error.to_string().contains("s3cret"), "{error}");
    assert!(elsewhere.script().log().is_empty());
}

#[tokio::test]
async fn a_proxy_that_forgets_to_say_that_it_speaks_tls_is_understood() {
    // Upload locations say http, as registry:2 does behind a proxy without X-Forwarded-Proto.
    let registry = TestRegistry::secure(Settings::default(), Tls::On);
    let location = format!("http://{}/v2/a/blobs/uploads/u1?_state=s0", registry.host());
    let client = Client::with(with(&registry, ca()));
    registry.script().on(
        When::is("POST", "/blobs/uploads/").after(1),
        Fault::redirect(202, &location),
    );
    let target = repository(&registry, "a");
    client
        .registries
        .check_write(&client.cx, &target)
        .await
        .unwrap();
    // The first upload was cancelled and its id is free for nobody; the second is the scripted one.
    let error = client.registries.put_blob(&client.cx, &target, b"x").await;
    assert!(
        !format!("{error:?}").contains("plain HTTP"),
        "the location is read as https: {error:?}"
    );
    assert!(registry.script().count("PUT", "/blobs/uploads/u1") > 0);
}

#[tokio::test]
async fn http_2_carries_the_same() {
    let source = TestRegistry::start();
    let target = TestRegistry::secure(Settings::default(), Tls::Http2);
    let tree = images::tree(images::fresh(), 3_000_000);
    source.put_tree("a", "1", &tree);
    let client = Client::with(with(&target, ca()));
    let (registries, cx) = (&client.registries, &client.cx);
    let (from, to) = (repository(&source, "a"), repository(&target, "a"));
    target.script().on(
        When::is("PUT", "/blobs/uploads/").times(1),
        Fault::ResetWithin(100_000),
    );
    registries.check_write(cx, &to).await.unwrap();
    let copied = registries.copy(cx, &from, tree.index.digest(), &to).await;
    assert!(copied.unwrap().sent > 3_000_000);
    assert!(target.is_whole("a", tree.index.digest().as_str()));
    assert!(client.told.retries() > 0);
    let references: Vec<_> = tree
        .images
        .iter()
        .map(|image| to.with_digest(image.manifest.digest().clone()))
        .collect();
    let asking = references.iter().map(|one| registries.resolve(cx, one));
    for found in futures_util::future::join_all(asking).await {
        assert!(found.unwrap().is_some());
    }
    let versions = target.script().log();
    assert!(versions.iter().all(|seen| seen.version == "HTTP/2.0"));
}

/// Run by the next test in a process of its own, whose environment names a proxy.
#[tokio::test]
#[ignore = "needs the environment that the next test gives it"]
async fn within_a_proxys_reach() {
    let near = TestRegistry::start();
    let mut options = options();
    let plain = HostSettings {
        plain_http: Some(true),
        ..HostSettings::default()
    };
    let far = "registry.example";
    options.hosts.insert(far.to_owned(), plain);
    let client = Client::with(options);
    let pinged = client.registries.ping(&client.cx, near.host()).await;
    pinged.unwrap();
    assert_eq!(near.script().log().len(), 1, "it was asked directly");
    client.registries.ping(&client.cx, far).await.unwrap();
}

#[tokio::test]
async fn a_proxy_is_used_but_not_for_this_machine() {
    let proxy = TestRegistry::start();
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "tls::within_a_proxys_reach", "--ignored"])
        .env("HTTP_PROXY", format!("http://{}", proxy.host()))
        .env("http_proxy", format!("http://{}", proxy.host()))
        .env_remove("NO_PROXY")
        .env_remove("no_proxy")
        .env_remove("REQUEST_METHOD")
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stdout)
    );
    let asked = proxy.script().log();
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].target, "registry.example");
}
