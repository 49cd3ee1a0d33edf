/// The escapes of a double-quoted value: `\(?:[abcfnrtv$"\\]|0\d{0,3})`. An escaped `$` becomes
/// `$$`, which interpolation takes for a plain `$`.
pub(super) fn replace(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        out.push_str(rest.get(..at).unwrap_or_default());
        let behind = rest.get(at + 1..).unwrap_or_default();
        let (written, length) = match behind.chars().next() {
            Some('a') => ("\x07".to_owned(), 1),
            Some('b') => ("\x08".to_owned(), 1),
            Some('f') => ("\x0c".to_owned(), 1),
            Some('n') => ("\n".to_owned(), 1),
            Some('r') => ("\r".to_owned(), 1),
            Some('t') => ("\t".to_owned(), 1),
            Some('v') => ("\x0b".to_owned(), 1),
            Some('$') => ("$$".to_owned(), 1),
            Some('"') => ("\"".to_owned(), 1),
            Some('\\') => ("\\".to_owned(), 1),
            Some('0') => octal(behind),
            // `\c` matches the expression and is no escape of Go: it stays.
            _ => ("\\".to_owned(), 0),
        };
        out.push_str(&written);
        rest = behind.get(length..).unwrap_or_default();
    }
    out.push_str(rest);
    out
}

/// `\0` and up to three digits: a character, if Go takes the digits for one.
fn octal(behind: &str) -> (String, usize) {
    let digits = behind
        .bytes()
        .skip(1)
        .take(3)
        .take_while(u8::is_ascii_digit)
        .count();
    let written = behind.get(1..=digits).unwrap_or_default();
    let length = 1 + digits;
    match u32::from_str_radix(written, 8) {
        Ok(code) if digits == 3 && code < 256 => (
            char::from_u32(code).map(String::from).unwrap_or_default(),
            length,
        ),
        _ => (format!("\\{written}"), length),
    }
}
