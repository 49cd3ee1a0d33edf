use std::fmt::{Display, Write as _};
use std::io::{self, BufWriter, Write as _};
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use console::{Style, Term};

use super::dialect::Dialect;
use super::problem::Problem;
use crate::printable::lines;

/// The only way to standard output and standard error.
///
/// Results go to standard output, everything for people to standard error. A reader that has gone
/// away ends neither.
#[derive(Clone, Debug)]
pub struct Printer {
    color: bool,
    quiet: bool,
    here: PathBuf,
    dialect: Dialect,
    /// Where the repository lies, as the dialect means it.
    workspace: PathBuf,
    /// Why a result could not be written, where one could not.
    lost: Arc<OnceLock<String>>,
}

impl Printer {
    /// Whether standard error is a terminal.
    pub fn is_terminal() -> bool {
        // Asking for colours is what switches control sequences on in a console of Windows.
        let _ = console::colors_enabled_stderr();
        Term::stderr().is_term()
    }

    /// A printer that writes colours or does not, and that is quiet about everything but results
    /// and problems or is not.
    ///
    /// `here` is the working folder: files in it are shown by their names from there.
    pub fn new(color: bool, quiet: bool, here: PathBuf) -> Self {
        Self {
            color,
            quiet,
            workspace: here.clone(),
            here,
            dialect: Dialect::Lines,
            lost: Arc::default(),
        }
    }

    /// The same printer for a reader that understands `dialect`, with the repository in `workspace`.
    #[must_use]
    pub fn speaking(mut self, dialect: Dialect, workspace: PathBuf) -> Self {
        self.dialect = dialect;
        self.workspace = workspace;
        self
    }

    /// What the reader understands.
    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// A result for people: lines of visible text, whoever wrote what stands in them.
    pub fn text(&self, text: &str) {
        self.result(&self.dialect.harmless_text(&lines(text)));
    }

    /// A result for programs, which may be written as it is made.
    pub fn result(&self, result: &(impl Display + ?Sized)) {
        let mut output = BufWriter::new(io::stdout().lock());
        let written = write!(output, "{result}");
        if let Err(error) = written.and_then(|()| output.flush())
            && error.kind() != io::ErrorKind::BrokenPipe
        {
            let _ = self.lost.set(error.to_string());
        }
    }

    /// Why a result did not reach standard output, where one did not. A reader that has gone away, as
    /// `head` does, has what it wanted.
    pub fn lost(&self) -> Option<&str> {
        self.lost.get().map(String::as_str)
    }

    /// Lines for people, each with its end, in one write.
    pub(super) fn say(&self, lines: &str) {
        if !self.quiet && !lines.is_empty() {
            let _ = io::stderr().lock().write_all(lines.as_bytes());
        }
    }

    /// Lines of the event stream.
    pub(super) fn events(lines: &str) {
        let _ = io::stderr().lock().write_all(lines.as_bytes());
    }

    /// Something that went wrong, or may.
    pub fn problem(&self, problem: &Problem) {
        let problem = &problem.with_hidden_logins();
        let text = problem.render(self.color, &self.here);
        let mut text = self.dialect.harmless_text(&text).into_owned();
        if let Some(line) = self
            .dialect
            .annotation(problem, &self.here, &self.workspace)
        {
            text.push_str(&line);
            text.push('\n');
        }
        let _ = io::stderr().lock().write_all(text.as_bytes());
    }

    /// How wide and high the terminal is now, in cells.
    pub(super) fn size() -> (usize, usize) {
        let (height, width) = Term::stderr().size();
        (width.into(), height.into())
    }

    /// Replaces the lines `drawn`, which end above the cursor, by `lines`, on a terminal that is
    /// now `width` cells wide. One write, so that no half of a picture is ever seen.
    pub(super) fn redraw(&self, drawn: &[String], lines: &[String], width: usize) {
        let mut text = String::from("\r");
        let rows = rows(drawn, width);
        if rows > 0 {
            let _ = write!(text, "{UP_FRONT}{rows}{UP_END}");
        }
        text.push_str(NO_WRAP);
        for line in lines {
            if self.color {
                let styled = style(line).force_styling(true).apply_to(line);
                let _ = write!(text, "{styled}");
            } else {
                text.push_str(line);
            }
            text.push_str(CLEAR_LINE);
            text.push('\n');
        }
        text.push_str(WRAP);
        text.push_str(CLEAR_BELOW);
        let _ = io::stderr().lock().write_all(text.as_bytes());
    }
}

// Control sequences (ECMA-48; DEC private mode 7 for wrapping). Lines must not wrap while they are
// drawn: what a terminal takes for wider than we do would become two of them.
const UP_FRONT: &str = "\x1b[";
const UP_END: &str = "A";
const CLEAR_LINE: &str = "\x1b[K";
const CLEAR_BELOW: &str = "\x1b[J";
const NO_WRAP: &str = "\x1b[?7l";
const WRAP: &str = "\x1b[?7h";

/// How many rows the lines take that were drawn before: on a terminal that has become narrower each
/// may have been broken into several.
fn rows(drawn: &[String], width: usize) -> usize {
    let rows = drawn.iter().map(|line| {
        console::measure_text_width(line)
            .div_ceil(width.max(1))
            .max(1)
    });
    rows.sum()
}

/// The colour of a line in the live view, by its mark.
fn style(line: &str) -> Style {
    match line.chars().next() {
        Some('✓') => Style::new().green(),
        Some('✗') => Style::new().red(),
        Some('▸' | '▴') => Style::new().cyan(),
        _ => Style::new().dim(),
    }
}
