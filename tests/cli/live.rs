//! The live view, as a picture of a run.

use castoff::event::{Envelope, Event, PlannedTarget, StepOutcome};
use castoff::oci::Digest;
use castoff::report::{Run, frame};

/// A run as it is told.
struct Telling {
    run: Run,
    begin: jiff::Timestamp,
    seq: u64,
}

impl Telling {
    /// Tells an event, so many seconds after the begin.
    fn tell(&mut self, after: i64, event: Event) {
        self.seq += 1;
        self.run.apply(&Envelope {
            v: 1,
            seq: self.seq,
            at: self.begin + jiff::SignedDuration::from_secs(after),
            event,
        });
    }

    /// Two steps of a service that were cached, and one that runs.
    fn begun(&mut self, service: &str) {
        let service = || service.to_owned();
        self.tell(
            1,
            Event::BuildStarted {
                service: service(),
                builder: "engine".to_owned(),
            },
        );
        let steps = [
            ("1", "[1/3] FROM base"),
            ("2", "[2/3] COPY . /app"),
            ("3", "[3/3] RUN make"),
        ];
        for (step, name) in steps {
            self.tell(
                2,
                Event::StepStarted {
                    service: service(),
                    step: step.to_owned(),
                    name: name.to_owned(),
                    platform: Some("linux/arm64".parse().unwrap()),
                },
            );
            if step != "3" {
                self.tell(
                    3,
                    Event::StepFinished {
                        service: service(),
                        step: step.to_owned(),
                        outcome: StepOutcome::Cached,
                        seconds: 0.1,
                    },
                );
            }
        }
    }

    /// A service is built, and in both repositories.
    fn uploaded(&mut self, service: &str) {
        let service = || service.to_owned();
        self.tell(
            4,
            Event::StepFinished {
                service: service(),
                step: "3".to_owned(),
                outcome: StepOutcome::Ran,
                seconds: 1.0,
            },
        );
        self.tell(
            5,
            Event::BuildFinished {
                service: service(),
                digest: Some(Digest::of(b"x")),
                files_sent: 0,
                bytes_sent: 0,
                seconds: 4.2,
                steps: 3,
                cached: 2,
            },
        );
        for repository in REPOSITORIES {
            self.tell(
                6,
                Event::Uploaded {
                    service: service(),
                    repository: repository.parse().unwrap(),
                    digest: Digest::of(b"x"),
                    size: 12_345_678,
                },
            );
        }
    }
}

const REPOSITORIES: [&str; 2] = ["ghcr.io/acme/x", "example.com/acme/x"];

/// A run in which `services` are at different points.
fn run(services: &[&str]) -> (Run, jiff::Timestamp) {
    let begin: jiff::Timestamp = "2024-06-28T10:00:00Z".parse().unwrap();
    let mut telling = Telling {
        run: Run::default(),
        begin,
        seq: 0,
    };
    telling.tell(
        0,
        Event::RunStarted {
            command: "publish".to_owned(),
            version: "0.1.0".to_owned(),
            project: "shop".to_owned(),
        },
    );
    let target = |service: &&str| PlannedTarget {
        service: (*service).to_owned(),
        build: true,
        platforms: ["linux/amd64", "linux/arm64"]
            .map(|text| text.parse().unwrap())
            .into(),
        repositories: REPOSITORIES.map(|text| text.parse().unwrap()).into(),
        tags: vec![],
    };
    let targets = services.iter().map(target).collect();
    telling.tell(0, Event::Planned { targets });
    for (index, service) in services.iter().enumerate() {
        // The last one has not begun.
        if index + 2 > services.len() && services.len() > 1 {
            continue;
        }
        telling.begun(service);
        match index % 3 {
            0 => {}
            1 => telling.uploaded(service),
            _ => telling.tell(
                5,
                Event::BuildFailed {
                    service: (*service).to_owned(),
                    message: "process \"make\" did not complete successfully: exit code: 2"
                        .to_owned(),
                },
            ),
        }
    }
    (telling.run, begin + jiff::SignedDuration::from_secs(12))
}

#[test]
fn each_service_has_a_line_and_the_run_has_one() {
    let (run, now) = run(&["api", "web", "worker", "docs"]);
    insta::assert_snapshot!(frame(&run, 80, 24, now).join("\n"), @r#"
    ▸ api     ━━━━━━━───── 2/3, 2 cached  11 s  linux/arm64 [3/3] RUN make
    ✓ web     ━━━━━━━━━━━━ 12.3 MB  4.2 s, 2 of 3 steps cached
    ✗ worker  ━━━━━━━───── failed: process "make" did not complete successfully: e…
    · docs    ──────────── waiting
      publish shop  1 of 4 services up  12 s
    "#);
}

#[test]
fn a_narrow_terminal_gets_no_bar() {
    let (run, now) = run(&["api", "web"]);
    insta::assert_snapshot!(frame(&run, 40, 24, now).join("\n"), @"
    ▸ api  2/3, 2 cached  11 s  linux/arm6…
    · web  waiting
      publish shop  0 of 2 services up  12…
    ");
}

#[test]
fn no_picture_is_larger_than_its_terminal() {
    let names: Vec<String> = (0..40)
        .map(|number| format!("service-{number:02}"))
        .collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let (run, now) = run(&names);
    for (width, height) in [(80, 24), (20, 5), (5, 2), (200, 60), (1, 1)] {
        let lines = frame(&run, width, height, now);
        assert!(
            lines.len() <= height.max(2),
            "{width}x{height}: {} lines",
            lines.len()
        );
        for line in lines {
            assert!(
                line.chars().count() <= width.max(1),
                "{width}x{height}: {line}"
            );
        }
    }
}
