use std::io::{self, Write as _};
use std::path::PathBuf;

use console::{Style, Term};

use super::problem::Problem;

/// The only way to standard output and standard error.
///
/// Results go to standard output, everything for people to standard error. A reader that has gone
/// away ends neither.
#[derive(Clone, Debug)]
pub struct Printer {
    color: bool,
    quiet: bool,
    here: PathBuf,
}

impl Printer {
    /// Whether standard error is a terminal.
    pub fn is_terminal() -> bool {
        Term::stderr().is_term()
    }

    /// A printer that writes colours or does not, and that is quiet about everything but results
    /// and problems or is not.
    ///
    /// `here` is the working folder: files in it are shown by their names from there.
    pub fn new(color: bool, quiet: bool, here: PathBuf) -> Self {
        Self { color, quiet, here }
    }

    /// A result.
    pub fn result(&self, text: &str) {
        let mut output = io::stdout().lock();
        let _ = output.write_all(text.as_bytes());
        let _ = output.flush();
    }

    /// A line for people.
    pub fn say(&self, line: &str) {
        if !self.quiet {
            let _ = writeln!(io::stderr().lock(), "{line}");
        }
    }

    /// A line of the event stream.
    pub fn event(&self, line: &str) {
        let _ = writeln!(io::stderr().lock(), "{line}");
    }

    /// Something that went wrong, or may.
    pub fn problem(&self, problem: &Problem) {
        let text = problem.render(self.color, &self.here);
        let _ = write!(io::stderr().lock(), "{text}");
    }

    /// Replaces the `drawn` last lines of the terminal by `lines`.
    pub fn redraw(&self, drawn: usize, lines: &[String]) {
        let term = Term::stderr();
        let _ = term.clear_last_lines(drawn);
        let mut text = String::new();
        for line in lines {
            let styled = if self.color {
                style(line).force_styling(true).apply_to(line).to_string()
            } else {
                line.clone()
            };
            text.push_str(&styled);
            text.push('\n');
        }
        let _ = term.write_str(&text);
    }
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
