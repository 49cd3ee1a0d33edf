//! A builder that loses the session of a build, and nothing else: it would wait for files for ever.

use std::time::{Duration, Instant};

use crate::harness::Shop;
use crate::support::buildkit::Sessions;

#[test]
fn a_session_that_is_cut_ends_the_build_and_the_next_one_succeeds() {
    for sessions in [Sessions::End, Sessions::Break] {
        let shop = Shop::new();
        shop.builder.have_sessions(sessions);
        let ran = shop.castoff(["publish"]).run().exits(4);
        assert!(ran.took < Duration::from_secs(20), "{:?}", ran.took);
        let lost = "the connection to the builder was lost";
        assert!(ran.stderr.contains(lost), "{sessions:?}: {}", ran.stderr);
        assert!(
            ran.stderr.contains("hint: "),
            "{sessions:?}: {}",
            ran.stderr
        );
        assert!(shop.world().is_empty(), "{sessions:?}");
        // Whoever builds learns that nobody waits any more.
        let begun = Instant::now();
        while shop.builder.waiting() > 0 {
            assert!(begun.elapsed() < Duration::from_secs(5), "{sessions:?}");
            std::thread::sleep(Duration::from_millis(10));
        }
        shop.builder.have_sessions(Sessions::Last);
        shop.castoff(["publish"]).run().exits(0);
        assert_eq!(shop.world(), shop.all(1), "{sessions:?}");
    }
}
