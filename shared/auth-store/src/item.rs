//! Reads a record from an item as the SDK hands it over, without a copy in between: `serde_dynamo`, which writes them,
//! makes two maps anew for each item that it reads.

use aws_sdk_dynamodb::types::AttributeValue;
use serde::de::value::{Error, MapAccessDeserializer, MapDeserializer, SeqDeserializer};
use serde::de::{DeserializeOwned, Deserializer, Error as _, IntoDeserializer, Visitor};
use serde::forward_to_deserialize_any;
use std::collections::HashMap;

/// The record that an item is.
///
/// # Errors
/// If it is not that record.
pub(crate) fn record<T: DeserializeOwned>(item: HashMap<String, AttributeValue>) -> Result<T, Error> {
    T::deserialize(Attribute(AttributeValue::M(item)))
}

struct Attribute(AttributeValue);

impl<'de> IntoDeserializer<'de, Error> for Attribute {
    type Deserializer = Self;
    fn into_deserializer(self) -> Self {
        self
    }
}

impl<'de> Deserializer<'de> for Attribute {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0 {
            AttributeValue::S(text) => visitor.visit_string(text),
            AttributeValue::N(digits) => number(&digits, visitor),
            AttributeValue::Bool(is) => visitor.visit_bool(is),
            AttributeValue::Null(_) => visitor.visit_unit(),
            AttributeValue::M(members) => {
                visitor.visit_map(MapDeserializer::new(members.into_iter().map(|(name, value)| (name, Self(value)))))
            }
            AttributeValue::L(all) => visitor.visit_seq(SeqDeserializer::new(all.into_iter().map(Self))),
            AttributeValue::Ss(all) => visitor.visit_seq(SeqDeserializer::new(all.into_iter())),
            _ => Err(Error::custom("a type that no record has")),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0 {
            AttributeValue::Null(_) => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match self.0 {
            AttributeValue::S(name) => visitor.visit_enum(name.into_deserializer()),
            AttributeValue::M(members) if members.len() == 1 => visitor.visit_enum(MapAccessDeserializer::new(
                MapDeserializer::new(members.into_iter().map(|(name, value)| (name, Self(value)))),
            )),
            _ => Err(Error::custom("neither a name nor a map of one")),
        }
    }

    /// What somebody put beside, of whatever type, is not looked at.
    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map struct identifier
    }
}

fn number<'de, V: Visitor<'de>>(digits: &str, visitor: V) -> Result<V::Value, Error> {
    if let Ok(number) = digits.parse() {
        return visitor.visit_u64(number);
    }
    if let Ok(number) = digits.parse() {
        return visitor.visit_i64(number);
    }
    visitor.visit_f64(digits.parse().map_err(|_| Error::custom("a number that is none"))?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn what_is_written_as_an_item_is_read_from_it() {
        #[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
        #[serde(rename_all = "lowercase")]
        enum Kind {
            Plain,
            With(u8),
            Named { n: i64 },
        }
        type Row = (Option<Kind>, i64, u64, f64, bool, (), String, Vec<Option<i32>>, Value);
        let rows: [(&str, Row); 3] = [
            (
                "all that a record may hold",
                (
                    Some(Kind::Plain),
                    -1,
                    1,
                    0.5,
                    true,
                    (),
                    "ä\n".into(),
                    vec![Some(7), None],
                    json!({"a": [1, null, {"b": false}]}),
                ),
            ),
            (
                "the ends of numbers",
                (None, i64::MIN, u64::MAX, -1e100, false, (), String::new(), Vec::new(), json!(-5)),
            ),
            (
                "names with something in them",
                (
                    Some(Kind::With(255)),
                    i64::MAX,
                    0,
                    0.0,
                    true,
                    (),
                    "7".into(),
                    vec![None],
                    json!([Kind::Named { n: -3 }]),
                ),
            ),
        ];
        for (why, row) in rows {
            let item = serde_dynamo::to_item(json!({ "row": row })).unwrap();
            let read: HashMap<String, Row> = record(item).unwrap();
            assert_eq!(read.get("row"), Some(&row), "{why}");
        }
        let wrong = [
            ("a text for a number", AttributeValue::S("1".into())),
            ("a number that is none", AttributeValue::N("1e".into())),
            ("a number that is too big", AttributeValue::N("256".into())),
            ("bytes", AttributeValue::B(aws_sdk_dynamodb::primitives::Blob::new([1]))),
        ];
        for (why, value) in wrong {
            assert!(record::<HashMap<String, u8>>(HashMap::from([("n".into(), value)])).is_err(), "{why}");
        }
        let two = serde_dynamo::to_item(json!({"kind": {"with": 1, "named": {"n": 1}}})).unwrap();
        assert!(record::<HashMap<String, Kind>>(two).is_err(), "a name of two");
        #[derive(Debug, PartialEq, serde::Deserialize)]
        struct Known {
            n: u8,
        }
        let bytes = AttributeValue::B(aws_sdk_dynamodb::primitives::Blob::new([1]));
        let item = HashMap::from([("n".to_owned(), AttributeValue::N("1".into())), ("beside".to_owned(), bytes)]);
        assert_eq!(record(item), Ok(Known { n: 1 }), "what stands beside");
    }
}
