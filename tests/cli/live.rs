//! The live view, as a picture of a run at a moment on a terminal of some size.

use castoff::event::{Envelope, Event, PlannedTarget, StepOutcome};
use castoff::oci::Digest;
use castoff::report::{Run, frame};

const REPOSITORIES: [&str; 2] = ["ghcr.io/acme/x", "example.com/acme/x"];

/// A run as it is told.
struct Telling {
    run: Run,
    begin: jiff::Timestamp,
    seq: u64,
}

impl Telling {
    /// A run that has just been planned.
    fn of(services: &[String]) -> Self {
        let mut telling = Self {
            run: Run::default(),
            begin: "2024-06-28T10:00:00Z".parse().unwrap(),
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
        let target = |service: &String| PlannedTarget {
            service: service.clone(),
            build: true,
            merge: false,
            platforms: ["linux/amd64", "linux/arm64"]
                .map(|text| text.parse().unwrap())
                .into(),
            repositories: REPOSITORIES.map(|text| text.parse().unwrap()).into(),
            tags: vec![],
        };
        let targets = services.iter().map(target).collect();
        telling.tell(0, Event::Planned { targets });
        telling
    }

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
        let builder = "engine".to_owned();
        self.tell(
            1,
            Event::BuildStarted {
                service: service(),
                builder,
                because: None,
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
                self.ended(3, &service(), step, StepOutcome::Cached);
            }
        }
    }

    fn ended(&mut self, after: i64, service: &str, step: &str, outcome: StepOutcome) {
        self.tell(
            after,
            Event::StepFinished {
                service: service.to_owned(),
                step: step.to_owned(),
                outcome,
                seconds: 1.0,
            },
        );
    }

    fn logged(&mut self, service: &str, line: &str) {
        self.tell(
            4,
            Event::StepLogged {
                service: service.to_owned(),
                step: "3".to_owned(),
                line: line.to_owned(),
            },
        );
    }

    /// A service is built, and in both repositories.
    fn uploaded(&mut self, after: i64, service: &str) {
        self.ended(after, service, "3", StepOutcome::Ran);
        self.tell(
            after,
            Event::BuildFinished {
                service: service.to_owned(),
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
                after,
                Event::Uploaded {
                    service: service.to_owned(),
                    repository: repository.parse().unwrap(),
                    digest: Digest::of(b"x"),
                    size: 12_345_678,
                },
            );
        }
    }

    /// The last step of a service fails, with twenty lines of log.
    fn failed(&mut self, service: &str) {
        for number in 1..=20 {
            self.logged(service, &format!("{service}: line {number} of 20"));
        }
        let message = "process \"make\" did not complete successfully: exit code: 2";
        self.ended(5, service, "3", StepOutcome::Failed(message.to_owned()));
        self.tell(
            5,
            Event::BuildFailed {
                service: service.to_owned(),
                message: message.to_owned(),
            },
        );
    }

    fn picture(&self, width: usize, height: usize, after: i64) -> String {
        let now = self.begin + jiff::SignedDuration::from_secs(after);
        frame(&self.run, width, height, now).join("\n")
    }
}

fn names(number: usize) -> Vec<String> {
    (1..=number)
        .map(|number| format!("service-{number:02}"))
        .collect()
}

/// Four services at different points.
fn four() -> Telling {
    let services = ["api", "web", "worker", "docs"].map(str::to_owned);
    let mut telling = Telling::of(&services);
    for service in ["api", "web", "worker"] {
        telling.begun(service);
    }
    telling.uploaded(5, "web");
    telling.failed("worker");
    telling
}

#[test]
fn each_service_has_a_line_and_what_failed_is_unfolded() {
    insta::assert_snapshot!(four().picture(80, 24, 12), @r#"
    ▸ api     ━━━━━━━───── 2/3, 2 cached  11 s  linux/arm64 [3/3] RUN make
    ✓ web     ━━━━━━━━━━━━ 12.3 MB  4.2 s, 2 of 3 steps cached
    ✗ worker  ━━━━━━━━━━━─ failed: process "make" did not complete successfully: e…
              │ worker: line 15 of 20
              │ worker: line 16 of 20
              │ worker: line 17 of 20
              │ worker: line 18 of 20
              │ worker: line 19 of 20
              │ worker: line 20 of 20
    · docs    ──────────── waiting
      publish shop  1 of 4 services up, 1 failed  12 s
    "#);
}

#[test]
fn narrow_terminals_get_what_matters_most() {
    insta::assert_snapshot!(four().picture(40, 10, 12), @r#"
    ▸ api     2/3  11 s  linux/arm64 [3/3]…
    ✓ web     12.3 MB  4.2 s, 2 of 3 steps…
    ✗ worker  failed: process "make" did n…
      │ worker: line 17 of 20
      │ worker: line 18 of 20
      │ worker: line 19 of 20
      │ worker: line 20 of 20
    · docs    waiting
      publish shop  1 of 4 services up, 1 …
    "#);
    insta::assert_snapshot!(four().picture(20, 10, 12), @"
    ▸ api     2/3  11 …
    ✓ web     12.3 MB …
    ✗ worker  failed: …
      │ worker: line 1…
      │ worker: line 1…
      │ worker: line 1…
      │ worker: line 2…
    · docs    waiting
      publish shop  1 …
    ");
}

#[test]
fn twenty_services_at_the_start() {
    let mut telling = Telling::of(&names(20));
    for service in names(16) {
        telling.begun(&service);
    }
    insta::assert_snapshot!(telling.picture(80, 24, 9));
}

#[test]
fn twenty_services_in_the_middle_of_a_low_terminal() {
    let mut telling = Telling::of(&names(20));
    for (service, number) in names(20).iter().zip(1..) {
        if number <= 16 {
            telling.begun(service);
        }
        if number <= 9 {
            // The later ones are done earlier.
            telling.uploaded(40 - number, service);
        }
    }
    insta::assert_snapshot!(telling.picture(80, 16, 60));
}

#[test]
fn twenty_services_of_which_two_failed() {
    let mut telling = Telling::of(&names(20));
    for (service, number) in names(20).iter().zip(1..) {
        telling.begun(service);
        match number {
            1..=9 => telling.uploaded(30 + number, service),
            12 | 17 => telling.failed(service),
            _ => telling.tell(
                6,
                Event::BuildStopped {
                    service: service.clone(),
                },
            ),
        }
    }
    insta::assert_snapshot!(telling.picture(80, 24, 60));
}

#[test]
fn twenty_services_at_the_end() {
    let mut telling = Telling::of(&names(20));
    for service in names(20) {
        telling.begun(&service);
        telling.uploaded(9, &service);
    }
    telling.tell(10, Event::CommitStarted { moves: 40 });
    insta::assert_snapshot!(telling.picture(80, 24, 11));
}

#[test]
fn wide_characters_are_cut_by_the_cells_they_take() {
    let services = ["データベース".to_owned(), "🚀🚀🚀".to_owned()];
    let mut telling = Telling::of(&services);
    telling.begun("データベース");
    telling.failed("データベース");
    for width in 4..60 {
        for line in telling.picture(width, 24, 12).lines() {
            assert!(cells(line) < width, "{width}: {line}");
        }
    }
    insta::assert_snapshot!(telling.picture(30, 8, 12), @"
    ✗ データベ…   failed: proces…
      │ データベース: line 18 of…
      │ データベース: line 19 of…
      │ データベース: line 20 of…
    · 🚀🚀🚀      waiting
      publish shop  0 of 2 servi…
    ");
}

/// How many cells a line takes, as far as these tests need it: two for Japanese and for emoji, none
/// for an accent that stands on the letter before it.
fn cells(line: &str) -> usize {
    let of = |letter| match letter {
        '\u{300}'..='\u{36f}' => 0,
        '\u{3040}'..='\u{30ff}' | '\u{4e00}'..='\u{9fff}' | '\u{1f300}'..='\u{1faff}' => 2,
        _ => 1,
    };
    line.chars().map(of).sum()
}

mod any {
    //! Whatever is told, a picture fits its terminal and holds nothing but text.

    use castoff::printable::is_hidden;
    use castoff::report::{Dialect, Plain};
    use proptest::prelude::*;

    use super::*;

    /// Text that wants to be more than text.
    fn nasty() -> impl Strategy<Value = String> {
        let pieces = prop::sample::select(vec![
            "\u{1b}[2J",
            "\u{1b}]0;title\u{7}",
            "\u{9b}31m",
            "\r",
            "\n",
            "\u{8}",
            "\u{202e}",
            "\u{2066}",
            "\u{61c}",
            "\u{200b}",
            "\u{feff}",
            "::error::x",
            "##[group]x",
            "日本",
            "🚀",
            "e\u{301}",
            "web",
            " ",
        ]);
        prop::collection::vec(pieces, 0..8).prop_map(|pieces| pieces.concat())
    }

    #[derive(Clone, Debug)]
    enum What {
        Begun,
        Logged(String),
        Named(String),
        Uploaded,
        Failed(String),
        Stopped,
    }

    fn what() -> impl Strategy<Value = What> {
        prop_oneof![
            Just(What::Begun),
            nasty().prop_map(What::Logged),
            nasty().prop_map(What::Named),
            Just(What::Uploaded),
            nasty().prop_map(What::Failed),
            Just(What::Stopped),
        ]
    }

    fn tell(telling: &mut Telling, service: &str, what: What) {
        let service = || service.to_owned();
        match what {
            What::Begun => telling.begun(&service()),
            What::Logged(line) => telling.logged(&service(), &line),
            What::Named(name) => telling.tell(
                3,
                Event::StepStarted {
                    service: service(),
                    step: "3".to_owned(),
                    name,
                    platform: None,
                },
            ),
            What::Uploaded => telling.uploaded(9, &service()),
            What::Failed(message) => {
                telling.ended(5, &service(), "3", StepOutcome::Failed(message.clone()));
                let service = service();
                telling.tell(5, Event::BuildFailed { service, message });
            }
            What::Stopped => telling.tell(6, Event::BuildStopped { service: service() }),
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn a_picture_fits_and_is_text(
            names in prop::collection::btree_set(nasty(), 0..30),
            told in prop::collection::vec((any::<prop::sample::Index>(), what()), 0..60),
            width in 0_usize..120,
            height in 0_usize..40,
        ) {
            let names: Vec<String> = names.into_iter().collect();
            let mut telling = Telling::of(&names);
            for (index, what) in told {
                if !names.is_empty() {
                    let service = index.get(&names).clone();
                    tell(&mut telling, &service, what);
                }
            }
            let now = telling.begin + jiff::SignedDuration::from_secs(12);
            let lines = frame(&telling.run, width, height, now);
            prop_assert!(lines.len() <= height.saturating_sub(1).max(1), "{} lines", lines.len());
            for line in lines {
                prop_assert!(!line.chars().any(is_hidden), "{line:?}");
                prop_assert!(cells(&line) <= width.saturating_sub(1).max(1), "{width}: {line:?}");
            }
        }

        #[test]
        fn lines_are_text_in_every_dialect(
            texts in prop::collection::vec(nasty(), 8),
        ) {
            let mut plain = [Dialect::Lines, Dialect::GitHub, Dialect::GitLab].map(Plain::new);
            let text = |index: usize| texts[index].clone();
            let events = vec![
                Event::BuildStarted {
                    service: text(0),
                    builder: text(1),
                    because: Some(text(3)),
                },
                Event::StepStarted {
                    service: text(0),
                    step: text(2),
                    name: text(3),
                    platform: None,
                },
                Event::StepLogged { service: text(0), step: text(2), line: text(4) },
                Event::StepFinished {
                    service: text(0),
                    step: text(2),
                    outcome: StepOutcome::Failed(text(5)),
                    seconds: 1.0,
                },
                Event::BuildFailed { service: text(0), message: text(6) },
                Event::Retried {
                    what: text(1),
                    attempt: 1,
                    wait: 1.0,
                    because: text(7),
                },
                Event::Warned { subject: text(2), message: text(3), hint: None },
                Event::CancelRequested { signal: text(4) },
                Event::Recorded { release: text(5) },
            ];
            for (seq, event) in (1..).zip(events) {
                let at = "2024-06-28T10:00:00Z".parse().unwrap();
                let envelope = Envelope { v: 1, seq, at, event };
                for line in plain[0].lines(&envelope) {
                    prop_assert!(!line.chars().any(is_hidden), "{line:?}");
                }
                for line in plain[1].lines(&envelope) {
                    prop_assert!(!line.chars().any(is_hidden), "{line:?}");
                    let command = line.trim_start().starts_with("::");
                    let own = line.starts_with("::group::build of ") || line == "::endgroup::";
                    prop_assert!(own || !command, "{line:?}");
                    prop_assert!(own || !line.contains("##["), "{line:?}");
                }
                for line in plain[2].lines(&envelope) {
                    let own = line.starts_with("\u{1b}[0Ksection_");
                    let rest = line.replace("\u{1b}[0K", "").replacen('\r', "", 1);
                    prop_assert!(!rest.chars().any(is_hidden), "{line:?}");
                    prop_assert!(own || line == rest, "{line:?}");
                }
            }
        }
    }
}
