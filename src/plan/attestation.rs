//! What a compose file says of attestations: `build.provenance` and `build.sbom`.

use std::collections::BTreeMap;

use super::Provenance;

/// An attestation that is wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Attestation {
    /// What it says of itself besides its kind.
    pub(super) attributes: BTreeMap<String, String>,
}

impl Attestation {
    /// Reads the text of one of `kind`; none where it is switched off. A yes or no as Go reads it, or fields
    /// (buildx, util/buildflags/attests.go, `CanonicalizeAttest` and `UnmarshalText`).
    ///
    /// # Errors
    ///
    /// What is wrong with it, in words behind "provenance `…`".
    pub(super) fn read(kind: &str, text: &str) -> Result<Option<Self>, String> {
        let mut read = Self::default();
        if let Some(is_wanted) = yes_or_no(text) {
            return Ok(is_wanted.then_some(read));
        }
        let mut is_wanted = true;
        for field in text.split(',').filter(|_| !text.is_empty()) {
            let Some((key, value)) = field.split_once('=') else {
                return Err("is none of true and false, and has a field without `=`".to_owned());
            };
            match key.trim().to_ascii_lowercase().as_str() {
                "type" if value == kind => {}
                "type" => return Err(format!("is of the type `{value}`")),
                "disabled" => match yes_or_no(value) {
                    Some(is) => is_wanted = !is,
                    None => {
                        return Err(
                            "is disabled in a way that is neither true nor false".to_owned()
                        );
                    }
                },
                _ => {
                    read.attributes.insert(key.to_owned(), value.to_owned());
                }
            }
        }
        Ok(is_wanted.then_some(read))
    }

    /// How much a provenance says, taken out of its attributes. Where nothing is said it says all
    /// (BuildKit, solver/llbsolver/provenance.go, `NewProvenanceCreator`).
    ///
    /// # Errors
    ///
    /// What is wrong with it, in words behind "provenance `…`".
    pub(super) fn take_mode(&mut self) -> Result<Provenance, String> {
        match self.attributes.remove("mode").as_deref() {
            None | Some("" | "max") => Ok(Provenance::Max),
            Some("min") => Ok(Provenance::Min),
            Some(other) => Err(format!(
                "has the mode `{other}`, which is neither min nor max"
            )),
        }
    }
}

/// A truth as Go's `strconv.ParseBool` reads it.
fn yes_or_no(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Some(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mode and attributes of a provenance, as one text.
    fn provenance(text: &str) -> Result<String, String> {
        let Some(mut read) = Attestation::read("provenance", text)? else {
            return Ok("off".to_owned());
        };
        let mode = read.take_mode()?;
        Ok(format!("{mode:?} {:?}", read.attributes))
    }

    #[test]
    fn a_provenance_is_what_buildx_makes_of_its_text() {
        for (text, expected) in [
            ("true", "Max {}"),
            ("1", "Max {}"),
            ("false", "off"),
            ("F", "off"),
            ("mode=min", "Min {}"),
            ("mode=max", "Max {}"),
            ("type=provenance,mode=min", "Min {}"),
            ("disabled=true", "off"),
            ("mode=min,disabled=false", "Min {}"),
            ("mode=max,version=v1", r#"Max {"version": "v1"}"#),
            (
                "builder-id=https://x/y",
                r#"Max {"builder-id": "https://x/y"}"#,
            ),
        ] {
            assert_eq!(provenance(text).as_deref(), Ok(expected), "{text}");
        }
        for wrong in ["yes", "mode", "mode=most", "type=sbom", "disabled=maybe"] {
            assert!(provenance(wrong).is_err(), "{wrong}");
        }
    }
}
