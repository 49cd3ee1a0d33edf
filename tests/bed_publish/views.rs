//! What is shown of a run while it goes on: on a terminal, elsewhere, and from its saved events.

use std::process::Command;

use castoff::event::Envelope;
use castoff::report::{Plain, Run, check_problems};

use crate::Shop;
use crate::support::bed::Bed;
use crate::support::program::Castoff;

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
    let mut told = Run::default();
    let mut seq = 0;
    let mut lines = String::new();
    for line in std::fs::read_to_string(events).unwrap().lines() {
        let envelope: Envelope = serde_json::from_str(line).unwrap();
        seq += 1;
        assert_eq!(envelope.seq, seq);
        told.apply(&envelope);
        for line in plain.lines(&envelope) {
            lines.push_str(&line);
            lines.push('\n');
        }
    }
    assert!(seq > 30, "{seq} events");
    for problem in check_problems(&told) {
        lines.push_str(&problem.render(false, shop.project.path()));
    }
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

/// Runs castoff on a terminal of 80 × 24 cells, with more variables, and gives what it wrote there.
/// `meanwhile` is run in the same terminal.
fn on_a_terminal(castoff: &Castoff, more: &[(&str, &str)], meanwhile: &str) -> String {
    let command = castoff.command();
    let mut words = vec![command.get_program().to_string_lossy().into_owned()];
    words.extend(
        command
            .get_args()
            .map(|word| word.to_string_lossy().into_owned()),
    );
    let environment: Vec<_> = command
        .get_envs()
        .filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned())))
        .collect();
    let folder = command.get_current_dir().unwrap().to_owned();
    let run = words.join(" ");
    let inside = format!("stty cols 80 rows 24; ({meanwhile}) & {run} >/dev/null");
    let output = Command::new("script")
        .args(["-qec", &inside, "/dev/null"])
        .current_dir(folder)
        .env_clear()
        .envs(environment)
        .env("TERM", "xterm-256color")
        .envs(more.iter().copied())
        .output()
        .unwrap();
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{shown}");
    shown
}

/// The pictures that were drawn, each as its lines without colours.
fn pictures(shown: &str) -> Vec<Vec<String>> {
    let drawn = shown.split("\u{1b}[?7l").skip(1);
    let pictures = drawn.map(|rest| {
        let picture = rest.split("\u{1b}[?7h").next().unwrap();
        let lines = picture.split("\u{1b}[K\r\n").map(console::strip_ansi_codes);
        let mut lines: Vec<String> = lines.map(std::borrow::Cow::into_owned).collect();
        lines.pop();
        lines
    });
    pictures.collect()
}

#[test]
fn a_terminal_shows_the_run_in_place_and_is_left_clean() {
    let names: Vec<String> = (1..=20).map(|number| format!("s{number:02}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let shop = Shop::of(&names);
    for name in &names {
        let steps = "COPY file /file\nRUN for i in 1 2 3 4; do echo $i; sleep 0.5; done\n";
        let text = format!("FROM {}\n{steps}", Bed::base());
        std::fs::write(shop.project.join(&format!("{name}/Dockerfile")), text).unwrap();
    }
    let castoff = shop.castoff(["publish", "--color", "always"]);
    let begin = std::time::Instant::now();
    // The terminal becomes smaller while castoff runs.
    let shown = on_a_terminal(&castoff, &[], "sleep 2; stty cols 40 rows 10 </dev/tty");
    let took = begin.elapsed().as_secs_f64();
    let pictures = pictures(&shown);
    let count = f64::from(u32::try_from(pictures.len()).unwrap());
    assert!(count / took < 12.0, "{count} pictures in {took} seconds");
    assert!(
        pictures.iter().any(|picture| picture.len() == 21),
        "{shown}"
    );
    assert!(pictures.iter().all(|picture| picture.len() < 24), "{shown}");
    let last = pictures
        .iter()
        .rev()
        .find(|picture| !picture.is_empty())
        .unwrap();
    assert!(last.len() < 10, "{last:?}");
    for line in last {
        assert!(console::measure_text_width(line) < 40, "{line}");
    }
    // The last picture is taken away: nothing is left below it.
    assert!(pictures.last().unwrap().is_empty());
    assert!(shown.ends_with("\u{1b}[?7h\u{1b}[J"), "{shown:?}");
}

#[test]
fn what_cannot_draw_gets_lines() {
    for (name, value) in [("TERM", "dumb"), ("CI", "true")] {
        let shop = Shop::of(&["api"]);
        let shown = on_a_terminal(&shop.castoff(["publish"]), &[(name, value)], "true");
        assert!(!shown.contains('\u{1b}') || name == "CI", "{shown:?}");
        assert!(pictures(&shown).is_empty(), "{shown:?}");
        assert!(shown.contains("building with"), "{shown}");
    }
    let shop = Shop::of(&["api"]);
    let shown = on_a_terminal(&shop.castoff(["publish"]), &[("NO_COLOR", "1")], "true");
    assert!(!pictures(&shown).is_empty());
    // No colours: what is left of the sequences moves the cursor or clears.
    let colours = shown.match_indices("\u{1b}[").filter(|(at, _)| {
        shown[*at..]
            .split(char::is_alphabetic)
            .next()
            .is_some_and(|head| shown[at + head.len()..].starts_with('m'))
    });
    assert_eq!(colours.count(), 0, "{shown:?}");
    // Where there is no terminal at all, a picture that is asked for is lines, too.
    let ran = shop
        .castoff(["publish", "--progress", "live"])
        .run()
        .exits(0);
    assert!(!ran.stderr.contains('\u{1b}'), "{}", ran.stderr);
}

#[test]
fn a_report_of_saved_events_is_what_the_run_ended_with() {
    let shop = Shop::of(&["api", "web"]);
    let events = shop.project.join(".home/events");
    let ran = shop
        .castoff(["publish", "--events"])
        .args([&events])
        .run()
        .exits(0);
    let report = shop.castoff(["report"]).args([&events]).run().exits(0);
    // The run measures its times itself, the report from event to event.
    let without_times = |text: &str| -> Vec<Vec<String>> {
        let words = |line: &str| {
            line.split("  ")
                .map(str::trim)
                .filter(|word| !word.is_empty())
                .map(str::to_owned)
                .collect()
        };
        let mut rows: Vec<Vec<String>> = text.lines().map(words).collect();
        for row in &mut rows {
            assert_eq!(row.len(), 5, "{text}");
            row.remove(3);
        }
        rows
    };
    assert_eq!(without_times(&report.stdout), without_times(&ran.stdout));
    // What it says besides is what the run said at its end.
    assert!(ran.stderr.ends_with(&report.stderr), "{}", report.stderr);
    assert!(report.stderr.contains("warning: "), "{}", report.stderr);
}
