//! Go's `filepath.Match`: the wildcards of `COPY`, and what moby demands of a pattern before it makes
//! an expression of it.

/// A pattern that is none, as far as the name made Go look at it.
pub(super) type Malformed = &'static str;

const UNCLOSED: Malformed = "a `[` is not closed";
const NO_END: Malformed = "a range in `[…]` has no end";
const BACKSLASH: Malformed = "it ends with a backslash";

/// Whether the pattern matches the whole name, in which `*` and `?` cross no slash.
///
/// Like Go's, it looks no further into a pattern than the name leads it: what is malformed behind the
/// first part that does not match goes unseen.
pub(super) fn matches(pattern: &str, name: &str) -> Result<bool, Malformed> {
    let (mut pattern, mut name) = (pattern, name);
    'parts: while !pattern.is_empty() {
        let part = pattern.trim_start_matches('*');
        let has_star = part.len() < pattern.len();
        let (chunk, behind) = part.split_at(chunk_length(part));
        pattern = behind;
        if has_star && chunk.is_empty() {
            return Ok(!name.contains('/'));
        }
        // The last chunk must use up the name.
        let fits = |left: &&str| left.is_empty() || !behind.is_empty();
        if let Some(left) = match_chunk(chunk, name)?.filter(fits) {
            name = left;
            continue;
        }
        if has_star {
            let mut skipped = name.chars();
            while skipped.next().is_some_and(|letter| letter != '/') {
                if let Some(left) = match_chunk(chunk, skipped.as_str())?.filter(fits) {
                    name = left;
                    continue 'parts;
                }
            }
        }
        return Ok(false);
    }
    Ok(name.is_empty())
}

/// How many bytes there are before the next star that is one.
fn chunk_length(pattern: &str) -> usize {
    let mut in_range = false;
    let mut letters = pattern.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '\\' => {
                letters.next();
            }
            '[' => in_range = true,
            ']' => in_range = false,
            '*' if !in_range => return at,
            _ => {}
        }
    }
    pattern.len()
}

/// What is left of the name behind the chunk, if it matches. A chunk that does not is read to its end.
fn match_chunk<'a>(chunk: &str, name: &'a str) -> Result<Option<&'a str>, Malformed> {
    let mut name = Some(name.chars());
    let mut chunk = chunk.chars();
    while let Some(mark) = chunk.next() {
        let letter = name.as_mut().and_then(Iterator::next);
        let matches = match mark {
            '[' => class(&mut chunk, letter)?,
            '?' => letter != Some('/'),
            '\\' => letter == Some(chunk.next().ok_or(BACKSLASH)?),
            mark => letter == Some(mark),
        };
        if letter.is_none() || !matches {
            name = None;
        }
    }
    Ok(name.map(|name| name.as_str()))
}

/// Whether a letter is in the class behind a `[`.
fn class(chunk: &mut std::str::Chars<'_>, letter: Option<char>) -> Result<bool, Malformed> {
    let negated = chunk.as_str().starts_with('^');
    if negated {
        chunk.next();
    }
    let mut found = false;
    let mut is_first = true;
    while is_first || !chunk.as_str().starts_with(']') {
        is_first = false;
        let low = class_letter(chunk, UNCLOSED)?;
        let mut high = low;
        if chunk.as_str().starts_with('-') {
            chunk.next();
            high = class_letter(chunk, NO_END)?;
        }
        found |= letter.is_some_and(|letter| (low..=high).contains(&letter));
    }
    chunk.next();
    Ok(found != negated)
}

/// One end of a range (`getEsc`). `-` and `]` need a backslash, and something must follow.
fn class_letter(chunk: &mut std::str::Chars<'_>, missing: Malformed) -> Result<char, Malformed> {
    let letter = match chunk.next().ok_or(UNCLOSED)? {
        '-' | ']' => return Err(missing),
        '\\' => chunk.next().ok_or(UNCLOSED)?,
        letter => letter,
    };
    if chunk.as_str().is_empty() {
        return Err(UNCLOSED);
    }
    Ok(letter)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_letter_behind_a_backslash_is_itself() {
        assert_eq!(matches("a\\d*", "ad1"), Ok(true));
        assert_eq!(matches("a\\d*", "a5"), Ok(false));
        assert_eq!(matches("[a^]*", "^x"), Ok(true));
        assert_eq!(matches("a+", "aa"), Ok(false));
        assert_eq!(matches("a|b", "a"), Ok(false));
        assert_eq!(matches("*x*.t?", "axb.té"), Ok(true));
        assert_eq!(matches("*", "a/b"), Ok(false));
        assert_eq!(matches("[^a-c]", "d"), Ok(true));
        assert_eq!(matches("[^a-c]", ""), Ok(false));
    }

    #[test]
    fn what_the_name_does_not_lead_to_goes_unseen() {
        assert_eq!(matches("[]a]", "."), Err(UNCLOSED));
        assert_eq!(matches("a*[]b]", "."), Ok(false));
        assert_eq!(matches("x\\", "."), Err(BACKSLASH));
        assert_eq!(matches("[a-]", "."), Err(NO_END));
        assert_eq!(matches("[a", "."), Err(UNCLOSED));
    }
}
