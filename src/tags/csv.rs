//! Records of comma-separated fields, as the rules of docker/metadata-action are written.
//!
//! The grammar is RFC 4180 as csv-parse 7 reads it without options: a quote opens a field only as
//! its first character, `""` is a quote within one, and nothing may follow the closing quote.

/// A field of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Field {
    /// The text, without the quotes around it.
    pub(super) text: String,
    /// Whether quotes stood around it.
    pub(super) quoted: bool,
}

/// Why a text is no record.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CsvError {
    /// A quote stands within a field that does not begin with one.
    #[error("a quote stands within a field: put the whole field into quotes")]
    QuoteWithin,
    /// Something stands between a closing quote and the next comma.
    #[error("`{found}` follows a closing quote, where only a comma may stand")]
    AfterQuote {
        /// The character that was found.
        found: char,
    },
    /// A quote is never closed.
    #[error("a quote is never closed")]
    NotClosed,
}

/// The records of a text, one a line. Empty lines and lines that begin with `#` are none.
pub(super) fn records(text: &str) -> Result<Vec<Vec<Field>>, CsvError> {
    let mut records = Vec::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start();
        if rest.is_empty() {
            return Ok(records);
        }
        if rest.starts_with('#') {
            rest = rest
                .find(['\n', '\r'])
                .and_then(|end| rest.get(end..))
                .unwrap_or_default();
            continue;
        }
        let (record, behind) = record(rest)?;
        records.push(record);
        rest = behind;
    }
}

/// As [`records`], but one that is quoted as a whole is read once more: the action reads its input as records
/// before it reads each of them as a rule (docker/actions-toolkit, `Util.getList`).
pub(super) fn lines(text: &str) -> Result<Vec<Vec<Field>>, CsvError> {
    let mut lines = Vec::new();
    for record in records(text)? {
        match record.as_slice() {
            [Field { text, quoted: true }] => lines.extend(records(text)?),
            _ => lines.push(record),
        }
    }
    Ok(lines)
}

/// A record as it must be written for [`lines`] to read it again.
pub(super) fn line(fields: &[Field]) -> String {
    let written: Vec<String> = fields.iter().map(written).collect();
    match written.as_slice() {
        // What is quoted as a whole is read twice, and so quoted twice.
        [one] if one.starts_with('"') => self::written(&Field {
            text: one.clone(),
            quoted: true,
        }),
        _ => written.join(","),
    }
}

/// The first record, and the text behind its line.
fn record(text: &str) -> Result<(Vec<Field>, &str), CsvError> {
    let mut fields = Vec::new();
    let mut letters = text.char_indices().peekable();
    loop {
        let mut field = Field {
            text: String::new(),
            quoted: letters.next_if(|(_, letter)| *letter == '"').is_some(),
        };
        if field.quoted {
            quoted(&mut letters, &mut field.text)?;
        }
        let end = loop {
            match letters.next() {
                None => break text.len(),
                Some((at, ',' | '\n' | '\r')) => break at,
                Some((_, found)) if field.quoted => return Err(CsvError::AfterQuote { found }),
                Some((_, '"')) if !field.text.is_empty() => return Err(CsvError::QuoteWithin),
                Some((_, letter)) => field.text.push(letter),
            }
        };
        fields.push(field);
        let behind = text.get(end..).unwrap_or_default();
        if !behind.starts_with(',') {
            return Ok((fields, behind));
        }
    }
}

/// Reads up to the closing quote.
fn quoted(
    letters: &mut std::iter::Peekable<std::str::CharIndices<'_>>,
    text: &mut String,
) -> Result<(), CsvError> {
    while let Some((_, letter)) = letters.next() {
        if letter == '"' && letters.next_if(|(_, next)| *next == '"').is_none() {
            return Ok(());
        }
        text.push(letter);
    }
    Err(CsvError::NotClosed)
}

/// A field as it must be written to be read again. One that was quoted stays quoted: what is in
/// quotes is not put together with what follows it.
fn written(field: &Field) -> String {
    let text = &field.text;
    let is_special = |letter: char| letter == '#' || letter.is_whitespace();
    if field.quoted
        || text.is_empty()
        || text.contains([',', '"', '\n', '\r'])
        || text.starts_with(is_special)
    {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(text: &str) -> Vec<Vec<String>> {
        let records = records(text).unwrap();
        let fields = |record: Vec<Field>| record.into_iter().map(|field| field.text).collect();
        records.into_iter().map(fields).collect()
    }

    #[test]
    fn fields_end_at_commas_outside_quotes() {
        assert_eq!(
            texts(r#"type=match,"pattern=^\d{1,3}""",group=0"#),
            [["type=match", r#"pattern=^\d{1,3}""#, "group=0"]]
        );
        assert_eq!(texts("a,,b,"), [["a", "", "b", ""]]);
        assert_eq!(texts(r#""a ""b"" c""#), [[r#"a "b" c"#]]);
    }

    #[test]
    fn every_line_is_a_record_and_comments_are_none() {
        assert_eq!(
            texts("# one\n\n  type=sha\r\ntype=raw,x\n#two"),
            [vec!["type=sha"], vec!["type=raw", "x"]]
        );
        assert_eq!(texts("\"a\nb\""), [["a\nb"]]);
        assert!(texts(" \n ").is_empty());
    }

    #[test]
    fn misplaced_quotes_are_errors() {
        assert_eq!(records(r#"value="x""#), Err(CsvError::QuoteWithin));
        assert_eq!(records(r#""x"y"#), Err(CsvError::AfterQuote { found: 'y' }));
        assert_eq!(records(r#""x"#), Err(CsvError::NotClosed));
    }

    #[test]
    fn what_is_written_is_read_again() {
        for text in ["a", "a,b", "a\"b", "#a", "", "a\nb", "ä"] {
            for quoted in [false, true] {
                let field = Field {
                    text: text.to_owned(),
                    quoted,
                };
                let read = records(&format!("x,{}", written(&field))).unwrap();
                assert_eq!(read[0][1].text, text);
                assert!(read[0][1].quoted || !quoted);
            }
        }
    }
}
