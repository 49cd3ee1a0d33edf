//! Makes text fit for a YAML 1.2 parser that libyaml reads without a word: quoted texts whose
//! further lines are not indented, tabs before lines within brackets, `\'` within double quotes,
//! comments right behind a quote or a bracket, and in brackets `-`, `key:` and `?key`.
//!
//! The changes mean nothing to YAML. Offsets in the changed text are told back as offsets in what
//! the user wrote.

use super::flow::Otherwise;

/// What is put before a line; deeper than any file may be nested by indentation of two.
const INDENT: &str = "                                                                ";

/// How much text may be parsed again and again, in bytes.
const MOST_WORK: usize = 16 << 20;

/// Changes of a text, in its order.
#[derive(Debug, Default)]
pub(super) struct Repairs {
    edits: Vec<Edit>,
    /// Where each applied edit begins in the changed text, and how far that is ahead of the
    /// original one behind it.
    applied: Vec<Applied>,
    work: usize,
}

/// An edit of the changed text that is parsed.
#[derive(Clone, Copy, Debug)]
struct Applied {
    edit: Edit,
    start: usize,
    ahead: usize,
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
    pub(super) fn apply(&mut self, text: &str) -> Option<String> {
        if self.edits.is_empty() {
            return None;
        }
        let mut changed = String::with_capacity(text.len() + self.edits.len() * 2);
        let mut at = 0;
        let mut ahead = 0;
        self.applied.clear();
        for edit in &self.edits {
            changed.push_str(text.get(at..edit.at).unwrap_or_default());
            let start = changed.len();
            changed.push_str(edit.inserted);
            at = edit.at + edit.removed;
            ahead += edit.inserted.len().saturating_sub(edit.removed);
            let edit = *edit;
            self.applied.push(Applied { edit, start, ahead });
        }
        changed.push_str(text.get(at..).unwrap_or_default());
        Some(changed)
    }

    /// The offset in the original text of one in the text that was changed last.
    pub(super) fn original(&self, at: usize) -> usize {
        let edits = self.applied.partition_point(|applied| applied.start <= at);
        let last = edits.checked_sub(1).and_then(|last| self.applied.get(last));
        match last {
            None => at,
            Some(last) if at < last.start + last.edit.inserted.len() => last.edit.at,
            Some(last) => at - last.ahead,
        }
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

    /// Puts a text without quotes into some.
    pub(super) fn quote(&mut self, text: &str, span: (usize, usize)) -> bool {
        self.work += text.len();
        let edits = self.quotes_of(text, span);
        self.take(edits)
    }

    /// Puts a space before `at`.
    pub(super) fn space(&mut self, text: &str, at: usize) -> bool {
        self.add(text, self.original(at), 0, " ")
    }

    /// Writes texts in brackets as libyaml reads them.
    pub(super) fn plain(&mut self, text: &str, found: &[Otherwise]) -> bool {
        self.work += text.len();
        let mut edits = Vec::with_capacity(found.len());
        for otherwise in found {
            match *otherwise {
                Otherwise::Text(start, end) => edits.extend(self.quotes_of(text, (start, end))),
                Otherwise::Key(at) => edits.push(Edit {
                    at: self.original(at + 1),
                    removed: 0,
                    inserted: " ",
                }),
            }
        }
        self.take(edits)
    }

    fn quotes_of(&self, text: &str, (start, end): (usize, usize)) -> Vec<Edit> {
        let inner = text.get(start..end).unwrap_or_default();
        let within = inner.match_indices('\'').map(|(at, _)| start + at);
        let all = std::iter::once(start).chain(within).chain([end]);
        all.map(|at| Edit {
            at: self.original(at),
            removed: 0,
            inserted: "'",
        })
        .collect()
    }

    /// Adds changes; says whether that is worth another try.
    fn take(&mut self, edits: Vec<Edit>) -> bool {
        let known = self.edits.len();
        for edit in edits {
            let sorted = self.edits.get(..known).unwrap_or_default();
            if sorted
                .binary_search_by_key(&edit.at, |edit| edit.at)
                .is_err()
            {
                self.edits.push(edit);
            }
        }
        self.edits.sort_by_key(|edit| edit.at);
        self.edits.len() > known && self.work <= MOST_WORK
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
