use jiff::Timestamp;

use super::{Environment, Error};

/// The moment that everything made in this run is dated with, and whether the user chose it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clock {
    /// Now; where `SOURCE_DATE_EPOCH` is set, that moment.
    pub now: Timestamp,
    /// Whether `SOURCE_DATE_EPOCH` said so. It then stands for the commit's date, too: the
    /// variable is there to replace every date that a build would embed
    /// (<https://reproducible-builds.org/specs/source-date-epoch/>).
    pub fixed: bool,
}

/// What the clock of this machine says, for events and ids. Nothing that is built may hold it: that is
/// what [`Clock`] is for.
pub fn timestamp() -> Timestamp {
    Timestamp::now()
}

impl Clock {
    /// Reads the clock, or `SOURCE_DATE_EPOCH`: a whole number of seconds since 1970 in UTC.
    pub(super) fn read(environment: &Environment) -> Result<Self, Error> {
        let Some(text) = environment.non_empty("SOURCE_DATE_EPOCH") else {
            return Ok(Self {
                now: Timestamp::now(),
                fixed: false,
            });
        };
        let shown = || super::printable(text, 40);
        let (is_before, digits) = match text.strip_prefix('-') {
            Some(digits) => (true, digits),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(Error::SourceDateEpoch { text: shown() });
        }
        let now = text.parse().ok();
        now.and_then(|seconds| Timestamp::from_second(seconds).ok())
            .map(|now| Self { now, fixed: true })
            .ok_or_else(|| Error::DateOutOfRange {
                text: shown(),
                last: if is_before {
                    Timestamp::MIN.as_second()
                } else {
                    Timestamp::MAX.as_second()
                },
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn source_date_epoch_is_the_clock() {
        let environment = Environment::from_iter([("SOURCE_DATE_EPOCH", "1578616200")]);
        let clock = Clock::read(&environment).unwrap();
        assert_eq!(clock.now.to_string(), "2020-01-10T00:30:00Z");
        assert!(clock.fixed);
    }

    #[test]
    fn a_bad_source_date_epoch_is_an_error() {
        let said = |text| {
            let environment = Environment::from_iter([("SOURCE_DATE_EPOCH", text)]);
            Clock::read(&environment).unwrap_err().to_string()
        };
        for text in ["yesterday", "1.5", "-", "1_000", "0x10"] {
            assert!(said(text).contains("no whole number"), "{text}");
        }
        let last = "and dates end at 253402207200";
        for text in ["253402300799", "9999999999999", "99999999999999999999"] {
            assert!(said(text).ends_with(last), "{}", said(text));
        }
        let first = "and dates end at -377705023201";
        assert!(
            said("-99999999999999").ends_with(first),
            "{}",
            said("-99999999999999")
        );
    }

    #[test]
    fn without_it_the_clock_is_read() {
        assert!(!Clock::read(&Environment::default()).unwrap().fixed);
    }
}
