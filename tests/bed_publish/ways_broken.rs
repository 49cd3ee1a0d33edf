//! Ways to a builder that do not lead there, and those that break while a build is under way: what
//! is said, and how soon.

use std::time::Duration;

use crate::Shop;
use crate::cancel::{pids, runs, wait_until};
use crate::support::bed::Bed;
use crate::support::forward::{Behind, Door};
use crate::support::program::{Castoff, Started};
use crate::ways::{docker, program, publish};

/// A shop whose build is in the middle of a long step, over the way that `castoff` takes.
fn in_the_middle(castoff: impl FnOnce(&Shop) -> Castoff) -> (Shop, String, Started) {
    let shop = Shop::of(&["web"]);
    let nap = format!("sleep 9{}", std::process::id());
    shop.project.write(
        "web/Dockerfile",
        &format!("ARG BASE\nFROM $BASE\nCOPY file /file\nRUN {nap}\n"),
    );
    let started = castoff(&shop).start();
    wait_until("the step runs", Duration::from_mins(1), || runs(&nap));
    (shop, nap, started)
}

/// A publish with a builder of buildx's that leads through `door`, of a name that is its own.
fn farm(shop: &Shop, door: &Door) -> Castoff {
    let name = format!("farm-{}", shop.prefix);
    let castoff = publish(shop, &["--builder", &name]);
    let create = ["buildx", "create", "--name", &name, "--driver", "remote"];
    docker(shop, &[&create[..], &[&door.address]].concat());
    castoff
}

/// The run fails as one whose builder was lost, soon, and nothing is tagged or left behind.
fn is_lost(shop: &Shop, nap: &str, started: Started, within: Duration, says: &str) {
    let begun = std::time::Instant::now();
    let ran = started.wait();
    assert!(begun.elapsed() < within, "{:?}", begun.elapsed());
    assert_ne!(ran.code, Some(0));
    let lost = "the connection to the builder was lost";
    assert!(ran.stderr.contains(lost), "{}", ran.stderr);
    assert!(ran.stderr.contains(says), "{}", ran.stderr);
    wait_until("the step is gone", Duration::from_secs(20), || !runs(nap));
    assert_eq!(shop.latest(&Bed::registry(), "web"), None);
}

#[test]
fn a_connection_that_is_cut_ends_the_run_at_once() {
    for behind in [Behind::Engine, Behind::BuildKit] {
        let door = Door::tcp(behind);
        let (shop, nap, started) = in_the_middle(|shop| match behind {
            Behind::Engine => publish(shop, &[]).env("DOCKER_HOST", &door.address),
            Behind::BuildKit => publish(shop, &["--builder", &door.address]),
        });
        door.cut();
        is_lost(&shop, &nap, started, Duration::from_secs(5), "");
    }
}

#[test]
fn a_connection_that_falls_silent_is_noticed() {
    let door = Door::tcp(Behind::Engine);
    let (_shop, _, started) =
        in_the_middle(|shop| publish(shop, &[]).env("DOCKER_HOST", &door.address));
    door.freeze();
    let begun = std::time::Instant::now();
    let ran = started.wait();
    assert!(
        begun.elapsed() < Duration::from_secs(22),
        "{:?}",
        begun.elapsed()
    );
    assert_ne!(ran.code, Some(0));
    assert!(ran.stderr.contains("was lost"), "{}", ran.stderr);
    // The other half notices nothing by itself; it does when the connection goes.
    door.cut();
}

#[test]
fn a_program_on_the_way_that_dies_is_quoted() {
    let script =
        "trap 'echo \"Connection to far closed by remote host.\" >&2; kill -KILL $child; exit 255' TERM
while [ \"$1\" != -- ]; do shift; done
shift 2
echo $$ > \"$SSH_PID\"
exec 3<&0
DOCKER_HOST=$FAR_ENGINE sh -c \"exec $*\" <&3 &
child=$!
wait $child";
    let mut pid_file = std::path::PathBuf::new();
    let (shop, nap, started) = in_the_middle(|shop| {
        let path = program(shop, "ssh", script);
        pid_file = shop.project.join(".home/pid");
        publish(shop, &[])
            .env("PATH", path)
            .env("SSH_PID", pid_file.display().to_string())
            .env("FAR_ENGINE", Bed::var("DOCKER_HOST"))
            .env("DOCKER_HOST", "ssh://far")
    });
    let pid = std::fs::read_to_string(pid_file).unwrap();
    Bed::output("kill", &["-TERM", pid.trim()]);
    is_lost(
        &shop,
        &nap,
        started,
        Duration::from_secs(5),
        "ssh: Connection to far closed by remote host.",
    );
}

#[test]
fn a_builder_of_buildx_whose_way_dies_is_lost_with_its_last_words() {
    let door = Door::socket(Behind::BuildKit);
    let (shop, nap, started) = in_the_middle(|shop| farm(shop, &door));
    // The plugin, which carries the stream, and docker itself, which started it.
    for pid in pids(&format!("dial-stdio --builder farm-{}", shop.prefix)) {
        Bed::output("kill", &["-KILL", &pid.to_string()]);
    }
    let says = "docker ended with signal: 9";
    is_lost(&shop, &nap, started, Duration::from_secs(5), says);
}

#[test]
fn a_client_that_is_killed_leaves_no_build_behind_a_program() {
    let door = Door::socket(Behind::BuildKit);
    let (shop, nap, started) = in_the_middle(|shop| farm(shop, &door));
    let dial = &format!("dial-stdio --builder farm-{}", shop.prefix);
    assert!(runs(dial));
    started.signal("KILL");
    wait_until("the step is gone", Duration::from_secs(10), || !runs(&nap));
    wait_until("buildx is gone", Duration::from_secs(10), || !runs(dial));
    started.wait();
}
