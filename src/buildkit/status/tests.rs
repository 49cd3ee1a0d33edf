use bollard_buildkit_proto::pb::{Position, Range, SourceInfo};

use super::*;
use crate::cx::Told;

fn watch() -> (Watch, Told) {
    let (events, told) = Events::stream(jiff::Timestamp::now);
    let watch = Watch {
        service: "api".to_owned(),
        events,
        texts: Texts {
            dockerfile: Some(("Dockerfile".to_owned(), "/src/api/Dockerfile".into())),
            hidden: vec!["hunter2".to_owned()],
        },
        steps: HashMap::new(),
        remarks: HashSet::new(),
    };
    (watch, told)
}

fn told(told: &Told) -> Vec<Event> {
    std::iter::from_fn(|| told.try_next().ok())
        .map(|envelope| envelope.event)
        .collect()
}

fn vertex(digest: &str, name: &str) -> Vertex {
    Vertex {
        digest: digest.to_owned(),
        name: name.to_owned(),
        started: Some(Timestamp::default()),
        ..Vertex::default()
    }
}

fn wrote(text: &str) -> StatusResponse {
    StatusResponse {
        logs: vec![VertexLog {
            vertex: "1".to_owned(),
            msg: text.as_bytes().to_vec(),
            ..VertexLog::default()
        }],
        ..StatusResponse::default()
    }
}

fn remark(line: i32, last: i32) -> VertexWarning {
    let at = |line| Some(Position { line, character: 0 });
    VertexWarning {
        short: format!("Rule: do not (line {line})").into(),
        detail: vec![b"in general".to_vec()],
        url: "https://example.com/rule".to_owned(),
        info: Some(SourceInfo {
            filename: "Dockerfile".to_owned(),
            data: b"FROM a\nENV TOKEN=x \\\n  B=hunter2\n".to_vec(),
            ..SourceInfo::default()
        }),
        ranges: (line..=last)
            .map(|line| Range {
                start: at(line),
                end: at(line),
            })
            .collect(),
        ..VertexWarning::default()
    }
}

#[test]
fn a_remark_is_told_once_with_its_file_and_its_lines_and_without_secrets() {
    let (mut watch, stream) = watch();
    for _ in 0..2 {
        watch.take(StatusResponse {
            warnings: vec![remark(2, 3), remark(0, 0)],
            ..StatusResponse::default()
        });
    }
    assert_eq!(watch.remarks(), 2);
    let warned = |line, message: &str, source: &[&str]| Event::DockerfileWarned {
        service: "api".to_owned(),
        file: "/src/api/Dockerfile".to_owned(),
        line,
        message: message.to_owned(),
        url: Some("https://example.com/rule".to_owned()),
        detail: Some("in general".to_owned()),
        source: source.iter().map(ToString::to_string).collect(),
    };
    assert_eq!(
        told(&stream),
        [
            warned(Some(2), "Rule: do not", &["ENV TOKEN=*** \\", "  B=***"]),
            warned(None, "Rule: do not (line 0)", &[]),
        ]
    );
}

#[test]
fn lines_are_put_together_cut_with_a_mark_and_without_secrets() {
    let (mut watch, stream) = watch();
    watch.take(StatusResponse {
        vertexes: vec![vertex("1", "[2/2] RUN hunter2")],
        ..StatusResponse::default()
    });
    let long = format!("{}\nlast", "y".repeat(MAX_LINE + 10));
    for text in ["a b", "c hunter2\nd\n", &long] {
        watch.take(wrote(text));
    }
    watch.take(StatusResponse {
        vertexes: vec![Vertex {
            completed: Some(Timestamp::default()),
            error: "no hunter2".to_owned(),
            ..vertex("1", "[2/2] RUN hunter2")
        }],
        ..StatusResponse::default()
    });
    let events = told(&stream);
    let lines: Vec<&str> = events
        .iter()
        .filter_map(|event| match event {
            Event::StepLogged { line, .. } => Some(line.as_str()),
            _ => None,
        })
        .collect();
    let cut = format!("{}…", "y".repeat(MAX_LINE));
    assert_eq!(lines, ["a bc ***", "d", &cut, "last"]);
    let text = format!("{events:?}");
    assert!(!text.contains("hunter2"), "{text}");
    assert!(text.contains("[2/2] RUN ***") && text.contains("no ***"));
}

#[test]
fn what_is_fetched_for_a_cached_step_is_not_the_step() {
    let (mut watch, stream) = watch();
    let at = |seconds| Some(Timestamp { seconds, nanos: 0 });
    let step = || Vertex {
        inputs: vec!["0".to_owned()],
        ..vertex("1", "[2/2] RUN make")
    };
    let fetched = |completed| Vertex {
        completed,
        ..vertex("1", "[2/2] RUN make")
    };
    let ended = || Vertex {
        completed: at(3),
        cached: true,
        ..step()
    };
    let announced = Vertex {
        started: None,
        ..step()
    };
    // It is fetched before the step ends, and when it is exported once more.
    for vertex in [
        announced,
        fetched(None),
        fetched(at(1)),
        fetched(None),
        fetched(at(2)),
        ended(),
        fetched(None),
        fetched(at(4)),
    ] {
        watch.take(StatusResponse {
            vertexes: vec![vertex],
            ..StatusResponse::default()
        });
    }
    let outcomes: Vec<StepOutcome> = told(&stream)
        .into_iter()
        .filter_map(|event| match event {
            Event::StepFinished { outcome, .. } => Some(outcome),
            _ => None,
        })
        .collect();
    assert_eq!(outcomes, [StepOutcome::Cached]);
    assert_eq!(watch.counts(), (1, 1));
    assert_eq!(watch.only_waits_for(), Waits::default());
}

#[test]
fn a_signed_address_loses_its_signature_whoever_prints_it() {
    let line = "GET https://me:pw@s3.example/x?X-Amz-Signature=abc: 403";
    assert_eq!(
        watch().0.clean(line.as_bytes()),
        "GET https://s3.example/x?…: 403"
    );
}

#[test]
fn a_step_says_its_platform_in_front() {
    let linux = |text: &str| Some(text.parse::<Platform>().unwrap());
    for (name, platform, rest) in [
        (
            "[linux/arm64 2/3] RUN x",
            linux("linux/arm64"),
            "[2/3] RUN x",
        ),
        (
            "[linux/arm/v7 build 1/2] FROM y",
            linux("linux/arm/v7"),
            "[build 1/2] FROM y",
        ),
        ("[2/3] RUN x", None, "[2/3] RUN x"),
        ("[internal] load metadata", None, "[internal] load metadata"),
        ("exporting to image", None, "exporting to image"),
    ] {
        assert_eq!(split_platform(name), (platform, rest.to_owned()), "{name}");
    }
}
