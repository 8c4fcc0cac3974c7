//! The lines that certbot writes, read in one pass.

use std::borrow::Cow;

use super::grammar::{Marker, RawValue};

/// A line of the form `key = value` or `key = value,`: key, value and where the value begins, in bytes. None for every line
/// in which something stands that the grammar makes more of than itself: quotes, more commas, comments, indentation,
/// other blanks than the two around `=`, anything beyond ASCII.
pub(super) fn usual(line: &str) -> Option<(&str, RawValue<'_>, usize)> {
    let bytes = line.as_bytes();
    let key = memchr::memchr(b' ', bytes).filter(|length| *length > 0)?;
    let value = bytes.get(key..)?.strip_prefix(b" = ")?;
    let (value, is_list) = match value {
        [single @ .., b','] if !single.is_empty() => (single, true),
        text => (text, false),
    };
    let is_usual = all(bytes.get(..key)?, in_name) && all(value, in_value);
    if !is_usual || value.first() == Some(&b' ') || value.last() == Some(&b' ') {
        return None;
    }
    let value_at = key + " = ".len();
    let text = line.get(value_at..value_at + value.len())?;
    let value = if is_list { RawValue::List(vec![text]) } else { RawValue::Text(Cow::Borrowed(text)) };
    Some((line.get(..key)?, value, value_at))
}

/// A section header without blanks, quotes or a comment, such as `[[webroot_map]]`.
pub(super) fn usual_marker(line: &str) -> Option<Marker<'_>> {
    let inside = line.trim_start_matches('[');
    let name = inside.trim_end_matches(']');
    let (open, close) = (line.len() - inside.len(), inside.len() - name.len());
    let is_usual = open > 0 && close > 0 && !name.is_empty() && all(name.as_bytes(), in_name);
    is_usual.then_some(Marker { name, open, close })
}

/// Whether all bytes are such. It looks at all of them and takes no table, so that the processor compares many at once.
fn all(bytes: &[u8], is_such: impl Fn(u8) -> bool) -> bool {
    bytes.iter().fold(true, |all, byte| all & is_such(*byte))
}

/// What a name may be made of.
fn in_name(byte: u8) -> bool {
    let letter = (byte | 0x20).wrapping_sub(b'a') < 26;
    let digit = byte.wrapping_sub(b'0') < 10;
    letter | digit | (byte == b'_') | (byte == b'-') | (byte == b'.')
}

/// What stands for itself in a value.
fn in_value(byte: u8) -> bool {
    let printable = byte.wrapping_sub(b' ') < 0x5f;
    printable & (byte != b'"') & (byte != b'\'') & (byte != b',') & (byte != b'#')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::grammar::{keyword, marker, value};
    use super::*;

    /// What the grammar makes of a line, and of one that it reads like a usual one.
    fn by_grammar(line: &str) -> Option<(&str, RawValue<'_>, Option<usize>, usize)> {
        assert!(marker(line).is_none(), "{line:?}");
        let keyword = keyword(line)?;
        let read = value(line.get(keyword.value_at..)?)?;
        Some((keyword.key, read.value, read.comment_at, keyword.value_at))
    }

    fn assert_same(line: &str) -> bool {
        let Some((key, value, value_at)) = usual(line) else { return false };
        let expected = Some((key, value, None, value_at));
        assert_eq!(by_grammar(line), expected, "{line:?}");
        true
    }

    #[test]
    fn what_certbot_writes_is_usual_and_what_people_add_is_left_to_the_grammar() {
        for line in [
            "version = 5.8.0",
            "cert = /etc/letsencrypt/live/a.example/cert.pem",
            "server = https://acme-v02.api.letsencrypt.org/directory",
            "www.a-b.example = /var/www/html",
            "renew_hook = a = [b] %(c)s",
            "x = y z",
            "empty = ",
            "webroot_path = /var/www/html,",
        ] {
            assert!(assert_same(line), "{line:?}");
        }
        for line in [
            "a = b, c",
            "a = b, c,",
            "a = b ,",
            "a = ,",
            "a = ,,",
            "a = b # c",
            "a = 'b'",
            "a = \"\"\"b",
            " a = b",
            "a  = b",
            "a =  b",
            "a = b ",
            "a=b",
            "a = b\t",
            "a = \u{e9}",
            "\u{e9} = a",
            "'a' = b",
            "[a]",
            "# a = b",
            "= b",
            "a",
            "",
            "a\u{1f} = b",
        ] {
            assert_eq!(usual(line), None, "{line:?}");
        }
    }

    #[test]
    fn headers_are_read_as_the_grammar_reads_them() {
        for line in ["[renewalparams]", "[[webroot_map]]", "[[a]", "[a]]]", "[a-b.c_d]"] {
            let (quick, slow) = (usual_marker(line).unwrap(), marker(line).unwrap());
            assert_eq!((quick.name, quick.open, quick.close), (slow.name, slow.open, slow.close), "{line:?}");
        }
        for line in
            ["[]", "[ a]", "[a ]", "[a] # b", "['a']", "[a][b]", "[[a][b]]", "a]", "[a", " [a]", "[a] ", "", "[é]"]
        {
            assert!(usual_marker(line).is_none(), "{line:?}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn the_grammar_reads_the_same_of_a_usual_line(line in "[a-z_.0-9-]{1,6} = [ -~]{0,12},?") {
            assert_same(&line);
        }

        #[test]
        fn the_grammar_reads_the_same_of_any_line_that_is_taken_for_usual(line in r#"[a"'\[\]#, =\t\x1c%()é-]{0,12}"#) {
            assert_same(&line);
        }

        #[test]
        fn the_grammar_reads_the_same_of_any_header_that_is_taken_for_usual(line in r#"\[[\[\]a'" #]{0,8}"#) {
            if let Some(quick) = usual_marker(&line) {
                let slow = marker(&line).unwrap();
                prop_assert_eq!((quick.name, quick.open, quick.close), (slow.name, slow.open, slow.close));
            }
        }
    }
}
