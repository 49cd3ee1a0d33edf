//! Letters that libyaml reads otherwise, or not at all.

use super::super::error::Fault;
use super::super::node::Place;
use super::problem;

/// The first letter that libyaml takes for the end of a line, and so for the end of a comment:
/// what is behind it would be read there and be hidden here. In quotes such letters are text, as a
/// byte order mark is, unless a line is folded there. `quoted` are the quoted texts, in order.
pub(super) fn hidden_break(text: &str, quoted: &[(usize, usize)]) -> Option<(usize, char)> {
    let found = text.match_indices(['\u{85}', '\u{2028}', '\u{2029}', '\u{feff}']);
    let letters = found.filter_map(|(at, found)| Some((at, found.chars().next()?)));
    let mut letters = letters;
    letters.find(|(at, letter)| {
        let before = quoted.partition_point(|(start, _)| start <= at);
        let last = before.checked_sub(1).and_then(|last| quoted.get(last));
        let is_quoted = last.is_some_and(|(_, end)| at < end);
        let blank = [' ', '\t', '\r', '\n'];
        let is_text = match letter {
            '\u{feff}' => true,
            '\u{85}' => false,
            _ => {
                let before = text.get(..*at).unwrap_or_default();
                let behind = text.get(at + letter.len_utf8()..).unwrap_or_default();
                !before.ends_with(blank) && !behind.starts_with(blank)
            }
        };
        !is_quoted || !is_text
    })
}

/// Evens out the value of a block of text that begins at `start` and is the end of the file: a
/// last line without an end has none in its value, either. One of spaces is a line only if it is
/// indented deeper than the block.
pub(super) fn without_last_break(source: &str, start: usize, value: &mut String) {
    let last = source.rsplit('\n').next().unwrap_or_default();
    let has_text = if last.trim_start_matches(' ').is_empty() {
        let block = source.get(start..).unwrap_or_default();
        let mut lines = block.lines().skip(1);
        let first = lines.find(|line| !line.trim_start_matches(' ').is_empty());
        let indent = first.map(|line| line.len() - line.trim_start_matches(' ').len());
        indent.is_some_and(|indent| last.len() > indent)
    } else {
        true
    };
    if has_text {
        value.truncate(value.trim_end_matches('\n').len());
    }
}

/// Refuses the escapes that libyaml has not: `\/`, and halves of UTF-16 pairs.
pub(super) fn check_escapes(written: &str, place: Place) -> Result<(), Box<Fault>> {
    let mut rest = written;
    while let Some(at) = rest.find('\\') {
        let escape = rest.get(at + 1..).unwrap_or_default();
        let hex = escape.strip_prefix('u').and_then(|hex| hex.get(..4));
        let code = hex.and_then(|hex| u32::from_str_radix(hex, 16).ok());
        if escape.starts_with('/') || code.is_some_and(|code| (0xd800..0xe000).contains(&code)) {
            return Err(Fault::new(
                place,
                problem("unknown escape in a quoted text"),
            ));
        }
        let next = escape.chars().next().map_or(0, char::len_utf8);
        rest = escape.get(next..).unwrap_or_default();
    }
    Ok(())
}

/// Refuses anchors that libyaml cannot read.
pub(super) fn check_name(name: &str, place: Place) -> Result<(), Box<Fault>> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    if name.bytes().all(fits) {
        return Ok(());
    }
    let message = "an anchor's name has only letters, digits, `_` and `-`";
    Err(Fault::new(place, problem(message)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_that_break_lines_are_text_in_quotes_only() {
        let found = |text: &str, quoted: &[(usize, usize)]| hidden_break(text, quoted);
        assert_eq!(found("a # b\u{2028}c: d", &[]), Some((5, '\u{2028}')));
        assert_eq!(found("\"a\u{2028}b\"", &[(0, 7)]), None);
        assert_eq!(found("\"a \u{2028}b\"", &[(0, 8)]), Some((3, '\u{2028}')));
        assert_eq!(found("\"a\u{85}b\"", &[(0, 6)]), Some((2, '\u{85}')));
        assert_eq!(found("\"a\u{feff}b\"", &[(0, 7)]), None);
        assert_eq!(
            found("a: \"b\" # \u{feff}", &[(3, 6)]),
            Some((9, '\u{feff}'))
        );
    }

    #[test]
    fn the_last_line_of_a_file_ends_a_block_as_it_does_for_libyaml() {
        for (end, want) in [
            ("x", "y\nx"),
            ("", "y\n"),
            (" ", "y\n"),
            ("  ", "y\n"),
            ("   ", "y\n "),
        ] {
            let source = if end == "x" {
                "a: |\n  y\n  x".to_owned()
            } else {
                format!("a: |\n  y\n{end}")
            };
            // As a parser of YAML 1.2 has it.
            let mut value = match end {
                "x" => "y\nx\n".to_owned(),
                "   " => "y\n \n".to_owned(),
                _ => "y\n".to_owned(),
            };
            if !source.ends_with('\n') {
                without_last_break(&source, 3, &mut value);
            }
            assert_eq!(value, want, "{source:?}");
        }
    }
}
