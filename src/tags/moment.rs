//! Dates in the tokens of moment.js (<https://momentjs.com/docs/#/displaying/format/>), which is
//! what `{{date 'YYYYMMDD-HHmmss'}}` is written in. English, as the action's runner has it.

use std::fmt::Write as _;

use jiff::Zoned;
use jiff::civil::Weekday;

/// What is written where no format was given: ISO 8601 without fractions.
const DEFAULT: &str = "YYYY-MM-DDTHH:mm:ssZ";
/// The same in UTC.
const DEFAULT_UTC: &str = "YYYY-MM-DDTHH:mm:ss[Z]";
/// The longest format that is read, in bytes; a tag has 128 characters.
const MAX_FORMAT: usize = 1024;

/// Writes the moment in the given format. `None` where the format is too long.
pub(super) fn format(moment: &Zoned, format: &str) -> Option<String> {
    if format.len() > MAX_FORMAT {
        return None;
    }
    let is_utc = moment.time_zone().iana_name() == Some("UTC");
    let format = match format {
        "" if is_utc => DEFAULT_UTC,
        "" => DEFAULT,
        given => given,
    };
    let mut written = String::new();
    for piece in Pieces(&expand(format)) {
        match piece {
            Piece::Text(text) => written.push_str(text),
            Piece::Token(token) => write_token(&mut written, moment, token),
        }
    }
    Some(written)
}

/// Whether a format tells one second from the next.
pub(super) fn has_seconds(format: &str) -> bool {
    let format = if format.is_empty() { DEFAULT } else { format };
    format.len() <= MAX_FORMAT
        && Pieces(&expand(format)).any(|piece| match piece {
            Piece::Token(token) => token.ends_with(['s', 'X', 'x']),
            Piece::Text(_) => false,
        })
}

/// The long forms, which stand for other formats (moment's `expandFormat`). Five rounds, because
/// a long form might hold another.
fn expand(format: &str) -> String {
    let mut format = format.to_owned();
    for _ in 0..=5 {
        let mut expanded = String::new();
        let mut rest = format.as_str();
        let mut changed = false;
        while let Some(first) = rest.chars().next() {
            let length = bracketed(rest)
                .or_else(|| Some(1 + long_token(rest.strip_prefix('\\')?)?))
                .or_else(|| long_token(rest));
            let (piece, behind) = rest.split_at(length.unwrap_or(first.len_utf8()));
            match long_form(piece) {
                Some(form) => {
                    expanded.push_str(form);
                    changed = true;
                }
                None => expanded.push_str(piece),
            }
            rest = behind;
        }
        format = expanded;
        if !changed {
            break;
        }
    }
    format
}

fn long_form(token: &str) -> Option<&'static str> {
    Some(match token {
        "LTS" => "h:mm:ss A",
        "LT" => "h:mm A",
        "L" => "MM/DD/YYYY",
        "LL" => "MMMM D, YYYY",
        "LLL" => "MMMM D, YYYY h:mm A",
        "LLLL" => "dddd, MMMM D, YYYY h:mm A",
        "l" => "M/D/YYYY",
        "ll" => "MMM D, YYYY",
        "lll" => "MMM D, YYYY h:mm A",
        "llll" => "ddd, MMM D, YYYY h:mm A",
        _ => return None,
    })
}

/// The length of a long form at the start of the text.
fn long_token(text: &str) -> Option<usize> {
    for token in ["LTS", "LT"] {
        if text.starts_with(token) {
            return Some(token.len());
        }
    }
    let run = |letter| {
        text.bytes()
            .take_while(|byte| *byte == letter)
            .count()
            .min(4)
    };
    [run(b'L'), run(b'l')]
        .into_iter()
        .find(|length| *length > 0)
}

/// The length of `[text]` at the start of the text: a closing bracket may be in it, an opening one
/// may not.
fn bracketed(text: &str) -> Option<usize> {
    let inner = text.strip_prefix('[')?;
    let end = inner.find('[').unwrap_or(inner.len());
    Some(inner.get(..end)?.rfind(']')? + 2)
}

/// A format, piece by piece.
struct Pieces<'a>(&'a str);

enum Piece<'a> {
    Text(&'a str),
    Token(&'a str),
}

impl<'a> Iterator for Pieces<'a> {
    type Item = Piece<'a>;

    fn next(&mut self) -> Option<Piece<'a>> {
        let first = self.0.chars().next()?;
        if let Some(length) = bracketed(self.0) {
            let (text, behind) = self.0.split_at(length);
            self.0 = behind;
            return Some(Piece::Text(text.get(1..length - 1).unwrap_or_default()));
        }
        // A backslash takes away the meaning of what is behind it, and goes away itself.
        if let Some(behind) = self.0.strip_prefix('\\') {
            let next = behind.chars().next().map_or(0, char::len_utf8);
            let (text, behind) = behind.split_at(token(behind).unwrap_or(next));
            self.0 = behind;
            return Some(Piece::Text(if text == "\\" { "" } else { text }));
        }
        if let Some(length) = token(self.0) {
            let (token, behind) = self.0.split_at(length);
            self.0 = behind;
            return Some(Piece::Token(token));
        }
        let (text, behind) = self.0.split_at(first.len_utf8());
        self.0 = behind;
        Some(Piece::Text(text))
    }
}

/// Every token, those before their own beginnings. A lone `Y` is none in moment's own list, and yet the year,
/// as moment looks every other letter up, too. `w|` and `W|` are a slip of moment's that makes
/// them themselves.
const TOKENS: &str = "Hmmss Hmm hmmss hmm Mo MMMM MMM MM M Do DDDo DDDD DDD DD D dddd ddd dd do d \
    wo w| ww w Wo W| WW W Qo Q NNNNN NNNN NNN NN N YYYYYY YYYYY YYYY YY Y yyyy yyy yy yo y \
    ggggg gggg gg GGGGG GGGG GG e E a A hh h HH H kk k mm m ss s \
    SSSSSSSSS SSSSSSSS SSSSSSS SSSSSS SSSSS SSSS SSS SS S x X zz z ZZ Z";

/// The length of the token at the start of the text.
fn token(text: &str) -> Option<usize> {
    TOKENS
        .split_ascii_whitespace()
        .find(|token| text.starts_with(token))
        .map(str::len)
}

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = [
    "Sunday",
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
];

fn write_token(written: &mut String, moment: &Zoned, token: &str) {
    let text = date_token(moment, token)
        .or_else(|| week_token(moment, token))
        .or_else(|| time_token(moment, token))
        .unwrap_or_else(|| fraction(moment, token.len()));
    written.push_str(&text);
}

/// Years, months and days.
fn date_token(moment: &Zoned, token: &str) -> Option<String> {
    let year = i32::from(moment.year());
    let month = i32::from(moment.month());
    let day = i32::from(moment.day());
    let day_of_year = i32::from(moment.day_of_year());
    let quarter = (month + 2) / 3;
    let name = MONTHS.get(usize::try_from(month - 1).ok()?)?;
    Some(match token {
        "M" => month.to_string(),
        "Mo" => ordinal(month),
        "MM" => padded(month, 2),
        "MMM" => first_letters(name, 3),
        "MMMM" => (*name).to_owned(),
        "Q" => quarter.to_string(),
        "Qo" => ordinal(quarter),
        "D" => day.to_string(),
        "Do" => ordinal(day),
        "DD" => padded(day, 2),
        "DDD" => day_of_year.to_string(),
        "DDDo" => ordinal(day_of_year),
        "DDDD" => padded(day_of_year, 3),
        "YY" => padded(year % 100, 2),
        "YYYY" | "yyyy" | "Y" => padded(year, 4),
        "YYYYY" => padded(year, 5),
        "YYYYYY" => signed(year, 6),
        "y" => year.to_string(),
        "yo" => ordinal(year),
        "yy" => padded(year, 2),
        "yyy" => padded(year, 3),
        "N" | "NN" | "NNN" | "NNNNN" => "AD".to_owned(),
        "NNNN" => "Anno Domini".to_owned(),
        _ => return None,
    })
}

/// Weeks and their days. The locale's first day is Sunday, so that `e` is `d`.
fn week_token(moment: &Zoned, token: &str) -> Option<String> {
    let weekday = i32::from(moment.weekday().to_sunday_zero_offset());
    let name = DAYS.get(usize::try_from(weekday).ok()?)?;
    let (week, year) = week_from_sunday(moment);
    let iso = moment.date().iso_week_date();
    let (iso_week, iso_year) = (i32::from(iso.week()), i32::from(iso.year()));
    Some(match token {
        "d" | "e" => weekday.to_string(),
        "do" => ordinal(weekday),
        "dd" => first_letters(name, 2),
        "ddd" => first_letters(name, 3),
        "dddd" => (*name).to_owned(),
        "E" => moment.weekday().to_monday_one_offset().to_string(),
        "w" => week.to_string(),
        "wo" => ordinal(week),
        "ww" => padded(week, 2),
        "W" => iso_week.to_string(),
        "Wo" => ordinal(iso_week),
        "WW" => padded(iso_week, 2),
        "gg" => padded(year % 100, 2),
        "gggg" => padded(year, 4),
        "ggggg" => padded(year, 5),
        "GG" => padded(iso_year % 100, 2),
        "GGGG" => padded(iso_year, 4),
        "GGGGG" => padded(iso_year, 5),
        "w|" | "W|" => token.to_owned(),
        _ => return None,
    })
}

/// Hours, minutes, seconds, zones, and seconds since 1970.
fn time_token(moment: &Zoned, token: &str) -> Option<String> {
    let hour = i32::from(moment.hour());
    let hour12 = if hour % 12 == 0 { 12 } else { hour % 12 };
    let hour24 = if hour == 0 { 24 } else { hour };
    let minute = i32::from(moment.minute());
    let second = i32::from(moment.second());
    let timestamp = moment.timestamp();
    Some(match token {
        "a" => (if hour < 12 { "am" } else { "pm" }).to_owned(),
        "A" => (if hour < 12 { "AM" } else { "PM" }).to_owned(),
        "H" => hour.to_string(),
        "HH" => padded(hour, 2),
        "h" => hour12.to_string(),
        "hh" => padded(hour12, 2),
        "k" => hour24.to_string(),
        "kk" => padded(hour24, 2),
        "hmm" => format!("{hour12}{minute:02}"),
        "hmmss" => format!("{hour12}{minute:02}{second:02}"),
        "Hmm" => format!("{hour}{minute:02}"),
        "Hmmss" => format!("{hour}{minute:02}{second:02}"),
        "m" => minute.to_string(),
        "mm" => padded(minute, 2),
        "s" => second.to_string(),
        "ss" => padded(second, 2),
        "x" => timestamp.as_millisecond().to_string(),
        "X" => timestamp.as_second().to_string(),
        "z" | "zz" => {
            let info = moment.time_zone().to_offset_info(timestamp);
            info.abbreviation().to_owned()
        }
        "Z" => offset(moment, ":"),
        "ZZ" => offset(moment, ""),
        _ => return None,
    })
}

fn first_letters(name: &str, count: usize) -> String {
    name.chars().take(count).collect()
}

fn padded(number: i32, width: usize) -> String {
    format!("{number:0width$}")
}

fn signed(number: i32, width: usize) -> String {
    format!(
        "{}{:0width$}",
        if number < 0 { '-' } else { '+' },
        number.abs()
    )
}

/// Digits of the second's fraction. JavaScript's dates have three of them.
fn fraction(moment: &Zoned, digits: usize) -> String {
    let mut text = format!("{:03}", moment.millisecond());
    while text.len() < digits {
        text.push('0');
    }
    text.truncate(digits);
    text
}

/// `+09:00`.
fn offset(moment: &Zoned, separator: &str) -> String {
    let minutes = moment.offset().seconds() / 60;
    let sign = if minutes < 0 { '-' } else { '+' };
    let minutes = minutes.abs();
    format!("{sign}{:02}{separator}{:02}", minutes / 60, minutes % 60)
}

/// `1st`, `2nd`, `11th`.
fn ordinal(number: i32) -> String {
    let end = match (number % 100 / 10, number % 10) {
        (1, _) => "th",
        (_, 1) => "st",
        (_, 2) => "nd",
        (_, 3) => "rd",
        _ => "th",
    };
    let mut text = number.to_string();
    // Writing to a string cannot fail.
    let _ = text.write_str(end);
    text
}

/// The week and its year where weeks begin on Sunday and the first one has the 1st of January.
fn week_from_sunday(moment: &Zoned) -> (i32, i32) {
    let date = moment.date();
    let year = i32::from(date.year());
    let start_of = |weekday: Weekday, day_of_year: i32| {
        // The Sunday that begins the week of a day, as a day of the year, counted from 1.
        day_of_year - i32::from(weekday.to_sunday_zero_offset())
    };
    let start = start_of(date.weekday(), i32::from(date.day_of_year()));
    let days = i32::from(date.days_in_year());
    // The week that has the next 1st of January belongs to the next year.
    if start + 6 > days {
        return (1, year + 1);
    }
    let first = start_of(date.first_of_year().weekday(), 1);
    ((start - first) / 7 + 1, year)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str, zone: &str) -> Zoned {
        let timestamp: jiff::Timestamp = text.parse().unwrap();
        let zones = jiff::tz::TimeZoneDatabase::bundled();
        timestamp.to_zoned(zones.get(zone).unwrap())
    }

    fn utc(format: &str) -> String {
        super::format(&at("2020-01-10T00:30:05.047Z", "UTC"), format).unwrap()
    }

    #[test]
    fn what_users_write() {
        assert_eq!(utc("YYYYMMDD-HHmmss"), "20200110-003005");
        assert_eq!(utc("X"), "1578616205");
        assert_eq!(utc("x"), "1578616205047");
        assert_eq!(utc("[build] Do MMMM YYYY"), "build 10th January 2020");
        assert_eq!(utc("YYYY.MM.DD\\Thh"), "2020.01.10T12");
        assert_eq!(utc(""), "2020-01-10T00:30:05Z");
        assert_eq!(utc("LLLL"), "Friday, January 10, 2020 12:30 AM");
        assert_eq!(utc("SSSSSS S"), "047000 0");
        assert_eq!(utc("[[b]-]"), "[b]-");
        assert_eq!(utc("[]-"), "-");
        assert_eq!(utc("Y Yo YYY \\Y"), "2020 2020o 202020 Y");
        assert_eq!(utc("YYYYYYY"), "+0020202020");
    }

    #[test]
    fn a_time_zone_has_an_offset_and_a_name() {
        let tokyo = at("2020-01-10T00:30:05Z", "Asia/Tokyo");
        assert_eq!(format(&tokyo, "HH Z ZZ z").unwrap(), "09 +09:00 +0900 JST");
        assert_eq!(format(&tokyo, "").unwrap(), "2020-01-10T09:30:05+09:00");
        let new_york = at("2020-07-10T00:30:05Z", "America/New_York");
        assert_eq!(format(&new_york, "DD HH Z z").unwrap(), "09 20 -04:00 EDT");
    }

    #[test]
    fn weeks_at_the_turn_of_a_year() {
        for (day, week, iso) in [
            ("2020-12-31", "1 2021", "53 2020"),
            ("2021-01-01", "1 2021", "53 2020"),
            ("2021-01-03", "2 2021", "53 2020"),
            ("2022-01-01", "1 2022", "52 2021"),
            ("2023-01-01", "1 2023", "52 2022"),
            ("2024-12-29", "1 2025", "52 2024"),
        ] {
            let moment = at(&format!("{day}T12:00:00Z"), "UTC");
            assert_eq!(format(&moment, "w gggg").unwrap(), week, "{day}");
            assert_eq!(format(&moment, "W GGGG").unwrap(), iso, "{day}");
        }
    }

    #[test]
    fn a_format_with_seconds_tells_one_from_the_next() {
        for format in ["", "X", "YYYYMMDD-HHmmss", "LTS", "[YYYY]s"] {
            assert!(has_seconds(format), "{format}");
        }
        for format in ["YYYYMMDD", "[ss]", "\\s", "LT", "YYYYMMDD-HHmm"] {
            assert!(!has_seconds(format), "{format}");
        }
    }

    #[test]
    fn a_format_of_any_length_is_bounded() {
        let moment = at("2020-01-10T00:30:05Z", "UTC");
        assert!(format(&moment, &"LLLL".repeat(200)).is_some());
        assert_eq!(format(&moment, &"L".repeat(1_000_000)), None);
    }
}
