use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::{self, Write as _};
use std::panic;

use crate::printable::one_line;

/// How much of a panic's own words is shown, in characters.
const LONGEST: usize = 400;

/// Lets a panic be told in castoff's own words. Where the program stands then is nobody's business but of
/// those who mend it: they get the place, and with `RUST_BACKTRACE=1` the way there.
pub fn tell_of_panics() {
    panic::set_hook(Box::new(|info| {
        let place = info.location().map(ToString::to_string);
        let mut text = told(info.payload_as_str(), place.as_deref());
        let trace = Backtrace::capture();
        if trace.status() == BacktraceStatus::Captured {
            text = format!("{text}{trace}\n");
        }
        // A line of the live view may be half drawn.
        let _ = io::stderr().lock().write_all(text.as_bytes());
    }));
}

fn told(words: Option<&str>, place: Option<&str>) -> String {
    let words = words.unwrap_or("it said nothing");
    let place = place.unwrap_or("an unknown place");
    format!(
        "error: this is a bug of castoff: {}\n  at {}\nhint: report it with what was typed; tags move only at the very end, and `castoff status` says whether any has\n",
        one_line(words, LONGEST),
        one_line(place, LONGEST)
    )
}

#[cfg(test)]
mod tests {
    use super::told;

    #[test]
    fn a_bug_is_told_with_its_place_and_what_to_do() {
        let text = told(Some("no \u{1b}[31m\nword"), Some("src/x.rs:1:2"));
        assert!(text.starts_with("error: this is a bug of castoff: no \u{fffd}[31m word\n"));
        assert!(text.contains("  at src/x.rs:1:2\nhint: report it"));
        assert!(told(None, None).contains("an unknown place"));
    }
}
