//! Values as `configobj` writes them.

use super::{ConfError, ConfValue, interpolate};

/// Writes a value so that it is read back the same.
pub(super) fn value(key: &str, value: &ConfValue) -> Result<String, ConfError> {
    match value {
        ConfValue::Text(text) => one(key, text, true),
        ConfValue::List(items) => match items.as_slice() {
            [] => Ok(",".to_owned()),
            [item] => Ok(one(key, item, false)? + ","),
            items => {
                let items: Result<Vec<_>, _> = items.iter().map(|item| one(key, item, false)).collect();
                Ok(items?.join(", "))
            }
        },
    }
}

/// Writes a key or a section name.
pub(super) fn key(key: &str) -> Result<String, ConfError> {
    one(key, key, false)
}

/// `configobj` tries no quotes first, then double ones, then single ones; triple ones only for whole values.
fn one(key: &str, text: &str, whole: bool) -> Result<String, ConfError> {
    let refuse = |problem| ConfError::Unwritable { key: crate::escape(key).chars().take(100).collect(), problem };
    if interpolate::next_name(text, 0).is_some() {
        return Err(refuse(
            "it contains `%(…)s`, which stands for another key's value in this file and cannot be escaped; \
             put the command into a script",
        ));
    }
    if text.contains('\r') {
        return Err(refuse("it contains a carriage return"));
    }
    if text.is_empty() {
        return Ok("\"\"".to_owned());
    }
    let (single, double, lines) = (text.contains('\''), text.contains('"'), text.contains('\n'));
    if lines || (single && double && whole) {
        if !whole {
            return Err(refuse("it contains a line break"));
        }
        if !text.contains("\"\"\"") {
            return Ok(format!("\"\"\"{text}\"\"\""));
        }
        if !text.contains("'''") {
            return Ok(format!("'''{text}'''"));
        }
        return Err(refuse("it contains both kinds of triple quotes"));
    }
    let blank_or_quote = |c: Option<char>| c.is_none_or(|c| matches!(c, '\'' | '"') || super::grammar::is_space(c));
    let plain =
        !blank_or_quote(text.chars().next()) && !blank_or_quote(text.chars().next_back()) && !text.contains([',', '#']);
    match (plain, single, double) {
        (true, ..) => Ok(text.to_owned()),
        (_, true, true) => Err(refuse("it contains both kinds of quotes")),
        (_, _, true) => Ok(format!("'{text}'")),
        _ => Ok(format!("\"{text}\"")),
    }
}
