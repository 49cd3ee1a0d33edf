use std::borrow::Cow;
use std::fmt::Write as _;
use std::path::Path;

use jiff::Timestamp;

use super::problem::{Problem, Severity};
use super::words::one_line;

/// What the reader of standard error understands beside lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dialect {
    /// Nothing.
    #[default]
    Lines,
    /// The log of GitHub Actions: groups and annotations ("Workflow commands").
    GitHub,
    /// The log of GitLab CI: sections ("Custom collapsible sections").
    GitLab,
}

impl Dialect {
    /// Whether lines can be folded under a title. Groups cannot stand within each other, so what
    /// happens at the same time has to be told one after the other.
    pub(super) fn has_groups(self) -> bool {
        self != Self::Lines
    }

    /// A line of text that the reader takes for nothing but text.
    ///
    /// GitHub's runner carries out a line that begins with `::NAME`, spaces aside, and
    /// `##[NAME]` *wherever* it stands in a line (actions/runner, `ActionCommand.cs`). `stop-commands`
    /// would switch that off, but for the whole step, our own commands and those of other programs
    /// included. So what looks like a command is broken by a space. GitLab's markers need control
    /// characters, which no text of others has here.
    pub fn harmless(self, line: &str) -> Cow<'_, str> {
        if self != Self::GitHub {
            return Cow::Borrowed(line);
        }
        let mut line = Cow::Borrowed(line);
        if line.contains("##[") {
            line = Cow::Owned(line.replace("##[", "## ["));
        }
        let start = line.trim_start();
        if start.starts_with("::") {
            let indent = line.len() - start.len();
            let (indent, rest) = line.split_at(indent);
            line = Cow::Owned(format!("{indent}: {}", rest.get(1..).unwrap_or_default()));
        }
        line
    }

    /// `harmless` for every line of a text.
    pub fn harmless_text(self, text: &str) -> Cow<'_, str> {
        if self != Self::GitHub {
            return Cow::Borrowed(text);
        }
        let lines: Vec<Cow<'_, str>> = text.split('\n').map(|line| self.harmless(line)).collect();
        Cow::Owned(lines.join("\n"))
    }

    /// The line that begins a group. `open` shows it unfolded, where that can be said.
    pub(super) fn begin(self, name: &str, title: &str, open: bool, at: Timestamp) -> String {
        match self {
            Self::Lines => title.to_owned(),
            Self::GitHub => format!("::group::{}", data(title)),
            Self::GitLab => {
                let folded = if open { "" } else { "[collapsed=true]" };
                let (name, at) = (section(name), at.as_second());
                format!("\x1b[0Ksection_start:{at}:{name}{folded}\r\x1b[0K{title}")
            }
        }
    }

    /// The line that ends it.
    pub(super) fn end(self, name: &str, at: Timestamp) -> String {
        match self {
            Self::Lines => String::new(),
            Self::GitHub => "::endgroup::".to_owned(),
            Self::GitLab => {
                let (name, at) = (section(name), at.as_second());
                format!("\x1b[0Ksection_end:{at}:{name}\r\x1b[0K")
            }
        }
    }

    /// What puts a problem beside the line of the file that it is about. `workspace` is where the
    /// repository lies, and `here` where relative paths are meant from.
    pub(super) fn annotation(
        self,
        problem: &Problem,
        here: &Path,
        workspace: &Path,
    ) -> Option<String> {
        if self != Self::GitHub {
            return None;
        }
        let excerpt = problem.excerpt.as_ref();
        let mut command = match problem.severity {
            Severity::Error => "::error",
            // A warning without a place is read where it stands.
            Severity::Warning if excerpt.is_some() => "::warning",
            Severity::Warning => return None,
        }
        .to_owned();
        if let Some(excerpt) = excerpt {
            let path = here.join(&excerpt.path);
            // The runner takes a relative path to be meant from the root of the repository.
            let path = path.strip_prefix(workspace).unwrap_or(&path);
            let file = property(&one_line(&path.to_string_lossy()));
            let _ = write!(command, " file={file},line={}", excerpt.line);
        }
        let text: Vec<String> = std::iter::once(&problem.message)
            .chain(&problem.causes)
            .map(|text| one_line(text))
            .collect();
        let text = text.join(": ");
        let _ = write!(command, "::{}", data(&self.harmless(&text)));
        Some(command)
    }
}

/// The name of a section: letters, digits, `_`, `.` and `-` only.
fn section(name: &str) -> String {
    let is_plain =
        |letter: &char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '.' | '-');
    let plain: String = name.chars().filter(is_plain).collect();
    format!("castoff_{plain}")
}

/// The data of a workflow command (actions/toolkit, `escapeData`).
fn data(text: &str) -> String {
    text.replace('%', "%25")
        .replace('\r', "%0D")
        .replace('\n', "%0A")
}

/// A property of a workflow command (actions/toolkit, `escapeProperty`).
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::excerpt::Excerpt;

    #[test]
    fn nothing_that_the_runner_would_carry_out_is_left_in_a_line() {
        for (line, harmless) in [
            ("::set-env name=A::b", ": :set-env name=A::b"),
            ("  ::error::x", "  : :error::x"),
            ("\u{a0}::error::x", "\u{a0}: :error::x"),
            ("a ##[add-mask]b", "a ## [add-mask]b"),
            ("###[group]b", "### [group]b"),
            ("std::fs::read", "std::fs::read"),
            ("", ""),
        ] {
            assert_eq!(Dialect::GitHub.harmless(line), harmless);
            assert_eq!(Dialect::Lines.harmless(line), line);
        }
    }

    #[test]
    fn an_annotation_names_the_file_from_the_root_of_the_repository() {
        let problem = Problem {
            message: "build `a`: 100%".to_owned(),
            causes: vec!["exit code 2\nlast".to_owned()],
            excerpt: Some(Excerpt::at(
                Path::new("/w/app/a,b:c/Dockerfile"),
                "x\ny\n",
                2,
                3,
            )),
            ..Problem::default()
        };
        let say = |here: &str, workspace: &str| {
            Dialect::GitHub
                .annotation(&problem, Path::new(here), Path::new(workspace))
                .unwrap()
        };
        assert_eq!(
            say("/w/app", "/w"),
            "::error file=app/a%2Cb%3Ac/Dockerfile,line=2::build `a`: 100%25: exit code 2 last"
        );
        assert!(say("/w/app", "/other").starts_with("::error file=/w/app/a"));
        assert_eq!(
            Dialect::GitHub.annotation(&Problem::warning("x"), Path::new("/"), Path::new("/")),
            None
        );
    }
}
