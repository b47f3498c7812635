//! JSON as a caller may send it: no duplicate members, no deep nesting, nothing after the value.

use serde::de::{self, DeserializeOwned, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use std::fmt;

/// Deeper than any honest document of ours, far from where a parser's stack ends.
const MAX_DEPTH: u8 = 32;

/// The text is not JSON as we take it. Says no more than that: the text is a caller's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not one JSON value without duplicate members, at most 32 deep")]
pub struct NotStrictJson;

/// Parses bytes strictly. A member that appears twice is refused wherever it stands, for two parsers might take two
/// different ones (RFC 8725 section 2.4, RFC 7515 section 4).
///
/// # Errors
/// [`NotStrictJson`].
pub fn parse(bytes: &[u8]) -> Result<Value, NotStrictJson> {
    let mut text = serde_json::Deserializer::from_slice(bytes);
    let value = Strict(MAX_DEPTH).deserialize(&mut text).map_err(|_| NotStrictJson)?;
    text.end().map_err(|_| NotStrictJson)?;
    Ok(value)
}

/// Parses bytes strictly into a type.
///
/// # Errors
/// [`NotStrictJson`].
pub fn parse_as<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, NotStrictJson> {
    serde_json::from_value(parse(bytes)?).map_err(|_| NotStrictJson)
}

struct Strict(u8);

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;
    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<Value, D::Error> {
        d.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value without duplicate members")
    }
    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
    fn visit_bool<E>(self, v: bool) -> Result<Value, E> {
        Ok(Value::Bool(v))
    }
    fn visit_i64<E>(self, v: i64) -> Result<Value, E> {
        Ok(Value::from(v))
    }
    fn visit_u64<E>(self, v: u64) -> Result<Value, E> {
        Ok(Value::from(v))
    }
    fn visit_f64<E: de::Error>(self, v: f64) -> Result<Value, E> {
        Number::from_f64(v).map(Value::Number).ok_or_else(|| E::custom("not finite"))
    }
    fn visit_str<E>(self, v: &str) -> Result<Value, E> {
        Ok(Value::String(v.to_owned()))
    }
    fn visit_string<E>(self, v: String) -> Result<Value, E> {
        Ok(Value::String(v))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let depth = self.0.checked_sub(1).ok_or_else(|| de::Error::custom("too deep"))?;
        let mut items = Vec::new();
        while let Some(item) = seq.next_element_seed(Strict(depth))? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let depth = self.0.checked_sub(1).ok_or_else(|| de::Error::custom("too deep"))?;
        let mut members = Map::new();
        while let Some(name) = map.next_key::<String>()? {
            let value = map.next_value_seed(Strict(depth))?;
            if members.insert(name, value).is_some() {
                return Err(de::Error::custom("a member appears twice"));
            }
        }
        Ok(Value::Object(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_strict_json_is_taken() {
        let deep = |n: usize| format!("{}1{}", "[".repeat(n), "]".repeat(n));
        let rows: &[(&str, String, bool)] = &[
            ("an object", r#"{"a":1}"#.into(), true),
            ("white space around it", " \n{ }\r\n".into(), true),
            ("a member twice", r#"{"a":1,"a":1}"#.into(), false),
            ("a member twice, once escaped", r#"{"a":1,"\u0061":2}"#.into(), false),
            ("a member twice, further in", r#"{"a":[{"b":1,"b":2}]}"#.into(), false),
            ("two values", "{}{}".into(), false),
            ("something after", "{}x".into(), false),
            ("32 deep", deep(32), true),
            ("33 deep", deep(33), false),
            ("10,000 deep", deep(10_000), false),
            ("10,000 open", "[".repeat(10_000), false),
            ("a number too large", "1e400".into(), false),
            ("NaN", "NaN".into(), false),
            ("nothing", String::new(), false),
            ("a byte order mark", "\u{feff}{}".into(), false),
            ("a lone surrogate", r#""\udc00""#.into(), false),
        ];
        for (sentence, text, want) in rows {
            assert_eq!(parse(text.as_bytes()).is_ok(), *want, "{sentence}");
        }
        assert!(parse(b"\"\xff\"").is_err(), "invalid UTF-8");
    }
}
