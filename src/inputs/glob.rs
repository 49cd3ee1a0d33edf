//! Patterns with wildcards, matched in time and memory that grow with the pattern and the path and with
//! nothing else: both are written by others.

/// A pattern with wildcards (moby/patternmatcher, `compile`).
#[derive(Clone, Debug)]
pub(super) struct Glob {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq)]
enum Part {
    /// Itself.
    Text(String),
    /// `?`: one letter but `/`.
    Letter,
    /// `*`: letters but `/`.
    Letters,
    /// `[…]`: one letter in one of the ranges, or in none of them.
    Class {
        ranges: Vec<(char, char)>,
        negated: bool,
    },
    /// `**` with more behind it: nothing, or what ends with `/`.
    Folders,
    /// `**` at the end: all that is left.
    Rest,
}

type Letters<'a> = std::iter::Peekable<std::str::Chars<'a>>;

impl Glob {
    /// Reads a pattern whose syntax has been checked.
    pub(super) fn new(pattern: &str) -> Result<Self, &'static str> {
        let mut parts: Vec<Part> = Vec::new();
        let mut letters = pattern.chars().peekable();
        while let Some(letter) = letters.next() {
            let part = match letter {
                '*' if letters.next_if_eq(&'*').is_some() => {
                    letters.next_if_eq(&'/');
                    match letters.peek() {
                        Some(_) => Part::Folders,
                        None => Part::Rest,
                    }
                }
                '*' => Part::Letters,
                '?' => Part::Letter,
                '[' => class(&mut letters)?,
                '\\' => Part::Text(letters.next().unwrap_or('\\').into()),
                letter => Part::Text(letter.into()),
            };
            match (parts.last_mut(), part) {
                (Some(Part::Text(before)), Part::Text(text)) => before.push_str(&text),
                // Folders of folders are folders.
                (Some(Part::Folders), Part::Folders) => {}
                (_, part) => parts.push(part),
            }
        }
        parts.shrink_to_fit();
        Ok(Self { parts })
    }

    /// What stands in every path that it matches.
    pub(super) fn texts(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            Part::Text(text) => Some(text.as_str()),
            _ => None,
        })
    }

    /// Whether it matches the whole path.
    pub(super) fn matches(&self, path: &str) -> bool {
        if let Some(Part::Text(end)) = self.parts.last()
            && !path.ends_with(end.as_str())
        {
            return false;
        }
        // How far the parts so far can reach: places in the path, the first one first.
        let mut places = vec![0];
        let mut next = Vec::new();
        for part in &self.parts {
            part.reach(path, &places, &mut next);
            std::mem::swap(&mut places, &mut next);
            next.clear();
            if places.is_empty() {
                return false;
            }
        }
        places.last() == Some(&path.len())
    }
}

impl Part {
    /// Where in `path` this part can end that begins at one of `places`.
    fn reach(&self, path: &str, places: &[usize], next: &mut Vec<usize>) {
        // Every place is the end of a letter.
        let behind = |place: usize| path.get(place..).unwrap_or_default();
        match self {
            Self::Text(text) => {
                let fitting = places.iter().filter(|at| behind(**at).starts_with(text));
                next.extend(fitting.map(|at| at + text.len()));
            }
            Self::Letter | Self::Class { .. } => {
                for &at in places {
                    let letter = behind(at).chars().next();
                    next.extend(
                        letter
                            .filter(|it| self.takes(*it))
                            .map(|it| at + it.len_utf8()),
                    );
                }
            }
            Self::Letters => {
                for &at in places {
                    // What one place reaches, those in the same folder's name reach as well.
                    if next.last().is_some_and(|last| *last >= at) {
                        continue;
                    }
                    next.push(at);
                    let name = behind(at).chars().take_while(|letter| *letter != '/');
                    next.extend(name.scan(at, |end, letter| {
                        *end += letter.len_utf8();
                        Some(*end)
                    }));
                }
            }
            Self::Folders => {
                let mut line_end = None;
                for &at in places {
                    next.push(at);
                    if line_end.is_some_and(|end| at <= end) {
                        continue;
                    }
                    // No regular expression's `.` is the end of a line.
                    let line = behind(at).split('\n').next().unwrap_or_default();
                    line_end = Some(at + line.len());
                    next.extend(line.match_indices('/').map(|(slash, _)| at + slash + 1));
                }
                next.sort_unstable();
                next.dedup();
            }
            Self::Rest => {
                if places.iter().any(|at| !behind(*at).contains('\n')) {
                    next.push(path.len());
                }
            }
        }
    }

    /// Whether it is this one letter.
    fn takes(&self, letter: char) -> bool {
        match self {
            Self::Class { ranges, negated } => {
                let mut ranges = ranges.iter();
                ranges.any(|(first, last)| (*first..=*last).contains(&letter)) != *negated
            }
            _ => letter != '/',
        }
    }
}

/// A class after its `[`, up to and with its `]`.
fn class(letters: &mut Letters<'_>) -> Result<Part, &'static str> {
    let negated = letters.next_if_eq(&'^').is_some();
    let mut ranges = Vec::new();
    while let Some(first) = end_of_range(letters) {
        let last = match letters.next_if_eq(&'-') {
            Some(_) => end_of_range(letters).unwrap_or(first),
            None => first,
        };
        if last < first {
            return Err("a range in `[…]` runs backwards");
        }
        ranges.push((first, last));
    }
    Ok(Part::Class { ranges, negated })
}

/// The next letter of a class; none at its end.
fn end_of_range(letters: &mut Letters<'_>) -> Option<char> {
    match letters.next()? {
        ']' => None,
        '\\' => letters.next(),
        letter => Some(letter),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The regular expression that moby makes of a pattern.
    fn as_regex(pattern: &str) -> regex::Regex {
        let mut text = String::from("^");
        let mut letters = pattern.chars().peekable();
        while let Some(letter) = letters.next() {
            match letter {
                '*' if letters.next_if_eq(&'*').is_some() => {
                    letters.next_if_eq(&'/');
                    let is_last = letters.peek().is_none();
                    text.push_str(if is_last { ".*" } else { "(.*/)?" });
                }
                '*' => text.push_str("[^/]*"),
                '?' => text.push_str("[^/]"),
                '[' | ']' | '^' | '-' => text.push(letter),
                letter => text.push_str(&regex::escape(&letter.to_string())),
            }
        }
        regex::Regex::new(&(text + "$")).unwrap()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]
        #[test]
        fn a_glob_matches_what_the_regular_expression_of_moby_does(
            pieces in prop::collection::vec(
                prop::sample::select(vec!["a", "b", "/", "*", "**", "**/", "?", "[ab]", "[^a]", "[a-c]", "é"]),
                0..9,
            ),
            path in "[ab/é\n]{0,9}",
        ) {
            let pattern = pieces.concat();
            let glob = Glob::new(&pattern).unwrap();
            prop_assert_eq!(glob.matches(&path), as_regex(&pattern).is_match(&path), "{} {}", pattern, path);
        }
    }

    #[test]
    fn what_is_meant_to_take_long_does_not() {
        let path = "a/".repeat(2000);
        let pattern = format!("{}b", "**a**/*".repeat(200));
        assert!(!Glob::new(&pattern).unwrap().matches(&path));
        assert!(Glob::new(&"**/".repeat(1_000_000)).unwrap().matches(&path));
        assert!(!Glob::new(&"?".repeat(1_000_000)).unwrap().matches(&path));
        assert!(Glob::new("[z-a]").is_err());
    }
}
