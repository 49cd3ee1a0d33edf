//! Engines that die and come back while castoff works with them.

use std::time::{Duration, Instant};

use crate::Shop;
use crate::cancel::{runs, wait_until};
use crate::support::bed::Bed;
use crate::support::own_bed::OwnBed;
use crate::support::program::Castoff;

/// The longest that castoff may take to notice.
const LIMIT: Duration = Duration::from_secs(20);

fn publish(shop: &Shop, host: &str) -> Castoff {
    shop.castoff(["publish"]).env("DOCKER_HOST", host)
}

/// Nobody sees anything of the release.
#[track_caller]
fn nothing_is_tagged(shop: &Shop) {
    for host in [Bed::registry(), Bed::other_registry()] {
        let tags = shop.tags(&host, &["api", "web"]);
        assert!(tags.iter().all(Vec::is_empty), "{host}: {tags:?}");
    }
}

#[test]
fn an_engine_that_is_restarted_in_the_middle_of_a_build_fails_that_publish_and_no_other() {
    let bed = OwnBed::up();
    for (engine, signal) in [
        ("engine", "KILL"),
        ("engine", "TERM"),
        ("classic", "KILL"),
        ("classic", "TERM"),
    ] {
        let host = bed.host(engine);
        let shop = Shop::of(&["api", "web"]);
        // A text that no other process has in its command line.
        let nap = format!("sleep 3{}", std::process::id());
        let dockerfile = "ARG BASE\nFROM $BASE\nCOPY file /file\n";
        shop.project
            .write("web/Dockerfile", &format!("{dockerfile}RUN {nap}\n"));
        let started = publish(&shop, &host).start();
        wait_until("the step runs", Duration::from_mins(1), || runs(&nap));
        bed.signal(engine, signal);
        let begun = Instant::now();
        let ran = started.wait();
        let (took, what) = (begun.elapsed(), format!("{engine}, {signal}"));
        assert!(took < LIMIT, "{what}: {took:?}");
        assert_eq!(ran.code, Some(4), "{what}: {}", ran.stderr);
        let lost = "the connection to the builder was lost";
        assert!(ran.stderr.contains(lost), "{what}: {}", ran.stderr);
        assert!(ran.stderr.contains("hint: "), "{what}: {}", ran.stderr);
        nothing_is_tagged(&shop);
        // As long as it is gone, that is said as soon.
        let begun = Instant::now();
        let ran = publish(&shop, &host).run();
        if ran.code != Some(3) {
            // It was on its way down, and took the build first.
            assert_eq!(ran.code, Some(4), "{what}: {}", ran.stderr);
        }
        assert!(begun.elapsed() < LIMIT, "{what}: {:?}", begun.elapsed());
        nothing_is_tagged(&shop);
        bed.again();
        assert!(!runs(&nap), "{what}: the step is gone");
        shop.project.write("web/Dockerfile", dockerfile);
        publish(&shop, &host).run().exits(0);
        for registry in [Bed::registry(), Bed::other_registry()] {
            for service in ["api", "web"] {
                assert!(shop.latest(&registry, service).is_some(), "{what}");
            }
        }
        // What a dead Engine kept of the first run went with that of the second.
        let left = Bed::output("docker", &["-H", &host, "images", "-q"]);
        assert_eq!(left, "", "{what}");
    }
}
