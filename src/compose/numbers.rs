//! How Go writes values: `fmt.Sprint`, `strconv.FormatFloat`, `time.Duration`.

use std::fmt::Write as _;

use super::node::{Node, Value};

/// A value as Go's `fmt.Sprint` writes it.
pub(super) fn sprint(node: &Node) -> String {
    match &node.value {
        Value::Null => "<nil>".to_owned(),
        Value::Bool(flag) => flag.to_string(),
        Value::Int(whole) => whole.to_string(),
        Value::Uint(whole) => whole.to_string(),
        Value::Float(float) => general(*float),
        Value::Text(text) => text.to_string(),
        Value::Time(time) => time.strip_suffix('Z').map_or_else(
            || time.to_string(),
            |time| format!("{} +0000 UTC", time.replace('T', " ")),
        ),
        Value::List(list) => {
            let items: Vec<String> = list.iter().map(sprint).collect();
            format!("[{}]", items.join(" "))
        }
        Value::Map(map) => {
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_by_key(|(key, _)| (*key).clone());
            let entries: Vec<String> = entries
                .into_iter()
                .map(|(key, entry)| format!("{key}:{}", sprint(&entry.node)))
                .collect();
            format!("map[{}]", entries.join(" "))
        }
    }
}

/// The digits of a number, shortest that read back the same, and its decimal exponent: 0.00123 is
/// `123` and -3.
fn digits(float: f64) -> (String, i32) {
    let written = format!("{:e}", float.abs());
    let (digits, exponent) = written.split_once('e').unwrap_or((&written, "0"));
    (
        digits.replace('.', ""),
        exponent.parse().unwrap_or_default(),
    )
}

/// `FormatFloat(float, 'g', -1, 64)`: with an exponent below 0.0001 and from a million on.
pub(super) fn general(float: f64) -> String {
    if float.is_nan() {
        return "NaN".to_owned();
    }
    if float.is_infinite() {
        return if float > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    let (_, exponent) = digits(float);
    if float != 0.0 && !(-4..6).contains(&exponent) {
        return scientific(float);
    }
    plain(float)
}

/// A float as Go's JSON writes it; none for what JSON cannot hold.
pub(super) fn json(float: f64) -> Option<String> {
    if !float.is_finite() {
        return None;
    }
    let size = float.abs();
    if float != 0.0 && !(1e-6..1e21).contains(&size) {
        let mut text = scientific(float);
        // Go's JSON takes the zero out of e-09.
        if let Some(at) = text.find("e-0") {
            text.remove(at + 2);
        }
        return Some(text);
    }
    Some(plain(float))
}

fn plain(float: f64) -> String {
    let text = format!("{float}");
    if text == "-0" { "-0".to_owned() } else { text }
}

fn scientific(float: f64) -> String {
    let (digits, exponent) = digits(float);
    let sign = if float.is_sign_negative() { "-" } else { "" };
    let (first, rest) = digits.split_at(1.min(digits.len()));
    let dot = if rest.is_empty() { "" } else { "." };
    let exponent_sign = if exponent < 0 { '-' } else { '+' };
    format!(
        "{sign}{first}{dot}{rest}e{exponent_sign}{:02}",
        exponent.unsigned_abs()
    )
}

/// A `time.Duration` in nanoseconds, as Go writes it: `1m30s`, `1.5s`, `0s`.
pub(super) fn duration(nanoseconds: i64) -> String {
    if nanoseconds == 0 {
        return "0s".to_owned();
    }
    let sign = if nanoseconds < 0 { "-" } else { "" };
    let size = nanoseconds.unsigned_abs();
    let small = [
        (1_000, "ns", 1),
        (1_000_000, "µs", 1_000),
        (1_000_000_000, "ms", 1_000_000),
    ];
    for (below, unit, divisor) in small {
        if size < below {
            return format!("{sign}{}{unit}", fraction(size, divisor));
        }
    }
    let mut text = sign.to_owned();
    let seconds = size % 60_000_000_000;
    let minutes = size / 60_000_000_000;
    if minutes >= 60 {
        let _ = write!(text, "{}h", minutes / 60);
    }
    if minutes > 0 {
        let _ = write!(text, "{}m", minutes % 60);
    }
    let _ = write!(text, "{}s", fraction(seconds, 1_000_000_000));
    text
}

fn fraction(value: u64, divisor: u64) -> String {
    let whole = value / divisor;
    let rest = value % divisor;
    if rest == 0 {
        return whole.to_string();
    }
    let width = divisor.to_string().len() - 1;
    let digits = format!("{rest:0width$}");
    format!("{whole}.{}", digits.trim_end_matches('0'))
}

/// Reads a duration as compose does: Go's units, and `d` and `w`
/// (<https://github.com/xhit/go-str2duration>).
pub(super) fn parse_duration(text: &str) -> Option<i64> {
    let (negative, mut rest) = match text.as_bytes().first()? {
        b'-' => (true, text.get(1..)?),
        b'+' => (false, text.get(1..)?),
        _ => (false, text),
    };
    if rest == "0" {
        return Some(0);
    }
    if rest.is_empty() {
        return None;
    }
    let mut total: i64 = 0;
    while !rest.is_empty() {
        let length = leading_digits(rest);
        let whole: i64 = match length {
            0 => 0,
            _ => rest.get(..length)?.parse().ok()?,
        };
        rest = rest.get(length..)?;
        let mut part = 0.0;
        let mut part_length = 0;
        if let Some(behind) = rest.strip_prefix('.') {
            part_length = leading_digits(behind);
            part = match part_length {
                0 => 0.0,
                _ => format!("0.{}", behind.get(..part_length)?).parse().ok()?,
            };
            rest = behind.get(part_length..)?;
        }
        if length == 0 && part_length == 0 {
            return None;
        }
        let unit_length = rest
            .bytes()
            .take_while(|byte| *byte != b'.' && !byte.is_ascii_digit())
            .count();
        let unit = unit(rest.get(..unit_length)?)?;
        rest = rest.get(unit_length..)?;
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            reason = "as Go computes it; a fraction of a week fits"
        )]
        let part = (part * unit as f64) as i64;
        total = total.checked_add(whole.checked_mul(unit)?.checked_add(part)?)?;
    }
    Some(if negative { -total } else { total })
}

fn leading_digits(text: &str) -> usize {
    text.bytes().take_while(u8::is_ascii_digit).count()
}

fn unit(name: &str) -> Option<i64> {
    const SECOND: i64 = 1_000_000_000;
    Some(match name {
        "ns" => 1,
        "us" | "µs" | "μs" => 1_000,
        "ms" => 1_000_000,
        "s" => SECOND,
        "m" => 60 * SECOND,
        "h" => 3_600 * SECOND,
        "d" => 24 * 3_600 * SECOND,
        "w" => 168 * 3_600 * SECOND,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_are_written_as_go_writes_them() {
        for (float, sprint, in_json) in [
            (1.5, "1.5", "1.5"),
            (1e6, "1e+06", "1000000"),
            (100.0, "100", "100"),
            (1e30, "1e+30", "1e+30"),
            (0.000_01, "1e-05", "0.00001"),
            (1.25e-9, "1.25e-09", "1.25e-9"),
            (123_456_789.0, "1.23456789e+08", "123456789"),
        ] {
            assert_eq!(general(float), sprint);
            assert_eq!(json(float).as_deref(), Some(in_json));
        }
    }

    #[test]
    fn durations() {
        for (text, want) in [
            ("1m30s", "1m30s"),
            ("90s", "1m30s"),
            ("1d2h", "26h0m0s"),
            ("1.5s", "1.5s"),
            ("10ms", "10ms"),
            ("1us", "1µs"),
            ("0", "0s"),
            ("-1h", "-1h0m0s"),
        ] {
            assert_eq!(
                parse_duration(text).map(duration).as_deref(),
                Some(want),
                "{text}"
            );
        }
        for text in ["", "1", "s", "1x", "1h1", ".s"] {
            assert_eq!(parse_duration(text), None, "{text}");
        }
    }
}
