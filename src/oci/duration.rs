use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// A span of time as people write it in policies: `720h`, `30d`, `1h30m`, `2w`.
///
/// Go's durations (`time.ParseDuration`: `h`, `m`, `s`, `ms`, `us`, `ns`), as docker's filters take
/// them, plus days and weeks of exactly 24 and 168 hours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct HumanDuration(pub Duration);

/// Why a text is no duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid duration `{text}`: expected numbers with units, for example 720h, 30d or 1h30m")]
pub struct DurationError {
    text: String,
}

impl FromStr for HumanDuration {
    type Err = DurationError;

    fn from_str(text: &str) -> Result<Self, DurationError> {
        let wrong = || DurationError {
            text: text.chars().take(80).collect(),
        };
        if text == "0" {
            return Ok(Self(Duration::ZERO));
        }
        let mut seconds = 0.0_f64;
        let mut rest = text;
        while !rest.is_empty() {
            let digits = rest
                .find(|letter: char| !letter.is_ascii_digit() && letter != '.')
                .ok_or_else(wrong)?;
            let (number, behind) = rest.split_at(digits);
            let unit_end = behind
                .find(|letter: char| letter.is_ascii_digit() || letter == '.')
                .unwrap_or(behind.len());
            let (unit, behind) = behind.split_at(unit_end);
            let number: f64 = number.parse().map_err(|_| wrong())?;
            seconds += number
                * match unit {
                    "ns" => 1e-9,
                    "us" | "µs" | "μs" => 1e-6,
                    "ms" => 1e-3,
                    "s" => 1.0,
                    "m" => 60.0,
                    "h" => 3600.0,
                    "d" => 86_400.0,
                    "w" => 604_800.0,
                    _ => return Err(wrong()),
                };
            rest = behind;
        }
        if text.is_empty() {
            return Err(wrong());
        }
        Duration::try_from_secs_f64(seconds)
            .map(Self)
            .map_err(|_| wrong())
    }
}

impl fmt::Display for HumanDuration {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        if seconds == 0 {
            return write!(formatter, "{}ms", self.0.subsec_millis());
        }
        let units = [("d", 86_400), ("h", 3600), ("m", 60), ("s", 1)];
        let mut rest = seconds;
        for (name, length) in units {
            if rest >= length {
                write!(formatter, "{}{name}", rest / length)?;
                rest %= length;
            }
        }
        Ok(())
    }
}

impl<'de> serde::Deserialize<'de> for HumanDuration {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl serde::Serialize for HumanDuration {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn go_durations_and_days_are_read() {
        for (text, seconds) in [
            ("720h", 2_592_000),
            ("30d", 2_592_000),
            ("1h30m", 5400),
            ("2w", 1_209_600),
            ("0", 0),
            ("1.5h", 5400),
        ] {
            let read: HumanDuration = text.parse().unwrap();
            assert_eq!(read.0.as_secs(), seconds, "{text}");
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for text in [
            "",
            "h",
            "30",
            "-1h",
            "1 h",
            "1y",
            "1e9h",
            "999999999999999999999h",
            "h1",
        ] {
            assert!(text.parse::<HumanDuration>().is_err(), "{text}");
        }
    }

    #[test]
    fn printing_and_reading_agree() {
        for text in ["30d", "1h30m", "1d2h3m4s"] {
            let read: HumanDuration = text.parse().unwrap();
            assert_eq!(read.to_string(), text);
        }
    }
}
