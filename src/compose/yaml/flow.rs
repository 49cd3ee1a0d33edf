//! Texts without quotes within brackets, as libyaml reads them (`yaml_parser_scan_plain_scalar`):
//! there `:` ends a text only before a blank, and `?` always does and begins a key.

/// A text that libyaml reads otherwise than YAML 1.2 has it; offsets are bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Otherwise {
    /// From here to there it is one text: `key:` in `[key:, b]`.
    Text(usize, usize),
    /// The `?` here begins a key: `{?key: b}`.
    Key(usize),
}

impl Otherwise {
    /// Where it stands.
    pub(super) fn span(self) -> (usize, usize) {
        match self {
            Self::Text(start, end) => (start, end),
            Self::Key(at) => (at, at + 1),
        }
    }
}

/// How libyaml reads the text that stands at `start..end`: none if there is no difference, an
/// error if it refuses it.
pub(super) fn read(
    source: &str,
    start: usize,
    end: usize,
) -> Result<Option<Otherwise>, &'static str> {
    let text = source.get(start..end).unwrap_or_default();
    let behind = source.get(end..).unwrap_or_default();
    if text.starts_with(':') {
        return Err("a text in brackets cannot begin with `:`; put it in quotes");
    }
    if text.get(1..).is_some_and(|rest| rest.contains('?')) {
        return Err("a text in brackets cannot have a `?` in it; put it in quotes");
    }
    if text.starts_with('?') {
        return Ok(Some(Otherwise::Key(start)));
    }
    // An empty value has no text; a `:` behind it belongs to what was before.
    let ends_at_once = |rest: &str| rest.starts_with([',', ']', '}', '[', '{', '?']);
    let colons = behind.bytes().take_while(|byte| *byte == b':').count();
    let further = behind.get(colons..).unwrap_or_default();
    if text.is_empty() || colons == 0 || !ends_at_once(further) {
        return Ok(None);
    }
    Ok(Some(Otherwise::Text(start, end + colons)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_in_brackets() {
        let read = |before: &str, text: &str, behind: &str| {
            let source = format!("{before}{text}{behind}");
            super::read(&source, before.len(), before.len() + text.len())
        };
        assert_eq!(read("[", "a", ", b]"), Ok(None));
        assert_eq!(read("[", "a", ": b]"), Ok(None));
        assert_eq!(read("[", "a", ":]"), Ok(Some(Otherwise::Text(1, 3))));
        assert_eq!(read("{", "a", ":, b: c}"), Ok(Some(Otherwise::Text(1, 3))));
        assert_eq!(read("{", "?a", ": b}"), Ok(Some(Otherwise::Key(1))));
        assert!(read("[", ":99", "]").is_err());
        assert!(read("[", "a?b", "]").is_err());
    }
}
