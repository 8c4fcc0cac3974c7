//! What the directory says more, or less, than Pebble's.

use serde_json::{Map, Value};

/// Where the proxy serves renewal information.
pub(super) const RENEWAL_INFO_PATH: &str = "/renewal-info";

/// A change of the directory.
pub(super) enum Edit {
    /// `renewalInfo` at the host that was asked.
    RenewalInfo,
    /// By JSON pointer.
    Set(String, Value),
    Remove(String),
}

/// Pebble's directory with all changes, in their order.
pub(super) fn edited(directory: &[u8], edits: &[Edit], host: &str) -> Vec<u8> {
    let mut directory: Value = serde_json::from_slice(directory).unwrap_or_default();
    for edit in edits {
        match edit {
            Edit::RenewalInfo => {
                directory["renewalInfo"] = format!("https://{host}{RENEWAL_INFO_PATH}").into();
            }
            Edit::Set(pointer, value) => {
                let (parent, member) = split(pointer);
                member_of(&mut directory, parent).insert(member.to_owned(), value.clone());
            }
            Edit::Remove(pointer) => {
                let (parent, member) = split(pointer);
                member_of(&mut directory, parent).remove(member);
            }
        }
    }
    directory.to_string().into_bytes()
}

fn split(pointer: &str) -> (&str, &str) {
    pointer.rsplit_once('/').unwrap_or(("", pointer))
}

/// The object at a pointer; it and those above it are made where they are missing.
fn member_of<'d>(directory: &'d mut Value, pointer: &str) -> &'d mut Map<String, Value> {
    let mut at = directory;
    for name in pointer.split('/').filter(|name| !name.is_empty()) {
        at = &mut at[name];
    }
    if !at.is_object() {
        *at = Map::new().into();
    }
    at.as_object_mut().unwrap()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn members_are_added_and_removed_at_any_depth() {
        let edits = [
            Edit::RenewalInfo,
            Edit::Set("/meta/profiles".into(), json!({ "a": "b" })),
            Edit::Set("/top".into(), 1.into()),
            Edit::Remove("/keyChange".into()),
        ];
        let directory = edited(br#"{"keyChange":"x","newOrder":"y"}"#, &edits, "h:1");
        let directory: Value = serde_json::from_slice(&directory).unwrap();
        let wanted = json!({
            "newOrder": "y", "top": 1, "meta": { "profiles": { "a": "b" } }, "renewalInfo": "https://h:1/renewal-info",
        });
        assert_eq!(directory, wanted);
    }
}
