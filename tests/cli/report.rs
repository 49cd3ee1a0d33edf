//! `castoff report`: a saved stream as text, markdown, JSON and HTML, and streams that are none.

use castoff::event::{Envelope, Event, PlannedTarget, StepOutcome};
use castoff::exit::Exit;
use castoff::oci::Digest;

use crate::support::program::Ran;
use crate::support::project::Project;

/// A project with a saved stream of `events`, a second each.
fn saved(events: Vec<Event>) -> Project {
    let begin: jiff::Timestamp = "2024-06-28T10:00:00Z".parse().unwrap();
    let mut text = String::new();
    for (event, seq) in events.into_iter().zip(1..) {
        let seconds = i64::try_from(seq).unwrap() - 1;
        let envelope = Envelope {
            v: 1,
            seq,
            at: begin + jiff::SignedDuration::from_secs(seconds),
            event,
        };
        text.push_str(&serde_json::to_string(&envelope).unwrap());
        text.push('\n');
    }
    Project::new().file("events", &text)
}

fn report(project: &Project, format: &str) -> Ran {
    project
        .castoff(["report", "events", "--format", format])
        .run()
}

/// Two services: one is published, the other failed with a log that wants to be more than text.
fn half_failed() -> Vec<Event> {
    let started = |service: &str| Event::BuildStarted {
        service: service.to_owned(),
        builder: "engine".to_owned(),
        because: None,
    };
    let target = |service: &str| PlannedTarget {
        service: service.to_owned(),
        build: true,
        merge: false,
        platforms: vec![],
        repositories: vec![format!("ghcr.io/acme/{service}").parse().unwrap()],
        tags: vec![],
    };
    let nasty = "<script>alert(1)</script> | `x` \u{1b}[2J\u{202e} & \"q\"".to_owned();
    vec![
        Event::RunStarted {
            command: "publish".to_owned(),
            version: "0.1.0".to_owned(),
            project: "shop".to_owned(),
        },
        Event::Planned {
            targets: vec![target("web"), target("api")],
        },
        started("web"),
        started("api"),
        Event::StepStarted {
            service: "api".to_owned(),
            step: "1".to_owned(),
            name: "[2/2] RUN make".to_owned(),
            platform: None,
        },
        Event::StepLogged {
            service: "api".to_owned(),
            step: "1".to_owned(),
            line: nasty.clone(),
        },
        Event::BuildFinished {
            files_sent: 0,
            bytes_sent: 0,
            service: "web".to_owned(),
            digest: Some(Digest::of(b"web")),
            seconds: 3.0,
            steps: 0,
            cached: 0,
        },
        Event::Uploaded {
            service: "web".to_owned(),
            repository: "ghcr.io/acme/web".parse().unwrap(),
            digest: Digest::of(b"web"),
            size: 12_345_678,
        },
        Event::DockerfileWarned {
            service: "api".to_owned(),
            file: "/src/<b>/Dockerfile".to_owned(),
            line: Some(3),
            message: "Rule: do not".to_owned(),
            url: None,
            detail: None,
            source: vec!["CMD x".to_owned()],
        },
        Event::StepFinished {
            service: "api".to_owned(),
            step: "1".to_owned(),
            outcome: StepOutcome::Failed("exit code: 2".to_owned()),
            seconds: 3.0,
        },
        Event::BuildFailed {
            service: "api".to_owned(),
            message: nasty,
        },
        Event::finished(Exit::BuildFailed, 11.0),
    ]
}

#[test]
fn a_failed_run_as_text_says_what_failed() {
    let ran = report(&saved(half_failed()), "text").exits(0);
    insta::assert_snapshot!(ran.shown(&[]), @r#"
    exit 0
    --- stdout
    publish of shop: exit code 4, 1 of 2 services done, 11 s
      api  <script>alert(1)</script> | `x` �[2J� & "q"
        | <script>alert(1)</script> | `x` �[2J� & "q"
      web  done
    --- stderr
    warning: `api`: Rule: do not
     --> /src/<b>/Dockerfile:3:1
      |
    3 | CMD x
      | ^^^^^
    warning: 1 remark in 1 Dockerfile
    hint: with --strict they are errors; `# check=skip=NAME` on top of a Dockerfile switches a check off
    "#);
}

#[test]
fn a_run_as_markdown_is_text_in_a_table() {
    let ran = report(&saved(half_failed()), "markdown").exits(0);
    insta::assert_snapshot!(ran.stdout, @r#"
    ### publish of shop: exit code 4, 1 of 2 services done, 11 s

    | service | state | digest | size | time | steps | tags |
    |---|---|---|--:|--:|--:|---|
    | api | failed |  | 0 B | 7.0 s | 1, 0 cached |  |
    | web | done | `sha256:4b5e57f6eb2f42b9039b3d1e13929295f231749c510cbe341cd68036d9af97e2` | 12.3 MB | 5.0 s | 0, 0 cached |  |

    - api: &lt;script&gt;alert(1)&lt;/script&gt; \| \`x\` �\[2J� &amp; "q"
    - /src/&lt;b&gt;/Dockerfile:3: Rule: do not
    "#);
}

#[test]
fn a_run_as_json_is_for_programs() {
    let ran = report(&saved(half_failed()), "json").exits(0);
    insta::assert_snapshot!(ran.stdout, @r#"
    {
      "command": "publish",
      "project": "shop",
      "began": "2024-06-28T10:00:00Z",
      "seconds": 11.0,
      "exit": 4,
      "services": [
        {
          "service": "api",
          "state": "failed",
          "digest": null,
          "reused": false,
          "size": 0,
          "seconds": 7.0,
          "steps": 1,
          "cached": 0,
          "tags": [],
          "failure": "<script>alert(1)</script> | `x` \u001b[2J\u202e & \"q\"",
          "log": [
            "<script>alert(1)</script> | `x` \u001b[2J\u202e & \"q\""
          ]
        },
        {
          "service": "web",
          "state": "done",
          "digest": "sha256:4b5e57f6eb2f42b9039b3d1e13929295f231749c510cbe341cd68036d9af97e2",
          "reused": false,
          "size": 12345678,
          "seconds": 5.0,
          "steps": 0,
          "cached": 0,
          "tags": [],
          "failure": null,
          "log": []
        }
      ],
      "remarks": [
        "/src/<b>/Dockerfile:3: Rule: do not"
      ],
      "troubles": []
    }
    "#);
}

#[test]
fn a_run_as_a_page_holds_no_markup_of_others_and_asks_for_nothing() {
    let ran = report(&saved(half_failed()), "html").exits(0);
    assert!(!ran.stdout.contains("<script"), "{}", ran.stdout);
    assert!(!ran.stdout.contains("http://") && !ran.stdout.contains("https://"));
    let hidden = |letter: char| letter != '\n' && castoff::printable::is_hidden(letter);
    assert!(!ran.stdout.contains(hidden), "{}", ran.stdout);
    insta::assert_snapshot!(ran.stdout, @r#"
    <!doctype html>
    <html lang="en"><meta charset="utf-8">
    <meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
    <title>publish of shop: exit code 4, 1 of 2 services done, 11 s</title>
    <style>body{font:15px sans-serif;margin:2em}table{border-collapse:collapse}td,th{padding:.3em .8em;border-bottom:1px solid #ccc;text-align:left;vertical-align:top}.n{text-align:right}.failed{background:#fee}.done td:nth-child(2){color:#070}pre{margin:0}</style>
    <h1>publish of shop: exit code 4, 1 of 2 services done, 11 s</h1>
    <table><tr><th>service<th>state<th>digest<th>size<th>time<th>steps<th>tags</tr>
    <tr class="failed"><td>api<td>failed<td><code></code><td class="n">0 B<td class="n">7.0 s<td class="n">1, 0 cached<td></tr>
    <tr class="failed"><td><td colspan="6">&lt;script&gt;alert(1)&lt;/script&gt; | `x` �[2J� &amp; &quot;q&quot;<pre>&lt;script&gt;alert(1)&lt;/script&gt; | `x` �[2J� &amp; &quot;q&quot;</pre></tr>
    <tr class="done"><td>web<td>done<td><code>sha256:4b5e57f6eb2f42b9039b3d1e13929295f231749c510cbe341cd68036d9af97e2</code><td class="n">12.3 MB<td class="n">5.0 s<td class="n">0, 0 cached<td></tr>
    </table>
    <ul>
    <li>`api`: Rule: do not (/src/&lt;b&gt;/Dockerfile:3:1)
    <li>1 remark in 1 Dockerfile
    </ul>
    </html>
    "#);
}

#[test]
fn a_run_that_was_killed_is_reported_as_far_as_it_came() {
    let project = saved(half_failed());
    let path = project.join("events");
    let text = std::fs::read_to_string(&path).unwrap();
    let half = text.lines().take(8).collect::<Vec<_>>().join("\n");
    std::fs::write(&path, &half[..half.len() - 20]).unwrap();
    let ran = report(&project, "text").exits(0);
    insta::assert_snapshot!(ran.shown(&[]), @"
    exit 0
    --- stdout
    publish of shop: cut off, 0 of 2 services done, 6.0 s
      api  building
      web  uploading
    --- stderr
    warning: events ends within line 8
    ");
}

#[test]
fn what_is_no_stream_is_bad_input() {
    for (text, message) in [
        ("", "there is no event in it"),
        ("hello\n", "line 1 is no event"),
        ("{}\n", "line 1 is no event"),
        ("\u{0}\u{1}\u{2}", "line 1 is no event"),
        (
            "{\"v\":2,\"seq\":1,\"at\":\"2024-06-28T10:00:00Z\",\"event\":{\"type\":\"verified\",\"tags\":1}}\n",
            "line 1 is of version 2 of the format",
        ),
    ] {
        let project = Project::new().file("events", text);
        let ran = report(&project, "text").exits(2);
        assert!(ran.stderr.contains(message), "{}", ran.stderr);
        assert!(ran.stderr.contains("hint: "), "{}", ran.stderr);
    }
    let ran = report(&Project::new(), "text").exits(2);
    assert!(
        ran.stderr.contains("events: it cannot be read"),
        "{}",
        ran.stderr
    );
}

#[test]
fn kinds_of_a_later_castoff_are_left_out_and_said() {
    let project = saved(half_failed());
    let path = project.join("events");
    let text = std::fs::read_to_string(&path).unwrap();
    let later = "{\"v\":1,\"seq\":99,\"at\":\"2024-06-28T10:00:00Z\",\"event\":{\"type\":\"scanned\",\"found\":1}}\n";
    std::fs::write(&path, format!("{later}{text}")).unwrap();
    let ran = report(&project, "json").exits(0);
    assert_eq!(
        ran.stderr,
        "warning: lines of kinds that this castoff does not know, left out: 1\n"
    );
    assert_eq!(ran.json()["exit"], 4);
}
