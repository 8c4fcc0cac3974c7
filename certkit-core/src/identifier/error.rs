//! Why a text is not an identifier.

use crate::escape;

/// Why a text is not an identifier. The text itself is escaped and cut before it is shown.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IdentifierError {
    /// Nothing there.
    #[error("an empty name")]
    Empty,
    /// A character outside ASCII where A-labels are needed.
    #[error("`{name}` is not in its ASCII form (an internationalized name begins its labels with xn--)")]
    NotAscii {
        /// The name, escaped and cut.
        name: String,
    },
    /// U-labels that UTS 46 does not convert.
    #[error("`{name}` is not a valid internationalized domain name")]
    Unconvertible {
        /// The name, escaped and cut.
        name: String,
    },
    /// An IP address where a DNS name is needed, or a wildcard over one.
    #[error("`{name}` is an IP address, not a DNS name")]
    IsAddress {
        /// The address, escaped and cut.
        name: String,
    },
    /// Longer than 253 octets.
    #[error("`{name}` is {octets} octets long; a DNS name has at most 253")]
    TooLong {
        /// The name, escaped and cut.
        name: String,
        /// Its length in octets.
        octets: usize,
    },
    /// Two dots in a row or a leading dot.
    #[error("`{name}` has an empty label (two dots in a row, or one at the start)")]
    EmptyLabel {
        /// The name, escaped and cut.
        name: String,
    },
    /// A label longer than 63 octets.
    #[error("the label `{label}` of `{name}` is {octets} octets long; a label has at most 63")]
    LabelTooLong {
        /// The name, escaped and cut.
        name: String,
        /// The label, escaped and cut.
        label: String,
        /// The label's length in octets.
        octets: usize,
    },
    /// A character other than a letter, a digit, a hyphen or an underscore.
    #[error("`{name}` has the character `{character}`, which cannot be in a DNS name")]
    BadCharacter {
        /// The name, escaped and cut.
        name: String,
        /// The character, escaped.
        character: String,
    },
    /// A label that begins or ends with a hyphen.
    #[error("the label `{label}` of `{name}` begins or ends with a hyphen")]
    OuterHyphen {
        /// The name, escaped and cut.
        name: String,
        /// The label, escaped and cut.
        label: String,
    },
    /// A label that begins with `xn--` and is not the Punycode of an internationalized label.
    #[error("the label `{label}` of `{name}` is not valid Punycode")]
    BadALabel {
        /// The name, escaped and cut.
        name: String,
        /// The label, escaped and cut.
        label: String,
    },
    /// A `*` with nothing after it.
    #[error("a wildcard needs a name after it (*.example.org)")]
    WildcardAlone,
    /// A `*` that is not the whole first label.
    #[error("`{name}` has a wildcard that is not the whole first label")]
    MisplacedWildcard {
        /// The name, escaped and cut.
        name: String,
    },
    /// A last label of digits only.
    #[error("`{name}` ends in a number: neither a DNS name nor a valid IP address")]
    NumericLastLabel {
        /// The name, escaped and cut.
        name: String,
    },
}

/// How many characters of a text an error shows.
const SHOWN: usize = 100;

/// A text as errors show it: cut, then escaped.
pub(crate) fn shown(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", escape(text.get(..end).unwrap_or_default())),
        None => escape(text).into_owned(),
    }
}
