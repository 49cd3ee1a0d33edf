//! The publish protocol under every fault: the program against registries and a builder of this
//! process, with each of its requests failing in each way, or the program dying at it.
#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    unreachable_pub,
    reason = "a test fails by panicking"
)]

mod elsewhere;
mod harness;
mod matrix;
mod order;
mod recovery;
mod resume;
mod session;
mod split;
#[path = "../support/mod.rs"]
mod support;

use std::time::Duration;

use harness::Shop;

#[test]
fn a_whole_publish_takes_less_than_a_second_here() {
    let shop = Shop::new();
    let ran = shop.castoff(["publish"]).run().exits(0);
    assert_eq!(shop.world(), shop.all(1), "{}", ran.stderr);
    assert!(ran.took < Duration::from_secs(1), "{:?}", ran.took);
}
