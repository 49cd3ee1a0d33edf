//! From JavaScript's syntax (ECMA-262, "Patterns" and its Annex B) to that of fancy-regex.

use std::fmt::{self, Write as _};

use super::class::{LINE_ENDS, Set};
use super::{Flags, PatternError};

/// How deep groups may stand in each other.
const MAX_DEPTH: usize = 50;

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
        begun: 0,
        open: Vec::new(),
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
    /// How many capturing groups have begun.
    begun: usize,
    /// Those that have begun and not ended.
    pub(super) open: Vec<usize>,
}

/// What a piece of an expression can come to.
#[derive(Clone, Copy)]
pub(super) struct Extent {
    /// How often its repetitions multiply to.
    pub(super) repetitions: u64,
    /// Whether it can take a character.
    pub(super) takes: bool,
}

impl Extent {
    const NOTHING: Self = Self {
        repetitions: 1,
        takes: false,
    };
}

/// What a term was, which decides whether it may be repeated.
pub(super) enum Term {
    Atom,
    /// It takes nothing, and yet may be repeated: `(?=…)`, which Annex B lets be.
    Nothing,
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

    fn disjunction(&mut self) -> Result<Extent, PatternError> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(PatternError::TooLarge);
        }
        let mut extent = Extent::NOTHING;
        loop {
            match self.peek() {
                None | Some(')') => break,
                Some('|') => {
                    self.at += 1;
                    self.push("|");
                }
                Some(_) => {
                    let term = self.term()?;
                    extent.repetitions = extent.repetitions.max(term.repetitions);
                    extent.takes |= term.takes;
                }
            }
        }
        self.depth -= 1;
        Ok(extent)
    }

    fn term(&mut self) -> Result<Extent, PatternError> {
        let start = self.written.len();
        let begin = self.at;
        let mut extent = Extent {
            repetitions: 1,
            takes: true,
        };
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
                extent = inner;
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
        extent.takes &= matches!(term, Term::Atom);
        self.quantifier(&term, start, extent)
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

    fn group(&mut self) -> Result<(Term, Extent), PatternError> {
        let (flags, open) = (self.flags, self.open.len());
        let term = if self.eat("(?:") {
            self.push("(?:");
            Term::Atom
        } else if self.eat("(?=") {
            self.push("(?=");
            Term::Nothing
        } else if self.eat("(?!") {
            self.push("(?!");
            Term::Nothing
        } else if self.eat("(?<=") {
            self.push("(?<=");
            Term::Assertion
        } else if self.eat("(?<!") {
            self.push("(?<!");
            Term::Assertion
        } else if self.eat("(?<") {
            self.group_name()?;
            self.capture()
        } else if self.eat("(?") {
            self.modifiers()?;
            self.push("(?:");
            Term::Atom
        } else {
            self.at += 1;
            self.capture()
        };
        let extent = self.disjunction()?;
        if !self.eat(")") {
            return Err(self.syntax("a group that is never closed"));
        }
        self.open.truncate(open);
        self.push(")");
        self.flags = flags;
        let term = match term {
            Term::Nothing if self.flags.unicode => Term::Assertion,
            term => term,
        };
        Ok((term, extent))
    }

    /// Begins a capturing group.
    fn capture(&mut self) -> Term {
        self.begun += 1;
        self.open.push(self.begun);
        self.push("(");
        Term::Atom
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
