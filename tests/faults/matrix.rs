//! Every request of a publish, failing in every way. After each the world is all new or all old, or
//! the program has said what is where; and then `publish --resume` finishes and `rollback` restores.
//!
//! A run of the tests takes each request with some of the kinds, in a fixed rotation.
//! `CASTOFF_FAULTS=full` takes every request with every kind.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::harness::{Shop, World};
use crate::support::program::{Castoff, Ran};
use crate::support::registry::{Fault, Reach};

/// How many runs of the program are under way at the same time; most of them wait.
const WORKERS: usize = 4;
/// How many kinds each request meets in a run of the tests that is not full.
const KINDS_EACH: usize = 3;

/// What happens to a request.
#[derive(Clone, Debug)]
enum Kind {
    Fails(&'static str, Fault, Reach),
    /// The program is killed, before the request is served or after.
    Killed(&'static str, Fault),
}

impl Kind {
    fn name(&self) -> &'static str {
        match self {
            Self::Fails(name, ..) | Self::Killed(name, _) => name,
        }
    }
}

fn kinds() -> Vec<Kind> {
    use Kind::{Fails, Killed};
    vec![
        Killed("killed before", Fault::Hang),
        Fails("503 once", Fault::status(503), Reach::Once),
        Fails("503 for good", Fault::status(503), Reach::Same),
        Killed("killed after", Fault::HangAfter),
        Fails("429 once", Fault::too_many(0), Reach::Once),
        Fails("429 for long", Fault::too_many(600), Reach::Same),
        Fails("reset once", Fault::Reset, Reach::Once),
        Fails("reset after", Fault::ResetAfter, Reach::Once),
        Fails("reset after, for good", Fault::ResetAfter, Reach::Same),
        Fails("registry gone", Fault::Reset, Reach::Host),
        Fails("timeout once", Fault::Hang, Reach::Once),
        Fails("timeout after", Fault::HangAfter, Reach::Once),
        Fails("403 for good", Fault::status(403), Reach::Same),
        Fails("truncated", Fault::Truncate(1), Reach::Once),
        Fails("cut for good", Fault::Cut(1), Reach::Same),
        Fails("wrong body", Fault::WrongBody, Reach::Once),
        Fails("wrong digest", Fault::WrongDigest, Reach::Once),
        Fails("wrong digest for good", Fault::WrongDigest, Reach::Same),
    ]
}

/// How one point ended.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Ending {
    kind: &'static str,
    exit: String,
    world: &'static str,
}

/// Makes one request of a publish fail. Gives how it ended, or what was wrong.
fn point(shop: &Shop, index: usize, kind: &Kind) -> Result<Ending, String> {
    let publish = shop.publish(2);
    let ran = match kind {
        Kind::Fails(_, fault, reach) => {
            shop.script.on_request(index, fault.clone(), *reach);
            publish.run()
        }
        Kind::Killed(_, fault) => {
            shop.script.on_request(index, fault.clone(), Reach::Once);
            kill(shop, &publish)
        }
    };
    let (old, new) = (shop.all(1), shop.all(2));
    let now = shop.world();
    let after = shop.snapshot();
    shop.script.clear();
    let world = match &now {
        now if *now == old => "old",
        now if *now == new => "new",
        _ => "mixed",
    };
    let shown = |what: &str| format!("{what}\n{}", ran.shown(&[]));
    let wrong = |what: &str| Err(shown(what));
    match (ran.code, world) {
        (Some(0 | 7), "new") | (Some(3..=5 | 130), "old") | (None, _) => {}
        (Some(6), _) => explained(&ran, &now, &old, &new)?,
        _ => return wrong("the exit code does not say what the world looks like"),
    }
    let status = status(shop);
    let interrupted = &status["interrupted"]["tags"];
    let is_open = interrupted.as_array().is_some_and(|tags| !tags.is_empty());
    if world == "mixed" && !is_open {
        return wrong("a mixed world that castoff status knows nothing of");
    }
    if is_open {
        told(interrupted, &now, &old, &new).map_err(|what| shown(&what))?;
    }
    let resumed = patient(shop, &["publish", "--resume"]).run();
    if resumed.code != Some(0) || shop.world() != new {
        return Err(format!(
            "resume did not finish\n{}\nafter\n{}",
            resumed.shown(&[]),
            ran.shown(&[])
        ));
    }
    shop.restore(&after);
    // Where nothing was published and nothing is on its way, a rollback would be one of what was
    // there before.
    if is_open || matches!(ran.code, Some(0 | 7)) {
        let rolled = patient(shop, &["rollback"]).run();
        if rolled.code != Some(0) || shop.world() != old {
            return Err(format!(
                "rollback did not restore\n{}\nafter\n{}",
                rolled.shown(&[]),
                ran.shown(&[])
            ));
        }
    } else if now != old {
        return wrong("nothing can be taken back, and the world has changed");
    }
    Ok(Ending {
        kind: kind.name(),
        exit: ran
            .code
            .map_or("killed".to_owned(), |code| format!("exit {code}")),
        world,
    })
}

/// Starts a run, and kills it as soon as its request is there.
fn kill(shop: &Shop, publish: &Castoff) -> Ran {
    let started = publish.start();
    // The run may have fewer requests than the one before it.
    let until = Instant::now() + Duration::from_secs(10);
    while Instant::now() < until && !shop.script.wait_fired(1, Duration::from_millis(20)) {
        if started.is_over() {
            break;
        }
    }
    if !started.is_over() {
        started.signal("KILL");
    }
    started.wait()
}

/// The program with time enough, and nothing going wrong.
fn patient(shop: &Shop, arguments: &[&str]) -> Castoff {
    shop.turn_to(2);
    shop.project
        .castoff([])
        .args(arguments)
        .args(["--builder", &shop.builder.address()])
        .env("VERSION", "2")
}

fn status(shop: &Shop) -> serde_json::Value {
    patient(shop, &["status", "--format", "json"])
        .run()
        .exits(0)
        .json()
}

/// Fails unless the report of exit 6 names every tag that is neither old nor, if all are, new.
fn explained(ran: &Ran, now: &World, old: &World, new: &World) -> Result<(), String> {
    if now == old || now == new {
        return Ok(());
    }
    for (reference, digest) in now {
        if old.get(reference) != Some(digest) && !ran.stderr.contains(reference.as_str()) {
            return Err(format!(
                "{reference} is not old, and nobody says so\n{}",
                ran.shown(&[])
            ));
        }
    }
    Ok(())
}

/// Fails unless `castoff status` says of every tag where it is.
fn told(tags: &serde_json::Value, now: &World, old: &World, new: &World) -> Result<(), String> {
    for tag in tags.as_array().unwrap() {
        let reference = tag["reference"].as_str().unwrap();
        let at = now.get(reference).map(String::as_str);
        let state = match at {
            at if at == new.get(reference).map(String::as_str) => "moved",
            at if at == old.get(reference).map(String::as_str) => "not moved",
            _ => "elsewhere",
        };
        if tag["now"].as_str() != at || tag["state"] != state {
            return Err(format!("castoff status is wrong about {reference}: {tag}"));
        }
    }
    let known: Vec<&str> = tags
        .as_array()
        .unwrap()
        .iter()
        .map(|tag| tag["reference"].as_str().unwrap())
        .collect();
    for (reference, digest) in now {
        if old.get(reference) != Some(digest) && !known.contains(&reference.as_str()) {
            return Err(format!("castoff status does not know of {reference}"));
        }
    }
    Ok(())
}

/// A shop in which generation 1 is live, and how many requests a publish of generation 2 makes.
fn shop() -> (Shop, crate::harness::Snapshot) {
    let shop = Shop::new();
    shop.publish(1).run().exits(0);
    assert_eq!(shop.world(), shop.all(1));
    let base = shop.snapshot();
    shop.script.clear();
    (shop, base)
}

#[test]
fn no_fault_at_any_request_leaves_the_world_unexplained() {
    let began = Instant::now();
    let (measure, base) = shop();
    measure.publish(2).run().exits(0);
    let requests = measure.script.log().len();
    measure.restore(&base);
    assert!(requests > 100, "{requests} requests");
    drop((measure, base));

    let kinds = kinds();
    let is_full = std::env::var("CASTOFF_FAULTS").is_ok_and(|value| value == "full");
    let each = if is_full { kinds.len() } else { KINDS_EACH };
    let points: Vec<(usize, usize)> = (1..=requests)
        .flat_map(|index| {
            let kinds = kinds.len();
            (0..each).map(move |turn| (index, (index * KINDS_EACH + turn) % kinds))
        })
        .collect();
    let next = AtomicUsize::new(0);
    let endings: Mutex<BTreeMap<Ending, usize>> = Mutex::default();
    let wrong: Mutex<Vec<String>> = Mutex::default();
    std::thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                let (shop, base) = shop();
                while let Some((index, kind)) = points.get(next.fetch_add(1, Ordering::SeqCst)) {
                    let kind = &kinds[*kind];
                    shop.restore(&base);
                    match point(&shop, *index, kind) {
                        Ok(ending) => *endings.lock().unwrap().entry(ending).or_default() += 1,
                        Err(what) => {
                            let line = format!("request {index}, {}: {what}", kind.name());
                            wrong.lock().unwrap().push(line);
                        }
                    }
                }
            });
        }
    });
    let wrong = wrong.into_inner().unwrap();
    println!(
        "{} points: {requests} requests, {} kinds of fault, in {:.0?}",
        points.len(),
        kinds.len(),
        began.elapsed()
    );
    for (ending, count) in endings.into_inner().unwrap() {
        let Ending { kind, exit, world } = ending;
        println!("{count:5}  {kind:<22} {exit:<7} {world}");
    }
    let shown: Vec<&String> = wrong.iter().take(5).collect();
    assert!(
        wrong.is_empty(),
        "{} of {} points went wrong, the first of them:\n{}",
        wrong.len(),
        points.len(),
        shown
            .iter()
            .map(|text| text.as_str())
            .collect::<Vec<_>>()
            .join("\n\n")
    );
}
