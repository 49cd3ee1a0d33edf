//! What a plain scalar means: the rules of go-yaml v3, which are neither YAML 1.1 nor 1.2.
//!
//! `yes` and `on` are text, `0777` and `0o777` are octal, `1_000` is a number, `08` is a float,
//! `2020-01-01` is a date, and `3.10` is 3.1 (which is why compose wants it in quotes).

use std::sync::Arc;

use super::node::Value;

/// What an unquoted, untagged scalar means.
pub(super) fn resolve(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" => return Value::Bool(true),
        "false" | "False" | "FALSE" => return Value::Bool(false),
        ".nan" | ".NaN" | ".NAN" => return Value::Float(f64::NAN),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => {
            return Value::Float(f64::INFINITY);
        }
        "-.inf" | "-.Inf" | "-.INF" => return Value::Float(f64::NEG_INFINITY),
        _ => {}
    }
    let value = match text.as_bytes().first() {
        Some(b'.') => text
            .parse()
            .ok()
            .filter(|_| is_float(text))
            .map(Value::Float),
        Some(b'0'..=b'9' | b'+' | b'-') => time(text)
            .map(|time| Value::Time(time.into()))
            .or_else(|| number(text)),
        _ => None,
    };
    value.unwrap_or_else(|| Value::Text(Arc::from(text)))
}

/// A number, in any of the notations of go-yaml.
fn number(text: &str) -> Option<Value> {
    let plain: String = text.chars().filter(|letter| *letter != '_').collect();
    if let Some(value) = integer(&plain) {
        return Some(value);
    }
    if is_float(&plain) {
        // A number beyond the range is an error to Go, and so the text stays text.
        return plain
            .parse()
            .ok()
            .filter(|float: &f64| float.is_finite())
            .map(Value::Float);
    }
    None
}

/// What Go's `ParseInt` and `ParseUint` with base 0 take.
fn integer(plain: &str) -> Option<Value> {
    let (negative, digits) = match plain.as_bytes().first() {
        Some(b'-') => (true, plain.get(1..)?),
        Some(b'+') => (false, plain.get(1..)?),
        _ => (false, plain),
    };
    let lower = digits.get(..2).map(str::to_ascii_lowercase);
    let (radix, digits) = match lower.as_deref() {
        Some("0x") => (16, digits.get(2..)?),
        Some("0b") => (2, digits.get(2..)?),
        Some("0o") => (8, digits.get(2..)?),
        _ if digits.len() > 1 && digits.starts_with('0') => (8, digits.get(1..)?),
        _ => (10, digits),
    };
    if digits.is_empty() || !digits.chars().all(|letter| letter.is_digit(radix)) {
        return None;
    }
    let size = u64::from_str_radix(digits, radix).ok()?;
    if negative {
        return 0_i64.checked_sub_unsigned(size).map(Value::Int);
    }
    match i64::try_from(size) {
        Ok(size) => Some(Value::Int(size)),
        // ParseUint takes no sign.
        Err(_) if plain.starts_with('+') => None,
        Err(_) => Some(Value::Uint(size)),
    }
}

/// `[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?`
fn is_float(text: &str) -> bool {
    let rest = text.strip_prefix(['-', '+']).unwrap_or(text);
    let whole = digits(rest);
    let rest = rest.get(whole..).unwrap_or_default();
    let rest = match rest.strip_prefix('.') {
        Some(fraction) => {
            let length = digits(fraction);
            if whole == 0 && length == 0 {
                return false;
            }
            fraction.get(length..).unwrap_or_default()
        }
        None if whole == 0 => return false,
        None => rest,
    };
    match rest.strip_prefix(['e', 'E']) {
        None => rest.is_empty(),
        Some(exponent) => {
            let exponent = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
            !exponent.is_empty() && digits(exponent) == exponent.len()
        }
    }
}

fn digits(text: &str) -> usize {
    text.bytes().take_while(u8::is_ascii_digit).count()
}

/// A date or a time in one of the four notations that go-yaml takes, as RFC 3339.
fn time(text: &str) -> Option<String> {
    let year = text.get(..4).filter(|year| digits(year) == 4)?;
    let (month, rest) = up_to_two(text.get(4..)?.strip_prefix('-')?)?;
    let (day, rest) = up_to_two(rest.strip_prefix('-')?)?;
    let leap = year
        .parse::<u32>()
        .is_ok_and(|year| year % 4 == 0 && (year % 100 != 0 || year % 400 == 0));
    let days = match month {
        2 => 28 + u32::from(leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if day == 0 || day > days {
        return None;
    }
    let date = format!("{year}-{month:02}-{day:02}");
    if rest.is_empty() {
        return Some(format!("{date}T00:00:00Z"));
    }
    let zoned = !rest.starts_with(' ');
    let (hour, rest) = up_to_two(rest.strip_prefix(['T', 't', ' '])?)?;
    let (minute, rest) = up_to_two(rest.strip_prefix(':')?)?;
    let (second, rest) = up_to_two(rest.strip_prefix(':')?)?;
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let (fraction, rest) = match rest.strip_prefix('.') {
        Some(fraction) => {
            let length = digits(fraction);
            let kept = fraction.get(..length.min(9))?.trim_end_matches('0');
            (kept, fraction.get(length..)?)
        }
        None => ("", rest),
    };
    let zone = match (zoned, rest) {
        (false, "") | (true, "Z") => "Z",
        (true, zone) if is_zone(zone) => zone,
        _ => return None,
    };
    let dot = if fraction.is_empty() { "" } else { "." };
    Some(format!(
        "{date}T{hour:02}:{minute:02}:{second:02}{dot}{fraction}{zone}"
    ))
}

/// `+01:00`
fn is_zone(zone: &str) -> bool {
    match zone.as_bytes() {
        [b'+' | b'-', hours @ .., b':', m, n] => {
            hours.len() == 2
                && hours.iter().all(u8::is_ascii_digit)
                && m.is_ascii_digit()
                && n.is_ascii_digit()
        }
        _ => false,
    }
}

fn up_to_two(text: &str) -> Option<(u32, &str)> {
    let length = digits(text).min(2);
    Some((text.get(..length)?.parse().ok()?, text.get(length..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_scalars_mean_what_go_yaml_says() {
        for (text, want) in [
            ("yes", "Text(\"yes\")"),
            ("0777", "Int(511)"),
            ("0o17", "Int(15)"),
            ("0x1F", "Int(31)"),
            ("08", "Float(8.0)"),
            ("1_000", "Int(1000)"),
            ("-1", "Int(-1)"),
            ("+1", "Int(1)"),
            ("3.10", "Float(3.1)"),
            (".5", "Float(0.5)"),
            ("1e3", "Float(1000.0)"),
            ("12345678901234567890", "Uint(12345678901234567890)"),
            ("1.2.3", "Text(\"1.2.3\")"),
            ("1:30", "Text(\"1:30\")"),
            ("2020-1-1", "Time(\"2020-01-01T00:00:00Z\")"),
            (
                "2020-01-01T10:00:00+01:00",
                "Time(\"2020-01-01T10:00:00+01:00\")",
            ),
            ("2020-02-30", "Text(\"2020-02-30\")"),
            ("0x", "Text(\"0x\")"),
            ("-", "Text(\"-\")"),
            ("1e", "Text(\"1e\")"),
            ("~", "Null"),
            ("TRUE", "Bool(true)"),
        ] {
            assert_eq!(format!("{:?}", resolve(text)), want, "{text}");
        }
    }
}
