//! Commas within a regular expression or an expression in `{{…}}` of a rule.

use super::csv::Field;
use super::regex;
use super::rule::key_and_value;

/// How many commas a regular expression, and what stands in `{{…}}`, may have without quotes around
/// them. Else a rule that closes nothing takes time that grows with the cube of its length.
const MOST_IN_REGEX: usize = 32;
const MOST_IN_EXPRESSION: usize = 1_000;

/// The fields, with those put together again that a comma within an expression has parted: a
/// regular expression or a date format needs no quotes around it.
pub(super) fn rejoined(record: &[Field], kind: &str) -> Vec<Field> {
    let mut fields = Vec::new();
    let mut rest = record;
    while let [first, behind @ ..] = rest {
        rest = behind;
        fields.push(first.clone());
        if first.quoted {
            continue;
        }
        let is_regex = matches!(
            (key_and_value(&first.text).0.as_str(), kind),
            ("match", "semver" | "pep440") | ("pattern", "match")
        );
        // How many more expressions begin than end.
        let depth = |text: &str| {
            let count = |mark| i64::try_from(text.matches(mark).count()).unwrap_or(i64::MAX);
            count("{{") - count("}}")
        };
        let mut open = depth(key_and_value(&first.text).1);
        let is_open = |joined: &str, open: i64| {
            if is_regex {
                regex::is_open(key_and_value(joined).1)
            } else {
                open > 0
            }
        };
        if !is_open(&first.text, open) {
            continue;
        }
        // Up to the field that closes what is open; if none does, all stay as they are.
        let mut joined = first.text.clone();
        let most = if is_regex {
            MOST_IN_REGEX
        } else {
            MOST_IN_EXPRESSION
        };
        for (taken, next) in behind.iter().enumerate().take(most) {
            if next.quoted {
                break;
            }
            joined.push(',');
            joined.push_str(&next.text);
            // No mark has a comma in it.
            open += depth(&next.text);
            if !is_open(&joined, open) {
                fields.pop();
                fields.push(Field {
                    text: joined,
                    quoted: false,
                });
                rest = behind.get(taken + 1..).unwrap_or_default();
                break;
            }
        }
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Found by fuzzing: it took time that grew with the cube of the rule's length.
    #[test]
    fn a_rule_that_closes_nothing_is_read_in_time() {
        let field = |text: &str| Field {
            text: text.to_owned(),
            quoted: false,
        };
        let open: Vec<Field> = (0..5_000).map(|_| field("value={{x")).collect();
        let start = std::time::Instant::now();
        assert_eq!(rejoined(&open, "raw").len(), open.len());
        assert!(start.elapsed().as_secs() < 20);
        let parted = [field("value={{date 'a"), field("b'}}"), field("priority=1")];
        assert_eq!(rejoined(&parted, "raw").len(), 2);
    }
}
