//! Decoding of single values.

use std::sync::Arc;

use super::{Decoded, Decoding};
use crate::compose::error::Fault;
use crate::compose::fields::Kind;
use crate::compose::node::{Node, Place, Value};
use crate::compose::numbers::{duration, parse_duration, sprint};
use crate::compose::variables::{Cast, parse_float};
use crate::oci;

impl Decoding<'_> {
    pub(super) fn text(&self, node: &Node, place: Place) -> Result<Arc<str>, Box<Fault>> {
        match &node.value {
            Value::Text(text) => Ok(Arc::clone(text)),
            Value::Int(whole) => Ok(whole.to_string().into()),
            _ => self.wrong(place, node, "text"),
        }
    }

    pub(super) fn flag(&mut self, node: &Node, place: Place) -> Decoded {
        let flag = match &node.value {
            Value::Bool(flag) => *flag,
            Value::Text(text) => match self.cast(Cast::Bool, text, place) {
                Some(value) => matches!(value, Value::Bool(true)),
                None => return self.malformed(place, text, "a boolean"),
            },
            _ => return self.wrong(place, node, "a boolean"),
        };
        let keep = flag || !matches!(self.row.kind, Kind::Flag);
        Ok(keep.then_some(Value::Bool(flag)))
    }

    pub(super) fn int(&mut self, node: &Node, place: Place) -> Decoded {
        #[expect(clippy::cast_possible_wrap, reason = "as Go converts numbers")]
        let whole = match &node.value {
            Value::Int(whole) => *whole,
            Value::Uint(whole) => *whole as i64,
            Value::Float(float) => whole_of(*float),
            Value::Text(text) => match text.parse() {
                Ok(whole) => whole,
                Err(_) => return self.malformed(place, text, "a whole number"),
            },
            _ => return self.wrong(place, node, "a whole number"),
        };
        let keep = whole != 0 || !matches!(self.row.kind, Kind::Int);
        Ok(keep.then_some(Value::Int(whole)))
    }

    pub(super) fn unsigned(&self, node: &Node, place: Place, bits: u32) -> Decoded {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "as Go converts numbers"
        )]
        let whole = match &node.value {
            Value::Int(whole) if *whole >= 0 => *whole as u64,
            Value::Uint(whole) => *whole,
            Value::Float(float) if *float >= 0.0 => *float as u64,
            _ => return self.wrong(place, node, "a whole number that is not negative"),
        };
        // Go cuts a number off where the field is too small for it.
        let whole = match bits {
            64 => whole,
            bits => whole & ((1 << bits) - 1),
        };
        let keep = whole != 0 || !matches!(self.row.kind, Kind::Unsigned(_));
        let value = i64::try_from(whole).map_or(Value::Uint(whole), Value::Int);
        Ok(keep.then_some(value))
    }

    pub(super) fn float(&mut self, node: &Node, place: Place) -> Decoded {
        let float = match &node.value {
            Value::Text(text) => match parse_float(text) {
                Some(float) => single(float),
                None => return self.malformed(place, text, "a number"),
            },
            _ => self.number(node, place)?,
        };
        match float {
            // Compose reads it, and then cannot print it as JSON.
            Some(Value::Float(float)) if !float.is_finite() => {
                let message = format!("{} must be a finite number", self.path);
                Err(Fault::rule(place, message))
            }
            float => Ok(float),
        }
    }

    pub(super) fn cpus(&mut self, node: &Node, place: Place) -> Decoded {
        self.float(node, place)
    }

    fn number(&self, node: &Node, place: Place) -> Decoded {
        #[expect(clippy::cast_precision_loss, reason = "as Go converts numbers")]
        match node.value {
            Value::Int(whole) => Ok(single(whole as f64)),
            Value::Uint(whole) => Ok(single(whole as f64)),
            Value::Float(float) => Ok(single(float)),
            _ => self.wrong(place, node, "a number"),
        }
    }

    /// A size. Compose takes a fraction, as in `mem_limit: 1.5`, for none.
    pub(super) fn bytes(&self, node: &Node, place: Place) -> Decoded {
        let size = match &node.value {
            Value::Int(size) => *size,
            Value::Text(text) => {
                let size = oci::parse_ram_in_bytes(text).ok();
                match size.and_then(|size| i64::try_from(size).ok()) {
                    Some(size) => size,
                    None => return self.malformed(place, text, "a size, as 512m or 2gb"),
                }
            }
            _ => 0,
        };
        let keep = size != 0 || matches!(self.row.kind, Kind::BytesAlways);
        Ok(keep.then(|| Value::Text(size.to_string().into())))
    }

    pub(super) fn duration(&self, node: &Node, place: Place) -> Decoded {
        let text = sprint(node);
        let Some(nanoseconds) = parse_duration(&text) else {
            return self.malformed(place, &text, "a duration, as 1m30s or 10s");
        };
        let keep = nanoseconds != 0 || matches!(self.row.kind, Kind::OptionalDuration);
        Ok(keep.then(|| Value::Text(duration(nanoseconds).into())))
    }

    pub(super) fn mode(&self, node: &Node, place: Place) -> Decoded {
        let mode = match &node.value {
            Value::Int(mode) => *mode,
            Value::Text(text) => match i64::from_str_radix(text, 8) {
                Ok(mode) => mode,
                Err(_) => return self.malformed(place, text, "an octal number, as 0440"),
            },
            _ => return self.wrong(place, node, "an octal number"),
        };
        let sign = if mode < 0 { "-" } else { "" };
        let text = format!("0{sign}{:o}", mode.unsigned_abs());
        Ok(Some(Value::Text(text.into())))
    }

    pub(super) fn count(&self, node: &Node, place: Place) -> Decoded {
        let count = match &node.value {
            Value::Int(count) => *count,
            Value::Text(text) if text.eq_ignore_ascii_case("all") => -1,
            Value::Text(text) => match text.parse() {
                Ok(count) => count,
                Err(_) => return self.malformed(place, text, "a whole number, or `all`"),
            },
            _ => return self.wrong(place, node, "a whole number, or `all`"),
        };
        Ok((count != 0).then_some(Value::Int(count)))
    }
}

/// A whole number of a float, as Go converts it on amd64: the least one if it does not fit.
fn whole_of(float: f64) -> i64 {
    // 2 to the 63rd, which is no `i64` any more; a float is never between it and the largest.
    const BEYOND: f64 = 9_223_372_036_854_775_808.0;
    if (-BEYOND..BEYOND).contains(&float) {
        #[expect(clippy::cast_possible_truncation, reason = "it is within the range")]
        return float as i64;
    }
    i64::MIN
}

/// A number as Go's `float32` holds it; none for 0.
fn single(float: f64) -> Option<Value> {
    #[expect(clippy::cast_possible_truncation, reason = "Go's type is float32")]
    let single = float as f32;
    if single == 0.0 {
        return None;
    }
    // The shortest notation of the small float, so that 0.1 stays 0.1.
    let shortest = single.to_string().parse().unwrap_or(f64::from(single));
    Some(Value::Float(shortest))
}
