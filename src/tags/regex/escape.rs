//! What stands behind a backslash.

use super::PatternError;
use super::class::{DIGITS, SPACES, Set, WORDS};
use super::translate::{Term, Translator};

impl Translator {
    /// An escape outside a class.
    pub(super) fn escape(&mut self) -> Result<Term, PatternError> {
        let Some(letter) = self.peek_behind(1) else {
            return Err(self.syntax("a backslash with nothing behind it"));
        };
        match letter {
            'b' | 'B' => {
                self.at += 2;
                let (w, not) = (r"[0-9A-Za-z_]", if letter == 'B' { "!" } else { "=" });
                // A boundary: a word begins or ends here. None: the opposite of the two.
                self.push_format(format_args!("(?{not}(?<={w})(?!{w})|(?<!{w})(?={w}))"));
                return Ok(Term::Assertion);
            }
            '1'..='9' => {
                let begin = self.at;
                self.at += 1;
                let number = self.digits().unwrap_or(u64::MAX);
                if let Some(group) = usize::try_from(number).ok().filter(|it| *it <= self.groups) {
                    return Ok(self.reference(group));
                }
                if self.flags.unicode {
                    return Err(self.syntax("a reference to a group that is not there"));
                }
                self.at = begin;
            }
            'k' if self.flags.unicode || self.names.iter().any(Option::is_some) => {
                self.at += 2;
                if !self.eat("<") {
                    return Err(self.syntax("a reference without a name"));
                }
                let name = self.name()?;
                let group = self
                    .names
                    .iter()
                    .position(|other| other.as_deref() == Some(name.as_str()));
                let Some(group) = group else {
                    return Err(self.syntax("a reference to a group that is not there"));
                };
                return Ok(self.reference(group + 1));
            }
            _ => {}
        }
        let mut set = Set::default();
        if let Some(code) = self.class_escape(&mut set)? {
            match char::from_u32(code) {
                Some(letter) => self.character(letter),
                // Half of a character is in no text of ours.
                None => self.written.push_str(&Set::default().written(false, false)),
            }
        } else {
            let ignore_case = self.flags.ignore_case;
            self.written.push_str(&set.written(false, ignore_case));
        }
        Ok(Term::Atom)
    }

    /// What a group has captured; nothing where it took no part, or is not over yet.
    fn reference(&mut self, group: usize) -> Term {
        if self.open.contains(&group) {
            return Term::Nothing;
        }
        let case = if self.flags.ignore_case { "i" } else { "" };
        self.push_format(format_args!("(?:(?({group})(?{case}:\\{group})|))"));
        Term::Atom
    }

    /// An escape that is possible within a class, too: adds a set, or gives one character.
    pub(super) fn class_escape(&mut self, set: &mut Set) -> Result<Option<u32>, PatternError> {
        self.at += 1;
        let Some(letter) = self.peek() else {
            return Err(self.syntax("a backslash with nothing behind it"));
        };
        self.at += 1;
        match letter {
            'd' => set.add(DIGITS),
            'D' => set.add_all_but(DIGITS),
            'w' => set.add(WORDS),
            'W' => set.add_all_but(WORDS),
            's' => set.add(SPACES),
            'S' => set.add_all_but(SPACES),
            'p' | 'P' if self.flags.unicode => self.property(letter, set)?,
            _ => return self.character_escape(letter).map(Some),
        }
        Ok(None)
    }

    /// `\p{Lu}`.
    fn property(&mut self, letter: char, set: &mut Set) -> Result<(), PatternError> {
        let mut name = String::new();
        if self.eat("{") {
            while let Some(next) = self.peek() {
                self.at += 1;
                match next {
                    '}' if !name.is_empty() => {
                        set.add_named(format!("\\{letter}{{{name}}}"));
                        return Ok(());
                    }
                    '=' | '_' => name.push(next),
                    next if next.is_ascii_alphanumeric() => name.push(next),
                    _ => break,
                }
            }
        }
        Err(self.syntax("a property of characters that is none"))
    }

    /// The character behind a backslash; the letter has been read.
    fn character_escape(&mut self, letter: char) -> Result<u32, PatternError> {
        let code = u32::from(letter);
        Ok(match letter {
            't' => 0x09,
            'n' => 0x0a,
            'v' => 0x0b,
            'f' => 0x0c,
            'r' => 0x0d,
            'c' => match self.peek() {
                Some(control) if control.is_ascii_alphabetic() => {
                    self.at += 1;
                    u32::from(control) % 32
                }
                _ if self.flags.unicode => return Err(self.syntax("an unknown escape")),
                // The backslash is itself, and the letter is read again.
                _ => {
                    self.at -= 1;
                    0x5c
                }
            },
            'x' => self
                .hexadecimal(2)
                .map_or_else(|| self.identity(code), Ok)?,
            'u' => self.unicode_escape(code)?,
            '0' if !self.peek().is_some_and(|it| it.is_ascii_digit()) => 0,
            '0'..='7' if !self.flags.unicode => {
                self.at -= 1;
                self.octal()
            }
            letter if self.flags.unicode && !"^$\\.*+?()[]{}|/-".contains(letter) => {
                return Err(self.syntax("an unknown escape"));
            }
            '-' if self.flags.unicode && !self.in_class() => {
                return Err(self.syntax("an unknown escape"));
            }
            _ => code,
        })
    }

    /// Whether the position is within a class, for the one escape that only is one there.
    fn in_class(&self) -> bool {
        let mut inside = false;
        let mut before = self.letters.iter().take(self.at.saturating_sub(2));
        while let Some(letter) = before.next() {
            match letter {
                '\\' => {
                    before.next();
                }
                '[' => inside = true,
                ']' => inside = false,
                _ => {}
            }
        }
        inside
    }

    /// An escape that is none, and so stands for its letter; not in Unicode mode.
    fn identity(&self, code: u32) -> Result<u32, PatternError> {
        if self.flags.unicode {
            Err(self.syntax("an unknown escape"))
        } else {
            Ok(code)
        }
    }

    /// Exactly so many hexadecimal digits, or nothing is taken.
    fn hexadecimal(&mut self, length: usize) -> Option<u32> {
        let mut value = 0;
        for offset in 0..length {
            let digit = self.peek_behind(offset)?.to_digit(16)?;
            value = value * 16 + digit;
        }
        self.at += length;
        Some(value)
    }

    fn unicode_escape(&mut self, code: u32) -> Result<u32, PatternError> {
        if self.flags.unicode && self.eat("{") {
            let mut value: u32 = 0;
            while let Some(digit) = self.peek().and_then(|it| it.to_digit(16)) {
                value = value.saturating_mul(16).saturating_add(digit);
                self.at += 1;
            }
            if !self.eat("}") || value > 0x0010_ffff {
                return Err(self.syntax("an unknown escape"));
            }
            return Ok(value);
        }
        let Some(first) = self.hexadecimal(4) else {
            return self.identity(code);
        };
        // Two halves of one character.
        if (0xd800..0xdc00).contains(&first) {
            let begin = self.at;
            if self.eat("\\u")
                && let Some(second) = self.hexadecimal(4)
                && (0xdc00..0xe000).contains(&second)
            {
                return Ok(0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00));
            }
            self.at = begin;
        }
        Ok(first)
    }

    /// Up to three octal digits, up to `\377`.
    fn octal(&mut self) -> u32 {
        let mut value = 0;
        for _ in 0..3 {
            match self.peek().and_then(|letter| letter.to_digit(8)) {
                Some(digit) if value * 8 + digit <= 0o377 => {
                    value = value * 8 + digit;
                    self.at += 1;
                }
                _ => break,
            }
        }
        value
    }
}
