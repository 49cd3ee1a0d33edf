use std::fmt::Write as _;
use std::path::Path;

use console::Style;

use crate::excerpt::Excerpt;
use crate::printable::{one_line, with_hidden_logins};

/// Something that went wrong, as people are told of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problem {
    /// How bad it is.
    pub severity: Severity,
    /// What was being done, or what is wrong.
    pub message: String,
    /// Why, each the cause of the one before.
    pub causes: Vec<String>,
    /// Where.
    pub excerpt: Option<Excerpt>,
    /// Another place that belongs to it, and what it is.
    pub related: Option<(Excerpt, String)>,
    /// The last lines of a log.
    pub log: Vec<String>,
    /// What to do about it.
    pub hint: Option<String>,
}

/// How bad a problem is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Severity {
    /// The command failed.
    #[default]
    Error,
    /// Nothing is stopped by it.
    Warning,
}

impl Problem {
    /// A warning.
    pub fn warning(message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Warning,
            message: message.into(),
            ..Self::default()
        }
    }

    /// An error with its causes.
    pub fn error(error: &(dyn std::error::Error + 'static)) -> Self {
        let mut problem = Self {
            message: error.to_string(),
            ..Self::default()
        };
        let mut said = problem.message.clone();
        let mut source = error.source();
        while let Some(cause) = source {
            let text = cause.to_string();
            // An error that only wraps another one says the same.
            if text != said {
                problem.causes.push(text.clone());
            }
            said = text;
            source = cause.source();
        }
        problem
    }

    /// The same without the logins of addresses, whoever wrote them: a line of a file may hold one.
    #[must_use]
    pub(super) fn with_hidden_logins(&self) -> Self {
        let hide = |text: &String| with_hidden_logins(text);
        let of_excerpt = |excerpt: &Excerpt| Excerpt {
            text: hide(&excerpt.text),
            following: excerpt.following.iter().map(hide).collect(),
            ..excerpt.clone()
        };
        let related = self.related.as_ref();
        Self {
            severity: self.severity,
            message: hide(&self.message),
            causes: self.causes.iter().map(hide).collect(),
            excerpt: self.excerpt.as_ref().map(of_excerpt),
            related: related.map(|(excerpt, what)| (of_excerpt(excerpt), hide(what))),
            log: self.log.iter().map(hide).collect(),
            hint: self.hint.as_ref().map(hide),
        }
    }

    /// As text, with colours or without. Files in `here` are shown by their names from there.
    pub fn render(&self, color: bool, here: &Path) -> String {
        let paint = |style: Style, text: &str| {
            if color {
                style.force_styling(true).apply_to(text).to_string()
            } else {
                text.to_owned()
            }
        };
        let (word, style) = match self.severity {
            Severity::Error => ("error", Style::new().red().bold()),
            Severity::Warning => ("warning", Style::new().yellow().bold()),
        };
        let mut text = String::new();
        let _ = writeln!(text, "{}: {}", paint(style, word), printable(&self.message));
        for cause in &self.causes {
            let _ = writeln!(text, "  caused by: {}", printable(cause));
        }
        if let Some(excerpt) = &self.excerpt {
            show(&mut text, &seen_from(here, excerpt), "", &paint);
        }
        if let Some((excerpt, what)) = &self.related {
            show(&mut text, &seen_from(here, excerpt), what, &paint);
        }
        for line in &self.log {
            let _ = writeln!(text, "  | {}", printable(line));
        }
        if let Some(hint) = &self.hint {
            let word = paint(Style::new().cyan().bold(), "hint");
            let _ = writeln!(text, "{word}: {}", printable(hint));
        }
        text
    }
}

/// The excerpt with its path as seen from `here`.
fn seen_from(here: &Path, excerpt: &Excerpt) -> Excerpt {
    let mut excerpt = excerpt.clone();
    if let Ok(inside) = excerpt.path.strip_prefix(here) {
        excerpt.path = inside.to_owned();
    }
    excerpt
}

/// A line of a file with the place marked, and what it is.
fn show(text: &mut String, excerpt: &Excerpt, what: &str, paint: &dyn Fn(Style, &str) -> String) {
    let last = excerpt.line.saturating_add(excerpt.following.len());
    let digits = last.to_string().len();
    let gutter = " ".repeat(digits);
    let lead: String = excerpt.text.chars().take(excerpt.lead).collect();
    let lead = " ".repeat(console::measure_text_width(&lead));
    let frame = || Style::new().blue();
    let place = one_line(&excerpt.to_string(), 2000);
    let _ = writeln!(text, "{gutter}{} {place}", paint(frame(), "-->"));
    let _ = writeln!(text, "{gutter} {}", paint(frame(), "|"));
    let bar = |line: usize| paint(frame(), &format!("{line:digits$} |"));
    let _ = writeln!(text, "{} {}", bar(excerpt.line), excerpt.text);
    if !excerpt.following.is_empty() {
        // Of several lines each is meant as a whole.
        for (line, following) in (excerpt.line + 1..).zip(&excerpt.following) {
            let _ = writeln!(text, "{} {following}", bar(line));
        }
        return;
    }
    let carets = paint(Style::new().red().bold(), &"^".repeat(excerpt.length));
    let line = format!("{lead}{carets} {what}");
    let _ = writeln!(text, "{gutter} {} {}", paint(frame(), "|"), line.trim_end());
}

/// Text of others: further lines are set in.
fn printable(text: &str) -> String {
    let lines: Vec<String> = text.lines().map(|line| one_line(line, 2000)).collect();
    lines.join("\n    ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_shows_what_why_where_and_what_to_do() {
        let source = "services:\n  web:\n    build: ./nope\n";
        let problem = Problem {
            message: "the context folder does not exist".to_owned(),
            causes: vec!["no such file\u{1b}[2J\nat all".to_owned()],
            excerpt: Some(Excerpt::at(Path::new("compose.yaml"), source, 28, 34)),
            hint: Some("create it".to_owned()),
            ..Problem::default()
        };
        insta::assert_snapshot!(problem.render(false, Path::new("")), @r"
        error: the context folder does not exist
          caused by: no such file�[2J
            at all
         --> compose.yaml:3:12
          |
        3 |     build: ./nope
          |            ^^^^^^
        hint: create it
        ");
    }
}
