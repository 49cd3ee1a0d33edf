//! From JavaScript's syntax (ECMA-262, "Patterns" and its Annex B) to that of fancy-regex.

use std::fmt::{self, Write as _};

use super::class::{LINE_ENDS, Set};
use super::{Flags, PatternError};

/// How deep groups may stand in each other.
const MAX_DEPTH: usize = 50;
/// How often the counts of repetitions within repetitions may multiply to.
const MAX_REPETITIONS: u64 = 10_000;

/// Writes the expression in the other syntax.
pub(super) fn translate(source: &str, flags: Flags) -> Result<String, PatternError> {
    let letters: Vec<char> = source.chars().collect();
    let names = group_names(&letters);
    let mut translator = Translator {
        groups: names.len(),
        names,
        letters,
        at: 0,
        flags,
        written: String::new(),
        depth: 0,
    };
    translator.disjunction()?;
    if translator.at < translator.letters.len() {
        return Err(translator.syntax("a closing parenthesis without its opening one"));
    }
    Ok(translator.written)
}

/// The names of the capturing groups, in their order; most have none. Needed beforehand, because a
/// reference may stand before its group.
fn group_names(letters: &[char]) -> Vec<Option<String>> {
    let mut names = Vec::new();
    let mut in_class = false;
    let mut at = 0;
    while let Some(letter) = letters.get(at) {
        match letter {
            '\\' => at += 1,
            '[' => in_class = true,
            ']' => in_class = false,
            '(' if !in_class => {
                let next = |offset: usize| letters.get(at + offset).copied();
                match (next(1), next(2), next(3)) {
                    (Some('?'), Some('<'), Some(third)) if third != '=' && third != '!' => {
                        let name = letters.iter().skip(at + 3).take_while(|it| **it != '>');
                        names.push(Some(name.collect()));
                    }
                    (Some('?'), ..) => {}
                    _ => names.push(None),
                }
            }
            _ => {}
        }
        at += 1;
    }
    names
}

pub(super) struct Translator {
    pub(super) letters: Vec<char>,
    pub(super) at: usize,
    pub(super) flags: Flags,
    pub(super) groups: usize,
    pub(super) names: Vec<Option<String>>,
    pub(super) written: String,
    depth: usize,
}

/// What a term was, which decides whether it may be repeated.
pub(super) enum Term {
    Atom,
    /// `(?=…)`, which Annex B lets be repeated, though it takes nothing.
    LookAhead,
    Assertion,
}

impl Translator {
    pub(super) fn syntax(&self, what: &'static str) -> PatternError {
        PatternError::Syntax {
            what,
            at: self.at + 1,
        }
    }

    pub(super) fn peek(&self) -> Option<char> {
        self.letters.get(self.at).copied()
    }

    pub(super) fn peek_behind(&self, offset: usize) -> Option<char> {
        self.letters.get(self.at + offset).copied()
    }

    pub(super) fn eat(&mut self, text: &str) -> bool {
        let stands = text
            .chars()
            .enumerate()
            .all(|(offset, letter)| self.peek_behind(offset) == Some(letter));
        if stands {
            self.at += text.chars().count();
        }
        stands
    }

    fn push(&mut self, text: &str) {
        self.written.push_str(text);
    }

    pub(super) fn push_format(&mut self, text: fmt::Arguments<'_>) {
        // Writing to a string cannot fail.
        let _ = self.written.write_fmt(text);
    }

    /// Reads alternatives; gives how often their repetitions multiply to.
    fn disjunction(&mut self) -> Result<u64, PatternError> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(PatternError::TooLarge);
        }
        let mut repetitions = 1;
        loop {
            match self.peek() {
                None | Some(')') => break,
                Some('|') => {
                    self.at += 1;
                    self.push("|");
                }
                Some(_) => repetitions = repetitions.max(self.term()?),
            }
        }
        self.depth -= 1;
        Ok(repetitions)
    }

    fn term(&mut self) -> Result<u64, PatternError> {
        let start = self.written.len();
        let begin = self.at;
        let mut repetitions = 1;
        let term = match self.peek() {
            Some('^') => {
                self.at += 1;
                self.line_start();
                Term::Assertion
            }
            Some('$') => {
                self.at += 1;
                self.line_end();
                Term::Assertion
            }
            Some('(') => {
                let (term, inner) = self.group()?;
                repetitions = inner;
                term
            }
            Some('*' | '+' | '?') => return Err(self.syntax("nothing to repeat")),
            Some('{') => {
                if self.count()?.is_some() {
                    self.at = begin;
                    return Err(self.syntax("nothing to repeat"));
                }
                if self.flags.unicode {
                    return Err(self.syntax("a lone brace"));
                }
                self.at += 1;
                self.character('{');
                Term::Atom
            }
            Some('}' | ']') if self.flags.unicode => return Err(self.syntax("a lone bracket")),
            Some('.') => {
                self.at += 1;
                let mut set = Set::default();
                if !self.flags.dot_all {
                    set.add(LINE_ENDS);
                }
                self.written.push_str(&set.written(true, false));
                Term::Atom
            }
            Some('[') => {
                self.class()?;
                Term::Atom
            }
            Some('\\') => self.escape()?,
            Some(letter) => {
                self.at += 1;
                self.character(letter);
                Term::Atom
            }
            None => Term::Assertion,
        };
        self.quantifier(&term, start, repetitions)
    }

    fn line_start(&mut self) {
        self.push(if self.flags.multi_line {
            r"(?:\A|(?<=[\n\r\x{2028}\x{2029}]))"
        } else {
            r"\A"
        });
    }

    fn line_end(&mut self) {
        self.push(if self.flags.multi_line {
            r"(?:\z|(?=[\n\r\x{2028}\x{2029}]))"
        } else {
            r"\z"
        });
    }

    /// One character that stands for itself.
    pub(super) fn character(&mut self, letter: char) {
        let mut set = Set::default();
        let code = u32::from(letter);
        if self.flags.ignore_case {
            set.add(&[(code, code)]);
            self.written.push_str(&set.written(false, true));
        } else if letter.is_ascii_alphanumeric() || letter == '_' {
            self.written.push(letter);
        } else {
            self.push_format(format_args!("\\x{{{code:x}}}"));
        }
    }

    fn group(&mut self) -> Result<(Term, u64), PatternError> {
        let flags = self.flags;
        let term = if self.eat("(?:") {
            self.push("(?:");
            Term::Atom
        } else if self.eat("(?=") {
            self.push("(?=");
            Term::LookAhead
        } else if self.eat("(?!") {
            self.push("(?!");
            Term::LookAhead
        } else if self.eat("(?<=") {
            self.push("(?<=");
            Term::Assertion
        } else if self.eat("(?<!") {
            self.push("(?<!");
            Term::Assertion
        } else if self.eat("(?<") {
            self.group_name()?;
            self.push("(");
            Term::Atom
        } else if self.eat("(?") {
            self.modifiers()?;
            self.push("(?:");
            Term::Atom
        } else {
            self.at += 1;
            self.push("(");
            Term::Atom
        };
        let repetitions = self.disjunction()?;
        if !self.eat(")") {
            return Err(self.syntax("a group that is never closed"));
        }
        self.push(")");
        self.flags = flags;
        let term = match term {
            Term::LookAhead if self.flags.unicode => Term::Assertion,
            term => term,
        };
        Ok((term, repetitions))
    }

    fn group_name(&mut self) -> Result<(), PatternError> {
        let name = self.name()?;
        let same = |other: &&Option<String>| other.as_deref() == Some(name.as_str());
        if self.names.iter().filter(same).count() > 1 {
            return Err(self.syntax("two groups of one name"));
        }
        Ok(())
    }

    /// `name>`.
    pub(super) fn name(&mut self) -> Result<String, PatternError> {
        let mut name = String::new();
        while let Some(letter) = self.peek() {
            self.at += 1;
            match letter {
                '>' if !name.is_empty() => return Ok(name),
                '$' | '_' => name.push(letter),
                letter if letter.is_alphabetic() => name.push(letter),
                letter if letter.is_numeric() && !name.is_empty() => name.push(letter),
                _ => break,
            }
        }
        Err(self.syntax("a group's name that is none"))
    }

    /// `i-ms:` within `(?…`.
    fn modifiers(&mut self) -> Result<(), PatternError> {
        let mut seen = Vec::new();
        let mut on = true;
        loop {
            let letter = self.peek();
            let flag = match letter {
                Some('i') => &mut self.flags.ignore_case,
                Some('m') => &mut self.flags.multi_line,
                Some('s') => &mut self.flags.dot_all,
                Some('-') if on => {
                    on = false;
                    self.at += 1;
                    continue;
                }
                Some(':') if !seen.is_empty() => {
                    self.at += 1;
                    return Ok(());
                }
                _ => return Err(self.syntax("a group of an unknown kind")),
            };
            *flag = on;
            if seen.contains(&letter) {
                return Err(self.syntax("a flag that is set twice"));
            }
            seen.push(letter);
            self.at += 1;
        }
    }

    /// The numbers of `{2}`, `{2,}`, `{2,3}`, where one stands.
    fn count(&mut self) -> Result<Option<(u64, Option<u64>)>, PatternError> {
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
    fn quantifier(
        &mut self,
        term: &Term,
        start: usize,
        repetitions: u64,
    ) -> Result<u64, PatternError> {
        let begin = self.at;
        let (least, most) = match self.peek() {
            Some('*') => (0, None),
            Some('+') => (1, None),
            Some('?') => (0, Some(1)),
            Some('{') => match self.count()? {
                Some(count) => count,
                None => return Ok(repetitions),
            },
            _ => return Ok(repetitions),
        };
        if self.at == begin {
            self.at += 1;
        }
        let lazy = self.eat("?");
        match term {
            Term::Assertion => {
                self.at = begin;
                return Err(self.syntax("nothing to repeat"));
            }
            // Taking nothing once is taking nothing often.
            Term::LookAhead => {
                if least == 0 {
                    self.written.truncate(start);
                    self.push("(?:)");
                }
                return Ok(repetitions);
            }
            Term::Atom => {}
        }
        let most_often = most.unwrap_or(least).max(1);
        let repetitions = repetitions.saturating_mul(most_often);
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
        Ok(repetitions)
    }

    fn class(&mut self) -> Result<(), PatternError> {
        self.at += 1;
        let negated = self.eat("^");
        let mut set = Set::default();
        loop {
            match self.peek() {
                None => return Err(self.syntax("a class that is never closed")),
                Some(']') => break,
                Some(_) => self.class_range(&mut set)?,
            }
        }
        self.at += 1;
        let ignore_case = self.flags.ignore_case;
        self.written.push_str(&set.written(negated, ignore_case));
        Ok(())
    }

    /// `a`, `\d` or `a-z`.
    fn class_range(&mut self, set: &mut Set) -> Result<(), PatternError> {
        let first = self.class_atom(set)?;
        if self.peek() != Some('-') || matches!(self.peek_behind(1), None | Some(']')) {
            set.add(
                &first
                    .map(|code| (code, code))
                    .into_iter()
                    .collect::<Vec<_>>(),
            );
            return Ok(());
        }
        self.at += 1;
        let last = self.class_atom(set)?;
        match (first, last) {
            (Some(first), Some(last)) if first <= last => set.add(&[(first, last)]),
            (Some(_), Some(_)) => return Err(self.syntax("a range that is out of order")),
            _ if self.flags.unicode => return Err(self.syntax("a range between sets")),
            // With a set at either end, the hyphen is itself.
            (first, last) => {
                set.add(&[(0x2d, 0x2d)]);
                for code in first.into_iter().chain(last) {
                    set.add(&[(code, code)]);
                }
            }
        }
        Ok(())
    }

    /// One character of a class, or a set, which is added.
    fn class_atom(&mut self, set: &mut Set) -> Result<Option<u32>, PatternError> {
        match self.peek() {
            Some('\\') if self.peek_behind(1) == Some('b') => {
                self.at += 2;
                Ok(Some(0x08))
            }
            Some('\\') => self.class_escape(set),
            Some(letter) => {
                self.at += 1;
                Ok(Some(u32::from(letter)))
            }
            None => Err(self.syntax("a class that is never closed")),
        }
    }
}
