//! How a record stands in the table: as one text, JSON, beside its key, which is less work to read than an attribute for
//! each of its members. What conditions and expressions look at has attributes of its own.

use crate::Fault;
use crate::keys::Item;
use aws_sdk_dynamodb::types::AttributeValue;
use serde::{Serialize, de::DeserializeOwned};

/// The attribute that holds the record.
pub(crate) const RECORD: &str = "record";

/// The item of a record, but for its key.
///
/// # Errors
/// If it cannot be written.
pub(crate) fn written(record: &impl Serialize) -> Result<Item, Fault> {
    Ok(Item::from([(RECORD.to_owned(), AttributeValue::S(json(record)?))]))
}

/// A record as it stands in its item.
///
/// # Errors
/// If it cannot be written.
pub(crate) fn json(record: &impl Serialize) -> Result<String, Fault> {
    serde_json::to_string(record).map_err(|_| Fault::new("a record cannot be written as JSON"))
}

/// The record that an item is.
///
/// # Errors
/// If it is not that record.
pub(crate) fn parse<T: DeserializeOwned>(item: &Item) -> Result<T, Fault> {
    serde_json::from_str(text(item, RECORD)).map_err(|_| Fault::new("an item is not the record that its key says"))
}

/// An attribute's text; empty, if there is none.
pub(crate) fn text<'a>(item: &'a Item, name: &str) -> &'a str {
    item.get(name).and_then(|value| value.as_s().ok()).map(String::as_str).unwrap_or_default()
}

/// An attribute's number.
pub(crate) fn number(item: &Item, name: &str) -> Option<i64> {
    item.get(name)?.as_n().ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use auth_core::records::Tenant;
    use serde_json::{Value, from_value, json};

    #[test]
    fn an_item_is_the_record_that_its_key_says_or_a_fault() {
        let tenant = json!({"id": "acme", "apis": ["orders"], "state": "active"});
        let text = |text: &str| Item::from([(RECORD.into(), AttributeValue::S(text.into()))]);
        let mut beside = text(&tenant.to_string());
        beside.insert("version".into(), AttributeValue::N("3".into()));
        let rows = [
            ("as it was written", written(&from_value::<Tenant>(tenant.clone()).unwrap()).unwrap(), true),
            ("with something beside", beside, true),
            (
                "with a member that nobody knows",
                text(r#"{"id":"acme","apis":["orders"],"state":"active","a":1}"#),
                true,
            ),
            ("another record", text(r#"{"id":"acme"}"#), false),
            ("cut off", text(r#"{"id":"acme","apis":["#), false),
            ("not a text", Item::from([(RECORD.into(), AttributeValue::N("1".into()))]), false),
            ("an attribute for each member", Item::from([("id".into(), AttributeValue::S("acme".into()))]), false),
            ("nothing", Item::new(), false),
        ];
        for (sentence, item, is_one) in rows {
            let read: Option<Value> = parse::<Tenant>(&item).ok().map(|read| json!(read));
            assert_eq!(read, is_one.then(|| tenant.clone()), "{sentence}");
        }
    }
}
