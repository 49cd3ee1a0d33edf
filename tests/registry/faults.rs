//! One fault at every request of a small publish between two registries: what is temporary is
//! got over, and whatever happens no tag points to something that is not whole.

use std::sync::Arc;
use std::time::Duration;

use castoff::execute::ports::{Registry as _, RegistryError, WriteTarget};
use futures_util::{StreamExt as _, stream};

use super::support::images::{self, Tree};
use super::support::registry::{Canned, Fault, Script, Settings, TestRegistry, When};
use super::{Client, repository};

/// Copies an image to another registry, tags it there, and reads it back: whether it is there.
async fn publish(
    client: &Client,
    source: &TestRegistry,
    target: &TestRegistry,
    tree: &Tree,
) -> Result<bool, RegistryError> {
    let (registries, cx) = (&client.registries, &client.cx);
    let (from, to) = (repository(source, "a"), repository(target, "b"));
    registries.check_write(cx, &to).await?;
    registries.copy(cx, &from, tree.index.digest(), &to).await?;
    let tag = "1.0".parse().unwrap();
    registries
        .put_manifest(cx, &to, WriteTarget::Tag(&tag), &tree.index)
        .await?;
    let found = registries.resolve(cx, &to.with_tag(tag)).await?;
    Ok(found.is_some_and(|found| found.digest == *tree.index.digest()))
}

fn registries(
    settings: &Settings,
    script: &Arc<Script>,
    tree: &Tree,
) -> (TestRegistry, TestRegistry) {
    let source = TestRegistry::scripted(Settings::default(), Arc::clone(script));
    let target = TestRegistry::scripted(settings.clone(), Arc::clone(script));
    source.put_tree("a", "1", tree);
    (source, target)
}

/// One publish with one fault: whether it succeeded.
async fn attempt(
    settings: &Settings,
    tree: &Tree,
    index: usize,
    fault: &Fault,
    must_succeed: bool,
) -> bool {
    let script = Script::new();
    script.on(When::request(index), fault.clone());
    let (source, target) = registries(settings, &script, tree);
    let client = Client::new();
    let published = publish(&client, &source, &target, tree);
    let published = tokio::time::timeout(Duration::from_secs(20), published).await;
    let published = published.unwrap_or_else(|_| panic!("{fault:?} at {index} does not end"));
    let seen = script.log()[index - 1].line();
    let is_right = matches!(published, Ok(true));
    assert!(
        is_right || !must_succeed,
        "{fault:?} at {index}, {seen}: {published:?}"
    );
    for name in target.tags().keys() {
        assert!(target.is_whole("b", name.trim_start_matches("b:")));
    }
    let is_tagged = !target.tags().is_empty();
    assert!(is_tagged || !is_right, "{fault:?} at {index}, {seen}");
    is_right
}

#[tokio::test]
async fn at_every_request() {
    let tree = images::small_tree(1, 5_000);
    // With each fault: whether the publish must succeed all the same.
    let faults = [
        (Fault::status(500), true),
        (Fault::status(503), true),
        (Fault::too_many(0), true),
        (Fault::Reset, true),
        (Fault::ResetAfter, true),
        (Fault::ResetWithin(10), true),
        (Fault::Cut(1), true),
        (Fault::AnswerAfter(Canned::error(500, "UNKNOWN", "x")), true),
        (Fault::status(403), false),
        (Fault::status(404), false),
        (Fault::Truncate(5), false),
        (Fault::WrongBody, false),
        (Fault::WrongDigest, false),
        (Fault::NoDigest, true),
        (Fault::redirect(307, "http://127.0.0.1:1/"), false),
    ];
    let (mut tried, mut succeeded) = (0, 0);
    for settings in [Settings::default(), Settings::distribution_2()] {
        let script = Script::new();
        let (source, target) = registries(&settings, &script, &tree);
        let published = publish(&Client::new(), &source, &target, &tree).await;
        assert!(published.unwrap());
        let requests = script.log().len();
        assert!(requests >= 30, "{requests}");
        // The older registry differs where uploads break off.
        let faults = if settings.resumable {
            faults.as_slice()
        } else {
            &faults[3..6]
        };
        for (fault, must_succeed) in faults {
            let attempts: Vec<_> = (1..=requests)
                .map(|index| attempt(&settings, &tree, index, fault, *must_succeed))
                .collect();
            let ended: Vec<bool> = stream::iter(attempts).buffer_unordered(8).collect().await;
            tried += ended.len();
            succeeded += ended.iter().filter(|is_right| **is_right).count();
        }
    }
    println!("{tried} faults: {succeeded} got over, the rest told, none unexplained");
    assert!(tried > 500);
}
