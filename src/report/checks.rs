use std::path::PathBuf;

use super::problem::{Problem, Severity};
use super::run::{Check, CheckRun, Run};
use super::words::{count, one_line};
use crate::excerpt::Excerpt;

/// How many findings are shown in full.
const MAX_SHOWN: usize = 50;
/// How many services are named beside a finding.
const MAX_NAMES: usize = 3;

/// What checks of Dockerfiles found in a run, each once, and at the end how much that is.
pub fn check_problems(run: &Run) -> Vec<Problem> {
    let all = run.checks.len();
    // In the order of the files, whoever was built first.
    let mut checks: Vec<(&Check, &CheckRun)> = run.checks.iter().collect();
    checks.sort_by_key(|(check, _)| *check);
    let shown = checks.into_iter().take(MAX_SHOWN);
    let mut problems: Vec<Problem> = shown.map(|(check, found)| problem(check, found)).collect();
    if all > 0 {
        let mut files: Vec<&str> = run.checks.keys().map(|check| check.file.as_str()).collect();
        files.sort_unstable();
        files.dedup();
        let rest = match all.saturating_sub(MAX_SHOWN) {
            0 => String::new(),
            rest => format!(", {rest} of them not shown"),
        };
        let message = format!(
            "{} in {}{rest}",
            count(all, "remark"),
            count(files.len(), "Dockerfile")
        );
        let hint = "with --strict they are errors; `# check=skip=NAME` on top of a Dockerfile switches a check off";
        problems.push(Problem {
            hint: Some(hint.to_owned()),
            ..Problem::warning(message)
        });
    }
    problems
}

fn problem(check: &Check, found: &CheckRun) -> Problem {
    let mut message = check.message.clone();
    let mut names: Vec<&String> = found.services.iter().collect();
    names.sort_unstable();
    let names: Vec<String> = names
        .into_iter()
        .take(MAX_NAMES)
        .map(|name| format!("`{}`", one_line(name)))
        .collect();
    let names = names.join(", ");
    message = match found.services.len().saturating_sub(MAX_NAMES) {
        0 => format!("{names}: {message}"),
        more => format!("{names} and {more} more: {message}"),
    };
    let mut lines = found.source.iter();
    let excerpt = check.line.map(|line| {
        let text = lines.next().map(|line| one_line(line)).unwrap_or_default();
        let indent = text
            .chars()
            .take_while(|letter| letter.is_whitespace())
            .count();
        Excerpt {
            path: PathBuf::from(one_line(&check.file)),
            line: line.try_into().unwrap_or(usize::MAX),
            column: indent + 1,
            length: text.chars().skip(indent).count().max(1),
            lead: indent,
            following: lines.map(|line| one_line(line)).collect(),
            text,
        }
    });
    if excerpt.is_none() && !check.file.is_empty() {
        message = format!("{message} ({})", one_line(&check.file));
    }
    Problem {
        severity: Severity::Warning,
        message,
        excerpt,
        hint: found.url.as_ref().map(|url| format!("see {url}")),
        ..Problem::default()
    }
}
