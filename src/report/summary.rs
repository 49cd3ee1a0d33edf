use std::fmt::Write as _;

use jiff::Timestamp;
use serde::Serialize;

use super::checks::check_problems;
use super::github::escaped as markdown;
use super::run::{Phase, Run, ServiceRun, TagState};
use super::table::images_table;
use super::words::{count, one_line, seconds, size};

/// What came of a run, as far as its events tell: the same for one that has just ended and for a saved
/// stream. Its form as JSON is public.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// The command.
    pub command: String,
    /// The compose project.
    pub project: String,
    /// When it began.
    pub began: Option<Timestamp>,
    /// How long it took, in seconds, up to the last event.
    pub seconds: f64,
    /// The exit code; `null` where the run never came to its end.
    pub exit: Option<u8>,
    /// The services, by name.
    pub services: Vec<ServiceSummary>,
    /// What checks of Dockerfiles remarked.
    pub remarks: Vec<String>,
    /// Tags that went back, or that could not be written or brought back.
    pub troubles: Vec<String>,
}

/// What came of a service.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ServiceSummary {
    /// Its name.
    pub service: String,
    /// `waiting`, `building`, `uploading`, `done`, `failed` or `stopped`.
    pub state: &'static str,
    /// Its image.
    pub digest: Option<String>,
    /// Whether the image was taken as it is.
    pub reused: bool,
    /// The size of the image in bytes, 0 where nobody told.
    pub size: u64,
    /// From the begin of its build until it was everywhere.
    pub seconds: f64,
    /// How many steps its build had.
    pub steps: usize,
    /// How many of them came out of the cache.
    pub cached: usize,
    /// The names of its tags, each once.
    pub tags: Vec<String>,
    /// What went wrong.
    pub failure: Option<String>,
    /// The last lines of the step that failed.
    pub log: Vec<String>,
}

impl Summary {
    /// What came of `run`.
    pub fn of(run: &Run) -> Self {
        let mut services: Vec<ServiceSummary> = run
            .services
            .iter()
            .map(|(name, service)| ServiceSummary::of(name, service))
            .collect();
        services.sort_by(|one, other| one.service.cmp(&other.service));
        let remarks = run.checks.keys().map(|check| {
            let line = check
                .line
                .map_or_else(String::new, |line| format!(":{line}"));
            format!("{}{line}: {}", check.file, check.message)
        });
        let troubles = run
            .tags
            .iter()
            .filter_map(|(reference, state)| match state {
                TagState::Moved(..) | TagState::Kept(_) => None,
                TagState::Refused(because) => Some(format!("{reference} left alone: {because}")),
                TagState::Failed(message) => Some(format!("{reference} not written: {message}")),
                TagState::Restored(_) => Some(format!("{reference} went back")),
                TagState::Stranded(message) => Some(format!("{reference} not restored: {message}")),
            });
        Self {
            command: run.command.clone(),
            project: run.project.clone(),
            began: run.began,
            seconds: between(run.began, run.latest),
            exit: run.exit,
            services,
            remarks: remarks.collect(),
            troubles: troubles.collect(),
        }
    }

    /// Whether everything is where it should be, as the exit codes have it.
    fn is_good(&self) -> bool {
        matches!(self.exit, Some(0 | 7))
    }

    /// For people: the table that the run itself ends with, and where it did not come to that, what
    /// stopped it.
    pub fn text(&self) -> String {
        let rows = self.services.iter().filter_map(|service| {
            let digest = service.digest.clone()?;
            let time = if service.reused {
                "reused".to_owned()
            } else {
                seconds(service.seconds)
            };
            Some([
                one_line(&service.service),
                digest,
                size(service.size),
                time,
                one_line(&service.tags.join(", ")),
            ])
        });
        if self.is_good() {
            return images_table(rows);
        }
        let mut text = format!("{}\n", self.headline());
        for service in &self.services {
            let failure = service.failure.as_deref().unwrap_or(service.state);
            let name = one_line(&service.service);
            let _ = writeln!(text, "  {name}  {}", one_line(failure));
            for line in &service.log {
                let _ = writeln!(text, "    | {}", one_line(line));
            }
        }
        for trouble in &self.troubles {
            let _ = writeln!(text, "  {}", one_line(trouble));
        }
        text
    }

    /// `publish of shop: exit code 4, 2 of 3 services done, 12 s`.
    pub(super) fn headline(&self) -> String {
        let exit = match self.exit {
            Some(code) => format!("exit code {code}"),
            None => "cut off".to_owned(),
        };
        let done = self
            .services
            .iter()
            .filter(|service| service.state == "done");
        format!(
            "{} of {}: {exit}, {} of {} done, {}",
            one_line(&self.command),
            one_line(&self.project),
            done.count(),
            count(self.services.len(), "service"),
            seconds(self.seconds)
        )
    }

    /// As markdown, for a comment or a job's summary.
    pub fn markdown(&self) -> String {
        let mut text = format!("### {}\n\n", markdown(&self.headline()));
        text.push_str("| service | state | digest | size | time | steps | tags |\n");
        text.push_str("|---|---|---|--:|--:|--:|---|\n");
        for service in &self.services {
            let digest = service.digest.as_ref();
            let digest = digest.map_or_else(String::new, |digest| format!("`{digest}`"));
            let _ = writeln!(
                text,
                "| {} | {} | {digest} | {} | {} | {}, {} cached | {} |",
                markdown(&service.service),
                service.state,
                size(service.size),
                seconds(service.seconds),
                service.steps,
                service.cached,
                markdown(&service.tags.join(", ")),
            );
        }
        let failures = self.services.iter().filter_map(|service| {
            let failure = service.failure.as_ref()?;
            Some(format!("{}: {failure}", service.service))
        });
        let lines = failures
            .chain(self.troubles.iter().cloned())
            .chain(self.remarks.iter().cloned());
        for (index, line) in lines.enumerate() {
            let gap = if index == 0 { "\n" } else { "" };
            let _ = writeln!(text, "{gap}- {}", markdown(&one_line(&line)));
        }
        text
    }
}

impl ServiceSummary {
    fn of(name: &str, service: &ServiceRun) -> Self {
        let (_, steps, cached) = service.counts();
        let mut tags: Vec<String> = Vec::new();
        let mut references = service.tags.clone();
        references.sort();
        for tag in references.iter().filter_map(|reference| reference.tag()) {
            if !tags.iter().any(|known| known == tag.as_str()) {
                tags.push(tag.as_str().to_owned());
            }
        }
        Self {
            service: name.to_owned(),
            state: match service.phase {
                Phase::Waiting => "waiting",
                Phase::Building => "building",
                Phase::Uploading => "uploading",
                Phase::Uploaded => "done",
                Phase::Failed => "failed",
                Phase::Stopped => "stopped",
            },
            digest: service.digest.as_ref().map(ToString::to_string),
            reused: service.reused,
            size: service.size,
            seconds: between(service.began, service.ended),
            steps,
            cached,
            tags,
            failure: service.failure.clone(),
            log: service.last_words().map(str::to_owned).collect(),
        }
    }
}

/// Seconds from one moment to a later one, 0 where one of them is not known.
fn between(from: Option<Timestamp>, to: Option<Timestamp>) -> f64 {
    match (from, to) {
        (Some(from), Some(to)) => to.duration_since(from).as_secs_f64().max(0.0),
        _ => 0.0,
    }
}

/// A run as a page that needs nothing but itself.
pub fn html(run: &Run) -> String {
    let summary = Summary::of(run);
    let mut rows = String::new();
    for service in &summary.services {
        let _ = writeln!(
            rows,
            "<tr class=\"{}\"><td>{}<td>{}<td><code>{}</code><td class=\"n\">{}<td class=\"n\">{}<td class=\"n\">{}, {} cached<td>{}</tr>",
            service.state,
            text(&service.service),
            service.state,
            text(service.digest.as_deref().unwrap_or_default()),
            size(service.size),
            seconds(service.seconds),
            service.steps,
            service.cached,
            text(&service.tags.join(", ")),
        );
        if let Some(failure) = &service.failure {
            let log: Vec<String> = service.log.iter().map(|line| text(line)).collect();
            let _ = writeln!(
                rows,
                "<tr class=\"failed\"><td><td colspan=\"6\">{}<pre>{}</pre></tr>",
                text(failure),
                log.join("\n")
            );
        }
    }
    let mut notes = String::new();
    for trouble in &summary.troubles {
        let _ = writeln!(notes, "<li>{}", text(trouble));
    }
    for problem in check_problems(run) {
        let place = problem
            .excerpt
            .as_ref()
            .map_or_else(String::new, |excerpt| format!(" ({excerpt})"));
        let _ = writeln!(notes, "<li>{}{}", text(&problem.message), text(&place));
    }
    let title = text(&summary.headline());
    format!(
        "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <title>{title}</title>\n<style>{STYLE}</style>\n<h1>{title}</h1>\n\
         <table><tr><th>service<th>state<th>digest<th>size<th>time<th>steps<th>tags</tr>\n{rows}</table>\n\
         <ul>\n{notes}</ul>\n</html>\n"
    )
}

const STYLE: &str = "body{font:15px sans-serif;margin:2em}table{border-collapse:collapse}\
td,th{padding:.3em .8em;border-bottom:1px solid #ccc;text-align:left;vertical-align:top}\
.n{text-align:right}.failed{background:#fee}.done td:nth-child(2){color:#070}pre{margin:0}";

/// Text of others within HTML: it stays text.
fn text(of_others: &str) -> String {
    let mut escaped = String::new();
    for letter in of_others.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            letter if crate::printable::is_hidden(letter) => {
                escaped.push(char::REPLACEMENT_CHARACTER);
            }
            letter => escaped.push(letter),
        }
    }
    escaped
}
