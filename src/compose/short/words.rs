//! Splits a command into words as compose does, with <https://github.com/mattn/go-shellwords>.

/// The words of a command; none if it is no command line.
///
/// Quotes and `\` work as in a shell. Backquotes and `$(…)` are kept as they stand. The command
/// ends at an unquoted `;`, `&`, `|`, `<` or `>`.
pub(in crate::compose) fn split(line: &str) -> Option<Vec<String>> {
    let mut splitter = Splitter::default();
    for letter in line.chars() {
        if splitter.take(letter)? {
            break;
        }
    }
    splitter.end()
}

#[derive(Default)]
struct Splitter {
    words: Vec<String>,
    word: String,
    /// Whether there is a word, which may be empty quotes.
    got: bool,
    escaped: bool,
    within: Within,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Within {
    #[default]
    Nothing,
    Single,
    Double,
    Backquotes,
    Substitution,
}

impl Splitter {
    /// Takes a letter; says whether the command ends before it. None if it cannot stand there.
    fn take(&mut self, letter: char) -> Option<bool> {
        if self.escaped {
            self.escaped = false;
            self.escape(letter);
            return Some(false);
        }
        let within = self.within;
        match letter {
            '\\' if within != Within::Single => {
                self.escaped = true;
                return Some(false);
            }
            '\\' => {
                self.word.push('\\');
                return Some(false);
            }
            ' ' | '\t' | '\r' | '\n' => {
                if within != Within::Nothing {
                    self.word.push(letter);
                } else if self.got {
                    self.words.push(std::mem::take(&mut self.word));
                    self.got = false;
                }
                return Some(false);
            }
            '"' | '\'' => {
                let own = if letter == '"' {
                    Within::Double
                } else {
                    Within::Single
                };
                if within == Within::Nothing {
                    self.within = own;
                    return Some(false);
                }
                if within == own {
                    self.within = Within::Nothing;
                    self.got = true;
                    return Some(false);
                }
            }
            '`' if within == Within::Nothing => self.within = Within::Backquotes,
            '`' if within == Within::Backquotes => self.within = Within::Nothing,
            '(' if matches!(within, Within::Nothing | Within::Substitution) => {
                let opens = within == Within::Nothing
                    && self.word.ends_with('$')
                    && !self.word.ends_with("\\$");
                if !opens {
                    return None;
                }
                self.within = Within::Substitution;
                self.word.push('(');
                return Some(false);
            }
            ')' if within == Within::Substitution => self.within = Within::Nothing,
            ')' if within == Within::Nothing => self.within = Within::Substitution,
            ';' | '&' | '|' | '<' | '>' if within == Within::Nothing => {
                // The number before `>` is a file descriptor, not a word.
                if letter == '>'
                    && !self.word.is_empty()
                    && self.word.bytes().all(|byte| byte.is_ascii_digit())
                {
                    self.got = false;
                }
                return Some(true);
            }
            _ => {}
        }
        self.got = true;
        self.word.push(letter);
        Some(false)
    }

    fn escape(&mut self, letter: char) {
        match (self.within, letter) {
            (Within::Backquotes | Within::Substitution, letter) => {
                self.word.push('\\');
                self.word.push(letter);
            }
            (_, 't') => self.word.push('\t'),
            (_, 'n') => self.word.push('\n'),
            (_, letter) => self.word.push(letter),
        }
        self.got = true;
    }

    fn end(mut self) -> Option<Vec<String>> {
        if self.escaped || self.within != Within::Nothing {
            return None;
        }
        if self.got {
            self.words.push(self.word);
        }
        Some(self.words)
    }
}

#[cfg(test)]
mod tests {
    use super::split;

    #[test]
    fn words() {
        for (line, want) in [
            ("a  b", vec!["a", "b"]),
            ("a 'b c' \"d e\"", vec!["a", "b c", "d e"]),
            ("a \"\" b", vec!["a", "", "b"]),
            ("a\\ b", vec!["a b"]),
            ("a 'x\\y'", vec!["a", "x\\y"]),
            ("echo `date -u` x", vec!["echo", "`date -u`", "x"]),
            ("echo $(a b) x", vec!["echo", "$(a b)", "x"]),
            ("a && b", vec!["a"]),
            ("a 2>&1", vec!["a"]),
            ("", vec![]),
        ] {
            assert_eq!(split(line).unwrap(), want, "{line}");
        }
        for wrong in ["a 'b", "a \"b", "a\\", "a (b)", "`x"] {
            assert_eq!(split(wrong), None, "{wrong}");
        }
    }
}
