//! Makes text fit for a YAML 1.2 parser that libyaml reads without a word: quoted texts whose
//! further lines are not indented, tabs before lines within brackets, and `\'` within double
//! quotes.
//!
//! The changes mean nothing to YAML. Offsets in the changed text are told back as offsets in what
//! the user wrote.

/// What is put before a line; deeper than any file may be nested by indentation of two.
const INDENT: &str = "                                                                ";

/// How much text may be parsed again and again, in bytes.
const MOST_WORK: usize = 16 << 20;

/// Changes of a text, in its order.
#[derive(Debug, Default)]
pub(super) struct Repairs {
    edits: Vec<Edit>,
    work: usize,
}

/// A change at an offset of the original text.
#[derive(Clone, Copy, Debug)]
struct Edit {
    at: usize,
    removed: usize,
    inserted: &'static str,
}

impl Repairs {
    /// The changed text; none if there is nothing to change.
    pub(super) fn apply(&self, text: &str) -> Option<String> {
        if self.edits.is_empty() {
            return None;
        }
        let mut changed = String::with_capacity(text.len() + self.edits.len() * INDENT.len());
        let mut at = 0;
        for edit in &self.edits {
            changed.push_str(text.get(at..edit.at).unwrap_or_default());
            changed.push_str(edit.inserted);
            at = edit.at + edit.removed;
        }
        changed.push_str(text.get(at..).unwrap_or_default());
        Some(changed)
    }

    /// The offset in the original text of one in the changed text.
    pub(super) fn original(&self, at: usize) -> usize {
        let mut before = at;
        // How far the changed text is ahead of the original one.
        let mut ahead = 0;
        for edit in &self.edits {
            let start = edit.at + ahead;
            if at < start {
                break;
            }
            if at < start + edit.inserted.len() {
                return edit.at;
            }
            ahead = ahead + edit.inserted.len() - edit.removed.min(edit.inserted.len());
            before = at - ahead;
        }
        before
    }

    /// Indents the line of a quoted text; `at` is an offset in the changed `text`. Says whether
    /// that is worth another try.
    pub(super) fn indent(&mut self, text: &str, at: usize) -> bool {
        let line = text
            .get(..at)
            .and_then(|before| before.rfind('\n'))
            .map_or(0, |newline| newline + 1);
        let original = self.original(line);
        self.add(text, original, 0, INDENT)
    }

    /// Writes the tabs before a line within brackets as spaces.
    pub(super) fn tabs(&mut self, text: &str, at: usize) -> bool {
        let line = text
            .get(..at)
            .and_then(|before| before.rfind('\n'))
            .map_or(0, |newline| newline + 1);
        let rest = text.get(line..).unwrap_or_default().bytes().enumerate();
        let mut any = false;
        for (offset, byte) in rest.take_while(|(_, byte)| matches!(byte, b' ' | b'\t')) {
            if byte == b'\t' {
                let original = self.original(line + offset);
                any |= self.add(text, original, 1, INDENT);
            }
        }
        any
    }

    /// Writes each `\'` of the double-quoted text that begins at `at` as `\x27`.
    pub(super) fn quotes(&mut self, text: &str, at: usize) -> bool {
        let quoted = text.get(at..).unwrap_or_default();
        let mut any = false;
        let mut letters = quoted.char_indices().skip(1);
        while let Some((offset, letter)) = letters.next() {
            match letter {
                '"' => break,
                '\\' if letters.next().is_some_and(|(_, next)| next == '\'') => {
                    let original = self.original(at + offset);
                    any |= self.add(text, original, 2, "\\x27");
                }
                _ => {}
            }
        }
        any
    }

    fn add(&mut self, text: &str, at: usize, removed: usize, inserted: &'static str) -> bool {
        self.work += text.len();
        let place = self.edits.partition_point(|edit| edit.at < at);
        let again = self.edits.get(place).is_some_and(|edit| edit.at == at);
        if again || self.work > MOST_WORK {
            return false;
        }
        let edit = Edit {
            at,
            removed,
            inserted,
        };
        self.edits.insert(place, edit);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_lead_back() {
        let text = "a: \"x\ny\\'z\"\nb: c\n";
        let mut repairs = Repairs::default();
        assert!(repairs.indent(text, 6));
        let changed = repairs.apply(text).unwrap();
        assert!(repairs.quotes(&changed, 3));
        let changed = repairs.apply(text).unwrap();
        assert_eq!(changed, format!("a: \"x\n{INDENT}y\\x27z\"\nb: c\n"));
        for word in ["a:", "b:", "c\n", "z\"", "y"] {
            let in_changed = changed.find(word).unwrap();
            assert_eq!(
                repairs.original(in_changed),
                text.find(word).unwrap(),
                "{word}"
            );
        }
    }
}
