/// Why a text is no size.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid size `{text}`: expected a number and a unit, for example 512mb or 10GB")]
pub struct SizeError {
    text: String,
}

/// Reads a size in decimal units, where `10GB` is 10,000,000,000 bytes (docker/go-units, `FromHumanSize`).
pub fn parse_size(text: &str) -> Result<u64, SizeError> {
    parse(text, 1000.0)
}

/// Reads a size in binary units, where `64m` is 67,108,864 bytes (docker/go-units, `RAMInBytes`).
pub fn parse_ram_in_bytes(text: &str) -> Result<u64, SizeError> {
    parse(text, 1024.0)
}

/// The grammar of docker/go-units (`parseSize`): a number, one optional space, one of `bkmgtp` with an
/// optional `b` or `ib`. The number may be fractional, and underscores may stand between its digits (Go,
/// strconv, `ParseFloat`); the result is truncated to whole bytes.
fn parse(text: &str, base: f64) -> Result<u64, SizeError> {
    let wrong = || SizeError {
        text: text.chars().take(80).collect(),
    };
    let end_of_number = text
        .rfind(|letter: char| letter.is_ascii_digit() || letter == '.' || letter == ' ')
        .map_or(0, |at| at + 1);
    let (number, suffix) = text.split_at(end_of_number);
    let number = number.strip_suffix(' ').unwrap_or(number);
    let number = without_underscores(number).ok_or_else(wrong)?;
    let number: f64 = number.parse().map_err(|_| wrong())?;
    if number.is_sign_negative() && number != 0.0 || !number.is_finite() {
        return Err(wrong());
    }
    let suffix = suffix.to_ascii_lowercase();
    let mut letters = suffix.chars();
    let power = match letters.next() {
        None => 0,
        Some('b') if letters.as_str().is_empty() => 0,
        Some('b') => return Err(wrong()),
        Some(unit) => {
            let at = "kmgtp".find(unit).ok_or_else(wrong)?;
            if !matches!(letters.as_str(), "" | "b" | "ib") {
                return Err(wrong());
            }
            i32::try_from(at + 1).map_err(|_| wrong())?
        }
    };
    let bytes = number * base.powi(power);
    // 2^63: what docker keeps a size in is a signed 64-bit number.
    if bytes >= 9_223_372_036_854_775_808.0 {
        return Err(wrong());
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "checked to lie between 0 and 2^63; docker/go-units truncates as well"
    )]
    Ok(bytes as u64)
}

/// A number without the underscores between its digits; `None` where one stands elsewhere (Go, strconv,
/// `underscoreOK`).
fn without_underscores(number: &str) -> Option<String> {
    let bytes = number.as_bytes();
    let is_digit = |at: Option<usize>| {
        let byte = at.and_then(|at| bytes.get(at));
        byte.is_some_and(u8::is_ascii_digit)
    };
    let mut underscores = number.match_indices('_');
    underscores
        .all(|(at, _)| is_digit(at.checked_sub(1)) && is_digit(at.checked_add(1)))
        .then(|| number.replace('_', ""))
}
