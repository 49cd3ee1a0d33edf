/// A text as JavaScript's `Number` reads it, which is what docker/metadata-action does with
/// `priority`, `group` and `DOCKER_METADATA_SHORT_SHA_LENGTH`: nothing is 0, and hexadecimal,
/// octal, binary and exponents are numbers. `None` where JavaScript says `NaN`.
pub(super) fn number(text: &str) -> Option<f64> {
    let text = text.trim();
    if text.is_empty() {
        return Some(0.0);
    }
    for (prefix, radix) in [("0x", 16), ("0o", 8), ("0b", 2)] {
        let Some((start, digits)) = text.split_at_checked(2) else {
            break;
        };
        if start.eq_ignore_ascii_case(prefix) {
            return in_radix(digits, radix);
        }
    }
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    if unsigned == "Infinity" {
        return Some(if text.starts_with('-') {
            f64::NEG_INFINITY
        } else {
            f64::INFINITY
        });
    }
    // Rust would also take `inf` and `nan`.
    let is_decimal = |byte: u8| byte.is_ascii_digit() || b".eE+-".contains(&byte);
    if !unsigned.starts_with(|first: char| first.is_ascii_digit() || first == '.')
        || !unsigned.bytes().all(is_decimal)
    {
        return None;
    }
    text.parse().ok()
}

fn in_radix(digits: &str, radix: u32) -> Option<f64> {
    if digits.is_empty() {
        return None;
    }
    digits.chars().try_fold(0.0, |value, digit| {
        let digit = digit.to_digit(radix)?;
        Some(value * f64::from(radix) + f64::from(digit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_javascript_reads_them() {
        for (text, value) in [
            ("", Some(0.0)),
            ("  7 ", Some(7.0)),
            ("-1.5", Some(-1.5)),
            (".5", Some(0.5)),
            ("5.", Some(5.0)),
            ("1e3", Some(1000.0)),
            ("0x1F", Some(31.0)),
            ("0b11", Some(3.0)),
            ("Infinity", Some(f64::INFINITY)),
            ("-Infinity", Some(f64::NEG_INFINITY)),
            ("inf", None),
            ("nan", None),
            ("-0x1", None),
            ("0x", None),
            ("1_000", None),
            ("1 2", None),
            ("--1", None),
            (".", None),
            ("ten", None),
            ("ä", None),
        ] {
            assert_eq!(number(text), value, "{text}");
        }
    }
}
