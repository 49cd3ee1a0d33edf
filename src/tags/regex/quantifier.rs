//! What repeats a term.

use super::PatternError;
use super::translate::{Extent, Term, Translator};

/// How often the counts of repetitions within repetitions may multiply to.
const MAX_REPETITIONS: u64 = 10_000;

impl Translator {
    /// The numbers of `{2}`, `{2,}`, `{2,3}`, where one stands.
    pub(super) fn count(&mut self) -> Result<Option<(u64, Option<u64>)>, PatternError> {
        let start = self.at;
        self.at += 1;
        let Some(least) = self.digits() else {
            self.at = start;
            return Ok(None);
        };
        let most = if self.eat(",") {
            if self.peek() == Some('}') {
                None
            } else if let Some(most) = self.digits() {
                Some(most)
            } else {
                self.at = start;
                return Ok(None);
            }
        } else {
            Some(least)
        };
        if !self.eat("}") {
            self.at = start;
            return Ok(None);
        }
        if most.is_some_and(|most| most < least) {
            return Err(self.syntax("a count whose numbers are out of order"));
        }
        Ok(Some((least, most)))
    }

    pub(super) fn digits(&mut self) -> Option<u64> {
        let mut value: Option<u64> = None;
        while let Some(digit) = self.peek().and_then(|letter| letter.to_digit(10)) {
            let before = value.unwrap_or(0).saturating_mul(10);
            value = Some(before.saturating_add(u64::from(digit)));
            self.at += 1;
        }
        value
    }

    /// Reads what repeats the term that was written from `start` on.
    pub(super) fn quantifier(
        &mut self,
        term: &Term,
        start: usize,
        extent: Extent,
    ) -> Result<Extent, PatternError> {
        let begin = self.at;
        let (least, most) = match self.peek() {
            Some('*') => (0, None),
            Some('+') => (1, None),
            Some('?') => (0, Some(1)),
            Some('{') => match self.count()? {
                Some(count) => count,
                None => return Ok(extent),
            },
            _ => return Ok(extent),
        };
        if self.at == begin {
            self.at += 1;
        }
        let lazy = self.eat("?");
        if matches!(term, Term::Assertion) {
            self.at = begin;
            return Err(self.syntax("nothing to repeat"));
        }
        if !extent.takes {
            // Taking nothing once is taking nothing often. What may be left out is: JavaScript
            // goes round again only if something was taken. The groups in it still count.
            if least == 0 {
                let nothing = self.written.split_off(start);
                self.push_format(format_args!("(?:(?!){nothing}|)"));
            }
            return Ok(extent);
        }
        let most_often = most.unwrap_or(least).max(1);
        let repetitions = extent.repetitions.saturating_mul(most_often);
        if repetitions > MAX_REPETITIONS {
            return Err(PatternError::TooLarge);
        }
        // One atom, so that nothing written after it can be read as part of it.
        let atom = self.written.split_off(start);
        let count = match (least, most) {
            (0, None) => "*".to_owned(),
            (1, None) => "+".to_owned(),
            (0, Some(1)) => "?".to_owned(),
            (least, None) => format!("{{{least},}}"),
            (least, Some(most)) => format!("{{{least},{most}}}"),
        };
        let lazy = if lazy { "?" } else { "" };
        self.push_format(format_args!("(?:(?:{atom}){count}{lazy})"));
        Ok(Extent {
            repetitions,
            ..extent
        })
    }
}
