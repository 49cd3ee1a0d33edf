//! Servers that mean no good, and waits that must end.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use castoff::execute::ports::{Registry as _, RegistryFault};

use super::support::images;
use super::support::registry::{Canned, Fault, Settings, TestRegistry, When};
use super::{Client, options, repository, tagged};

/// A server that does `answer` with every connection, and its host.
fn server(answer: impl Fn(TcpStream) + Send + Clone + 'static) -> String {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let host = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let answer = answer.clone();
            std::thread::spawn(move || answer(stream));
        }
    });
    host
}

/// Asks it for a tag, and says how that ended; never later than after a few seconds.
async fn ask(host: &str) -> RegistryFault {
    let client = Client::new();
    let began = Instant::now();
    let reference = format!("{host}/a:1").parse().unwrap();
    let error = client
        .registries
        .resolve(&client.cx, &reference)
        .await
        .unwrap_err();
    assert!(began.elapsed() < Duration::from_secs(8), "{error}");
    error.fault
}

fn read_request(stream: &mut TcpStream) {
    let mut buffer = [0; 4096];
    let _ = stream.read(&mut buffer);
}

#[tokio::test]
async fn what_is_no_http_is_no_registry() {
    let host = server(|mut stream| {
        let _ = stream.write_all(b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n");
        std::thread::sleep(Duration::from_millis(200));
    });
    let fault = ask(&host).await;
    assert!(matches!(fault, RegistryFault::Protocol { .. }), "{fault}");
}

#[tokio::test]
async fn headers_that_drip_run_out_of_time() {
    let host = server(|mut stream| {
        read_request(&mut stream);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n");
        while stream.write_all(b"X-A: b\r\n").is_ok() {
            std::thread::sleep(Duration::from_millis(50));
        }
    });
    let fault = ask(&host).await;
    assert!(
        matches!(
            fault,
            RegistryFault::TimedOut { .. } | RegistryFault::Protocol { .. }
        ),
        "{fault}"
    );
}

#[tokio::test]
async fn headers_without_end_are_cut_off() {
    let host = server(|mut stream| {
        read_request(&mut stream);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nX-Long: ");
        while stream.write_all(&[b'x'; 8192]).is_ok() {}
    });
    let fault = ask(&host).await;
    assert!(matches!(fault, RegistryFault::Protocol { .. }), "{fault}");
}

#[tokio::test]
async fn more_headers_than_a_hundred_are_too_many() {
    let registry = TestRegistry::start();
    registry
        .script()
        .on(When::is("GET", "/v2/"), Fault::Headers(150));
    let fault = ask(registry.host()).await;
    assert!(matches!(fault, RegistryFault::Protocol { .. }), "{fault}");
}

#[tokio::test]
async fn bodies_without_end_are_not_read_to_it() {
    let registry = TestRegistry::start();
    registry.put("a", "1", &images::image(1, "amd64", &[10]));
    let client = Client::new();
    for (method, path) in [("GET", "/manifests/"), ("GET", "/tags/list")] {
        registry.script().on(When::is(method, path), Fault::Endless);
    }
    let target = repository(&registry, "a");
    let error = client
        .registries
        .manifest(&client.cx, &tagged(&registry, "a", "1"))
        .await
        .unwrap_err();
    assert!(
        error.to_string().contains("an answer of more than"),
        "{error}"
    );
    let error = client
        .registries
        .tags(&client.cx, &target)
        .await
        .unwrap_err();
    assert!(
        matches!(
            error.fault,
            RegistryFault::Protocol { .. } | RegistryFault::TimedOut { .. }
        ),
        "{error}"
    );
}

#[tokio::test]
async fn a_refusal_without_end_is_still_that_refusal() {
    let host = server(|mut stream| {
        read_request(&mut stream);
        let head = b"HTTP/1.1 403 Forbidden\r\nContent-Type: text/plain\r\n\r\n";
        let _ = stream.write_all(head);
        while stream.write_all(&[b'x'; 8192]).is_ok() {}
    });
    // The ping's answer is refused too, and does not count as an answer.
    let fault = ask(&host).await;
    assert!(
        matches!(
            fault,
            RegistryFault::Denied { status: 403, .. } | RegistryFault::Protocol { .. }
        ),
        "{fault}"
    );
}

#[tokio::test]
async fn a_manifest_that_drips_runs_out_of_time() {
    let registry = TestRegistry::start();
    registry.put("a", "1", &images::image(1, "amd64", &[10]));
    registry.script().on(
        When::is("GET", "/manifests/"),
        Fault::Slow(1, Duration::from_millis(100)),
    );
    let client = Client::new();
    let began = Instant::now();
    let error = client
        .registries
        .manifest(&client.cx, &tagged(&registry, "a", "1"))
        .await
        .unwrap_err();
    assert!(
        matches!(error.fault, RegistryFault::TimedOut { .. }),
        "{error}"
    );
    assert!(began.elapsed() < Duration::from_secs(8));
}

#[tokio::test]
async fn a_blob_that_drips_is_dead_and_a_slow_one_is_not() {
    let image = images::image(1, "amd64", &[200_000]);
    let layer = castoff::oci::Digest::of(&image.blobs[0]);
    for (size, pause, arrives) in [(20_000, 200, true), (10, 20, false)] {
        let (source, target) = (TestRegistry::start(), TestRegistry::start());
        source.put("a", "1", &image);
        source.script().on(
            When::is("GET", layer.as_str()),
            Fault::Slow(size, Duration::from_millis(pause)),
        );
        let client = Client::new();
        let copied = client
            .registries
            .copy(
                &client.cx,
                &repository(&source, "a"),
                image.manifest.digest(),
                &repository(&target, "a"),
            )
            .await;
        assert_eq!(copied.is_ok(), arrives, "{copied:?}");
    }
}

#[tokio::test]
async fn compressed_answers_are_not_unpacked() {
    let registry = TestRegistry::start();
    let bomb = Canned::error(200, "", "").with("Content-Encoding", "gzip");
    registry
        .script()
        .on(When::is("GET", "/manifests/"), Fault::Answer(bomb));
    let client = Client::new();
    let error = client
        .registries
        .manifest(&client.cx, &tagged(&registry, "a", "1"))
        .await
        .unwrap_err();
    assert!(error.to_string().contains("compressed"), "{error}");
}

#[tokio::test]
async fn redirects_end() {
    let registry = TestRegistry::start();
    registry.script().on(
        When::is("GET", "/manifests/"),
        Fault::redirect(307, "/v2/a/manifests/1"),
    );
    let client = Client::new();
    let error = client
        .registries
        .manifest(&client.cx, &tagged(&registry, "a", "1"))
        .await
        .unwrap_err();
    assert!(
        error.to_string().contains("more than 10 redirects"),
        "{error}"
    );
    assert_eq!(registry.script().count("GET", "/manifests/1"), 11);
}

#[tokio::test]
async fn a_write_is_not_sent_on_to_another_host() {
    let (registry, other) = (TestRegistry::start(), TestRegistry::start());
    registry.set(|settings| settings.strict = false);
    registry.script().on(
        When::is("PUT", "/manifests/"),
        Fault::redirect(307, &format!("http://{}/v2/a/manifests/1", other.host())),
    );
    let client = Client::new();
    let image = images::image(1, "amd64", &[]);
    let error = client
        .registries
        .put_manifest(
            &client.cx,
            &repository(&registry, "a"),
            castoff::execute::ports::WriteTarget::Digest,
            &image.manifest,
        )
        .await
        .unwrap_err();
    assert!(
        error.to_string().contains("sent on to another host"),
        "{error}"
    );
    assert!(other.script().log().is_empty());
}

#[tokio::test]
async fn locations_of_uploads_are_looked_at() {
    let registry = TestRegistry::start();
    let client = Client::new();
    for location in [
        "file:///etc/passwd",
        "http://[::1",
        "https://169.254.169.254/x",
    ] {
        registry.script().clear();
        registry.script().on(
            When::is("POST", "/blobs/uploads/"),
            Fault::redirect(202, location),
        );
        let error = client
            .registries
            .put_blob(&client.cx, &repository(&registry, "a"), b"x")
            .await
            .unwrap_err();
        assert!(
            matches!(error.fault, RegistryFault::Protocol { .. }),
            "{error}"
        );
    }
}

#[tokio::test]
async fn a_registry_that_is_not_there_is_told_of_soon() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let host = listener.local_addr().unwrap().to_string();
    drop(listener);
    let fault = ask(&host).await;
    let shown = fault.to_string();
    assert!(
        shown.starts_with(&format!("cannot reach {host}: Connection refused")),
        "{shown}"
    );
    let fault = ask("castoff-no-such-host.invalid").await;
    assert!(
        matches!(fault, RegistryFault::Unreachable { .. }),
        "{fault}"
    );
    let fault = ask("127.0.0.1:99999").await;
    assert!(fault.to_string().contains("invalid port number"), "{fault}");
}

#[tokio::test]
async fn fifty_requests_to_a_silent_registry_wait_together() {
    let host = server(|stream| {
        std::thread::sleep(Duration::from_secs(30));
        drop(stream);
    });
    let mut options = options();
    options.patience.attempts = 1;
    let client = Client::with(options);
    let reference = format!("{host}/a:1").parse().unwrap();
    let began = Instant::now();
    let asking = (0..50).map(|_| client.registries.resolve(&client.cx, &reference));
    for answer in futures_util::future::join_all(asking).await {
        let fault = answer.unwrap_err().fault;
        assert!(matches!(fault, RegistryFault::TimedOut { .. }), "{fault}");
    }
    assert!(began.elapsed() < Duration::from_secs(3));
}

#[tokio::test]
async fn cancelling_ends_every_wait() {
    let image = images::image(1, "amd64", &[500_000]);
    let layer = castoff::oci::Digest::of(&image.blobs[0]).to_string();
    for (when, fault) in [
        (When::is("GET", "/v2/"), Fault::Hang),
        (When::is("GET", &layer), Fault::Hang),
        (When::is("PUT", "/blobs/uploads/"), Fault::HangAfter),
        (When::is("PUT", "/blobs/uploads/"), Fault::too_many(60)),
        (
            When::is("GET", &layer),
            Fault::Slow(1000, Duration::from_millis(20)),
        ),
    ] {
        let (source, target) = (TestRegistry::start(), TestRegistry::start());
        source.put("a", "1", &image);
        for registry in [&source, &target] {
            registry.script().on(when.clone(), fault.clone());
        }
        let mut options = castoff::registry::RegistryOptions::default();
        options.patience.total = Duration::from_mins(5);
        let client = Client::with(options);
        let (from, to) = (repository(&source, "a"), repository(&target, "a"));
        let cancel = client.cx.cancel.clone();
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(300)).await;
            cancel.cancel();
        });
        let began = Instant::now();
        let error = client
            .registries
            .copy(&client.cx, &from, image.manifest.digest(), &to)
            .await
            .unwrap_err();
        assert!(matches!(error.fault, RegistryFault::Cancelled), "{error}");
        assert!(
            began.elapsed() < Duration::from_millis(600),
            "{when:?} {fault:?}: {:?}",
            began.elapsed()
        );
    }
}

#[tokio::test]
async fn an_upload_that_nobody_takes_is_given_up() {
    // Reads the head of a PUT and then nothing more.
    let host = server(|mut stream| {
        loop {
            let mut head = Vec::new();
            let mut byte = [0];
            while !head.ends_with(b"\r\n\r\n") {
                if stream.read(&mut byte).unwrap_or(0) == 0 {
                    return;
                }
                head.push(byte[0]);
            }
            let head = String::from_utf8_lossy(&head).into_owned();
            let answer = match head.split(' ').next() {
                Some("GET") => "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
                Some("HEAD") => "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
                Some("POST") => {
                    "HTTP/1.1 202 Accepted\r\nLocation: /v2/a/blobs/uploads/1\r\nContent-Length: 0\r\n\r\n"
                }
                _ => {
                    std::thread::sleep(Duration::from_secs(30));
                    return;
                }
            };
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    let mut options = options();
    options.patience.attempts = 2;
    let client = Client::with(options);
    let bytes = images::noise(1, 20_000_000);
    let began = Instant::now();
    let error = client
        .registries
        .put_blob(&client.cx, &format!("{host}/a").parse().unwrap(), &bytes)
        .await
        .unwrap_err();
    assert!(
        matches!(error.fault, RegistryFault::TimedOut { .. }),
        "{error}"
    );
    assert!(began.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn a_registry_cannot_make_an_upload_go_on_for_ever() {
    // It takes a few bytes of each attempt and breaks off.
    let registry = TestRegistry::with(Settings::default());
    registry
        .script()
        .on(When::is("PUT", "/blobs/uploads/"), Fault::ResetWithin(1000));
    registry.script().on(
        When::is("PATCH", "/blobs/uploads/"),
        Fault::ResetWithin(1000),
    );
    let client = Client::new();
    let bytes = images::noise(1, 1_000_000);
    let error = client
        .registries
        .put_blob(&client.cx, &repository(&registry, "a"), &bytes)
        .await
        .unwrap_err();
    assert!(matches!(error.fault, RegistryFault::Lost { .. }), "{error}");
    assert!(registry.script().log().len() < 40);
}
