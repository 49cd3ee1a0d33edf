//! Ctrl-C: the build ends on the server, no tag has moved, and the exit code says so.

use std::time::{Duration, Instant};

use crate::Shop;
use crate::support::bed::Bed;

/// The processes with this text in their command lines, in a build or anywhere.
pub(crate) fn pids(text: &str) -> Vec<u32> {
    std::fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            let pid: u32 = path.file_name()?.to_str()?.parse().ok()?;
            let line = std::fs::read(path.join("cmdline")).ok()?;
            // The step's own command; the client has it in no argument.
            let has_it = String::from_utf8_lossy(&line)
                .replace('\0', " ")
                .contains(text);
            (has_it && pid != std::process::id()).then_some(pid)
        })
        .collect()
}

/// Whether there is one.
pub(crate) fn runs(text: &str) -> bool {
    !pids(text).is_empty()
}

pub(crate) fn wait_until(what: &str, limit: Duration, mut is_so: impl FnMut() -> bool) -> Duration {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < limit, "{what}: not within {limit:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
    begun.elapsed()
}

#[test]
fn ctrl_c_in_the_middle_of_a_build_ends_it_on_the_server() {
    for (signal, code) in [("INT", 130), ("TERM", 143)] {
        let shop = Shop::of(&["api", "web"]);
        let nap = format!("sleep 7{}", std::process::id());
        shop.project.write(
            "web/Dockerfile",
            &format!("ARG BASE\nFROM $BASE\nCOPY file /file\nRUN {nap}\n"),
        );
        let started = shop.castoff(["publish", "--format", "json"]).start();
        wait_until("the step runs", Duration::from_mins(1), || runs(&nap));
        started.signal(signal);
        let ended = wait_until("the step is gone", Duration::from_secs(10), || !runs(&nap));
        assert!(ended < Duration::from_secs(2), "ended after {ended:?}");
        let ran = started.wait().exits(code);
        assert_eq!(ran.json()["exit"], code);
        for host in [Bed::registry(), Bed::other_registry()] {
            let tags = shop.tags(&host, &["api", "web"]);
            assert!(tags.iter().all(Vec::is_empty), "{tags:?}");
        }
    }
}

#[test]
fn a_client_that_is_killed_leaves_no_build_behind() {
    let shop = Shop::of(&["web"]);
    let nap = format!("sleep 8{}", std::process::id());
    shop.project.write(
        "web/Dockerfile",
        &format!("ARG BASE\nFROM $BASE\nCOPY file /file\nRUN {nap}\n"),
    );
    let started = shop.castoff(["publish"]).start();
    wait_until("the step runs", Duration::from_mins(1), || runs(&nap));
    started.signal("KILL");
    wait_until("the step is gone", Duration::from_secs(5), || !runs(&nap));
    started.wait();
}
