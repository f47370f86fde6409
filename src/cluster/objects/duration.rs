//! Durations as manifests write them: `90s`, `300ms`, `1m30s`.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::values::text;

/// A duration written as whole numbers with units, the largest first: `h`, `m`, `s`, `ms`.
///
/// A bare number is refused: half the world would read `hold: 90` as seconds, the other half as
/// milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(pub Duration);

/// Units with their length in milliseconds, the largest first.
const UNITS: [(&str, u64); 4] = [("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// The text is not a duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a duration such as \"90s\", \"300ms\" or \"1m30s\"")]
pub struct ParseError(String);

impl FromStr for Span {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let error = || ParseError(text.to_owned());
        let mut millis = 0u64;
        let mut rest = text;
        let mut units = UNITS.as_slice();
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(error)?;
            let (number, tail) = rest.split_at(digits);
            let end = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
            let (unit, tail) = tail.split_at(end);
            let at = units.iter().position(|(name, _)| *name == unit).ok_or_else(error)?;
            let number: u64 = number.parse().map_err(|_| error())?;
            millis = number.checked_mul(units[at].1).and_then(|n| n.checked_add(millis)).ok_or_else(error)?;
            units = &units[at + 1..];
            rest = tail;
        }
        if text.is_empty() { Err(error()) } else { Ok(Span(Duration::from_millis(millis))) }
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut millis = u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX);
        if millis == 0 {
            return f.write_str("0s");
        }
        for (unit, length) in UNITS {
            if millis >= length {
                write!(f, "{}{unit}", millis / length)?;
                millis %= length;
            }
        }
        Ok(())
    }
}

text!(Span, "a duration such as \"90s\" or \"300ms\"");

impl JsonSchema for Span {
    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "pattern": "^([0-9]{1,10}h)?([0-9]{1,10}m)?([0-9]{1,10}s)?([0-9]{1,10}ms)?$", "minLength": 2, "maxLength": 32})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_and_durations_agree() {
        for (text, millis) in [
            ("90s", 90_000),
            ("300ms", 300),
            ("2m", 120_000),
            ("1m30s", 90_000),
            ("1h1ms", 3_600_001),
            ("0s", 0),
        ] {
            assert_eq!(text.parse::<Span>().unwrap().0, Duration::from_millis(millis), "{text}");
        }
        assert_eq!("90s".parse::<Span>().unwrap().to_string(), "1m30s");
        assert_eq!("0ms".parse::<Span>().unwrap().to_string(), "0s");
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        for text in ["", "90", "s", "-1s", "1.5s", "90 s", "30s1m", "1s1s", "5d", "99999999999999999999s"] {
            let error = text.parse::<Span>().unwrap_err().to_string();
            assert!(error.starts_with(&format!("{text:?} is not a duration")), "{error}");
        }
        assert!("18446744073709551615h".parse::<Span>().is_err());
    }
}
