//! What is shown of a run while it goes on: on a terminal, elsewhere, and from its saved events.

use std::process::Command;

use castoff::event::Envelope;
use castoff::report::Plain;

use crate::Shop;

#[test]
fn a_saved_stream_shows_what_the_run_showed() {
    let shop = Shop::of(&["api", "web"]);
    let events = shop.project.join(".home/events");
    let ran = shop
        .castoff(["publish", "--events"])
        .args([&events])
        .run()
        .exits(0);
    let mut plain = Plain::default();
    let mut seq = 0;
    let mut lines = String::new();
    for line in std::fs::read_to_string(events).unwrap().lines() {
        let envelope: Envelope = serde_json::from_str(line).unwrap();
        seq += 1;
        assert_eq!(envelope.seq, seq);
        for line in plain.lines(&envelope) {
            lines.push_str(&line);
            lines.push('\n');
        }
    }
    assert!(seq > 30, "{seq} events");
    assert_eq!(ran.stderr, lines);
}

#[test]
fn progress_as_json_is_the_stream_itself() {
    let shop = Shop::of(&["api"]);
    let events = shop.project.join(".home/events");
    let ran = shop
        .castoff(["publish", "--progress", "json", "--events"])
        .args([&events])
        .run()
        .exits(0);
    assert_eq!(ran.stderr, std::fs::read_to_string(events).unwrap());
}

#[test]
fn quiet_prints_the_result_alone() {
    let shop = Shop::of(&["api"]);
    let ran = shop.castoff(["publish", "-q"]).run().exits(0);
    assert_eq!(ran.stderr, "");
    assert!(ran.stdout.contains("sha256:"));
}

#[test]
fn a_terminal_shows_the_run_in_place_and_is_left_clean() {
    let shop = Shop::of(&["api", "web"]);
    let castoff = shop.castoff(["publish"]);
    let command = castoff.command();
    let program = command.get_program().to_string_lossy().into_owned();
    let environment: Vec<_> = command
        .get_envs()
        .filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned())))
        .collect();
    // A pseudo terminal of 100 columns and 30 rows.
    let inside = format!("stty cols 100 rows 30; {program} publish >/dev/null");
    let output = Command::new("script")
        .args(["-qec", &inside, "/dev/null"])
        .current_dir(shop.project.path())
        .env_clear()
        .envs(environment)
        .env("TERM", "xterm-256color")
        .output()
        .unwrap();
    assert!(output.status.success());
    let shown = String::from_utf8_lossy(&output.stdout);
    assert!(
        shown.contains("▸ api") && shown.contains("▸ web"),
        "{shown}"
    );
    assert!(
        shown.contains("2 of 2 services up") || shown.contains("tags in place"),
        "{shown}"
    );
    // The last picture is taken away: what stays is the cursor where it began.
    let end = shown.rsplit('\n').next().unwrap();
    assert!(!end.contains('▸') && !end.contains('✓'), "{end:?}");
}
