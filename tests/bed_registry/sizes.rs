//! How much memory a large layer takes, and how long many small questions do.

use std::time::Instant;

use castoff::execute::ports::Registry as _;
use castoff::oci::Digest;

use super::support::images;
use super::{Client, Others, own, tagged};

/// The most memory that this process has held since `reset`, in bytes.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    let kilobytes = line.unwrap().split_whitespace().nth(1).unwrap();
    kilobytes.parse::<u64>().unwrap() * 1024
}

/// Forgets the peak (proc(5), `clear_refs`).
fn reset() {
    std::fs::write("/proc/self/clear_refs", "5").unwrap();
}

#[tokio::test]
async fn a_large_layer_takes_little_memory() {
    // How large, in MB.
    let size: usize = std::env::var("CASTOFF_LAYER_MB").map_or(100, |size| size.parse().unwrap());
    let client = Client::new();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("layer");
    let mut written = std::fs::File::create(&file).unwrap();
    let seed = images::fresh();
    for part in 0..size {
        let part = images::noise(seed + part as u64, 1_000_000);
        std::io::Write::write_all(&mut written, &part).unwrap();
    }
    let source = own("BED_REGISTRY");
    let reference = tagged(&source, "large").to_string();
    let push = [
        "push",
        "--plain-http",
        "--disable-path-validation",
        &reference,
        &format!("{}:application/octet-stream", file.display()),
    ];
    Others::new().run("oras", &push);
    let large = tagged(&source, "large");
    let found = client.registries.resolve(&client.cx, &large);
    let digest: Digest = found.await.unwrap().unwrap().digest;
    for target in ["BED_REGISTRY", "BED_TLS", "BED_REGISTRY_CRANE"] {
        // Another client each time, so that nothing is mounted from what the last one knows.
        let client = Client::new();
        let target = own(target);
        let from = if target.domain() == source.domain() {
            super::behind("BED_FAULT_503", &source)
        } else {
            source.clone()
        };
        reset();
        let (base, began) = (peak(), Instant::now());
        let copied = client.registries.copy(&client.cx, &from, &digest, &target);
        let copied = copied.await.unwrap();
        let grown = peak().saturating_sub(base) / 1_000_000;
        println!(
            "{size} MB to {}: {:.2} s, {grown} MB over {} MB",
            target.domain(),
            began.elapsed().as_secs_f64(),
            base / 1_000_000
        );
        assert!(copied.sent >= size as u64 * 1_000_000);
        assert!(grown < 40, "{grown} MB");
    }
}

#[tokio::test]
async fn fifty_tags_are_looked_up_at_once() {
    let client = Client::new();
    let repository = own("BED_REGISTRY");
    let tree = images::tree(images::fresh(), 1000);
    client.push(&repository, "v0", &tree).await;
    for number in 1..50 {
        client.tag(&repository, &format!("v{number}"), &tree).await;
    }
    for host in ["BED_REGISTRY", "BED_TLS"] {
        let client = Client::new();
        let repository = super::behind(host, &repository);
        for round in ["first", "again"] {
            let began = Instant::now();
            let references: Vec<_> = (0..50)
                .map(|number| tagged(&repository, &format!("v{number}")))
                .collect();
            let asking = references
                .iter()
                .map(|reference| client.registries.resolve(&client.cx, reference));
            for found in futures_util::future::join_all(asking).await {
                assert!(found.unwrap().is_some());
            }
            println!("50 HEAD at {host}, {round}: {:?}", began.elapsed());
        }
    }
    let (from, to) = (repository.clone(), own("BED_REGISTRY_CRANE"));
    for round in ["first", "again", "again"] {
        let began = Instant::now();
        let copied = client
            .registries
            .copy(&client.cx, &from, tree.index.digest(), &to);
        let copied = copied.await.unwrap();
        println!("copy, {round}: {:?}, {copied:?}", began.elapsed());
    }
}
