//! The event stream is a public format: every kind as it is written, and that a saved stream is read
//! back as what it was.

use castoff::event::{Envelope, Event, Finding, PlannedTarget, StepOutcome};
use castoff::exit::Exit;
use castoff::oci::{Digest, Reference, Repository};

/// One of each kind.
#[expect(clippy::too_many_lines, reason = "a list")]
fn every_kind() -> Vec<Event> {
    let service = || "web".to_owned();
    let repository = || -> Repository { "ghcr.io/acme/web".parse().unwrap() };
    let reference = || -> Reference { "ghcr.io/acme/web:1.4".parse().unwrap() };
    let digest = || Digest::of(b"image");
    let step = || "sha256:5".to_owned();
    vec![
        Event::RunStarted {
            command: "publish".to_owned(),
            version: "0.1.0".to_owned(),
            project: "shop".to_owned(),
        },
        Event::Planned {
            targets: vec![PlannedTarget {
                service: service(),
                build: true,
                merge: false,
                platforms: vec!["linux/arm64".parse().unwrap()],
                repositories: vec![repository()],
                tags: vec![reference()],
            }],
        },
        Event::PreflightFinished {
            findings: vec![Finding {
                fatal: true,
                subject: "ghcr.io".to_owned(),
                message: "no answer".to_owned(),
                hint: Some("wait".to_owned()),
            }],
            seconds: 0.5,
        },
        Event::BuildStarted {
            service: service(),
            builder: "farm".to_owned(),
            because: Some("engine cannot build for linux/arm64; farm does natively".to_owned()),
        },
        Event::StepStarted {
            service: service(),
            step: step(),
            name: "[2/3] RUN make".to_owned(),
            platform: Some("linux/arm64".parse().unwrap()),
        },
        Event::StepProgressed {
            service: service(),
            step: step(),
            what: "sha256:9".to_owned(),
            current: 1,
            total: 2,
            done: false,
        },
        Event::StepLogged {
            service: service(),
            step: step(),
            line: "make: done".to_owned(),
        },
        Event::StepFinished {
            service: service(),
            step: step(),
            outcome: StepOutcome::Failed("exit code 2".to_owned()),
            seconds: 1.5,
        },
        Event::DockerfileWarned {
            service: service(),
            file: "Dockerfile".to_owned(),
            line: Some(3),
            message: "JSONArgsRecommended".to_owned(),
            url: Some(
                "https://docs.docker.com/go/dockerfile/rule/json-args-recommended/".to_owned(),
            ),
            detail: Some("JSON arguments recommended".to_owned()),
            source: vec!["CMD echo".to_owned()],
        },
        Event::BuildFinished {
            service: service(),
            digest: Some(digest()),
            files_sent: 2,
            bytes_sent: 4096,
            seconds: 2.5,
            steps: 3,
            cached: 1,
        },
        Event::Reused {
            service: service(),
            digest: digest(),
            because: "nothing changed".to_owned(),
        },
        Event::Merged {
            service: service(),
            digest: digest(),
            parts: vec![digest(), digest()],
            because: "linux/amd64 of a.json; linux/arm64 of b.json".to_owned(),
        },
        Event::BuildFailed {
            service: service(),
            message: "exit code 2".to_owned(),
        },
        Event::BuildStopped { service: service() },
        Event::Uploaded {
            service: service(),
            repository: repository(),
            digest: digest(),
            size: 1000,
        },
        Event::UploadFailed {
            service: service(),
            repository: repository(),
            message: "registry answered 500".to_owned(),
        },
        Event::CommitStarted { moves: 2 },
        Event::TagMoved {
            service: service(),
            reference: reference(),
            from: None,
            to: digest(),
        },
        Event::TagKept {
            service: service(),
            reference: reference(),
            digest: digest(),
        },
        Event::TagRefused {
            service: service(),
            reference: reference(),
            because: "it is newer".to_owned(),
        },
        Event::TagFailed {
            service: service(),
            reference: reference(),
            message: "registry answered 500".to_owned(),
        },
        Event::TagRestored {
            reference: reference(),
            to: Some(digest()),
        },
        Event::TagStranded {
            reference: reference(),
            at: Some(digest()),
            wanted: None,
            message: "registry answered 405".to_owned(),
        },
        Event::Verified { tags: 2 },
        Event::Recorded {
            release: "20240628T100000Z-00000000".to_owned(),
        },
        Event::Pruned {
            kind: "image".to_owned(),
            id: "web:old".to_owned(),
            bytes: 1000,
            because: "older than 30d".to_owned(),
            applied: false,
        },
        Event::Retried {
            what: "move tag ghcr.io/acme/web:1.4".to_owned(),
            attempt: 1,
            wait: 0.2,
            because: "registry answered 503".to_owned(),
        },
        Event::Warned {
            subject: "cache".to_owned(),
            message: "it is cold".to_owned(),
            hint: None,
        },
        Event::CancelRequested {
            signal: "SIGINT".to_owned(),
        },
        Event::finished(Exit::Interrupted, 3.5),
    ]
}

fn stream() -> Vec<Envelope> {
    let at: jiff::Timestamp = "2024-06-28T10:00:00Z".parse().unwrap();
    let events = every_kind().into_iter().zip(1..);
    events
        .map(|(event, seq)| Envelope {
            v: 1,
            seq,
            at,
            event,
        })
        .collect()
}

#[test]
fn every_kind_of_event_is_written_as_it_is_documented() {
    let lines: Vec<String> = stream()
        .iter()
        .map(|envelope| serde_json::to_string(envelope).unwrap())
        .collect();
    insta::assert_snapshot!(lines.join("\n"));
}

#[test]
fn what_is_written_reads_back_as_what_it_was() {
    for envelope in stream() {
        let text = serde_json::to_string(&envelope).unwrap();
        let read: Envelope = serde_json::from_str(&text).unwrap();
        assert_eq!(read, envelope);
    }
}

#[test]
fn every_kind_of_event_has_its_lines() {
    let mut plain = castoff::report::Plain::default();
    let lines: Vec<String> = stream()
        .iter()
        .flat_map(|envelope| plain.lines(envelope))
        .collect();
    insta::assert_snapshot!(lines.join("\n"));
}
