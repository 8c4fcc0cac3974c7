//! What OpenSSL makes of a PEM text, with which nearly every server reads it.
//!
//! This crate reads more ([`crate::pem_block`]): names and dates are in a file whose lines end in a lone CR, and an owner is
//! helped more by them than by a refusal. But no server loads it, and somebody has to say so before the server starts anew.
//! What follows goes by `PEM_read_bio_ex` of OpenSSL 3 (crypto/pem/pem_lib.c), and looks at each octet a fixed number of times.

use crate::pem_block::blocks;

/// Where OpenSSL stops reading, or passes over a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// The line, from 1 and counted by LF.
    pub(crate) line: usize,
    /// What is wrong there: a sentence fragment.
    pub(crate) what: &'static str,
}

/// What OpenSSL refuses of a text in which this crate found what it looked for; none when it reads all of that, too.
pub(crate) fn refusal(text: &[u8]) -> Option<Refusal> {
    let mut lines = Lines { rest: text, number: 0 };
    let (mut read, mut is_first) = (0, true);
    while let Some(line) = lines.next() {
        // Each block is read by a call of its own, whose first line may begin with it.
        let line = if is_first { line.strip_prefix(BOM).unwrap_or(line) } else { line };
        is_first = false;
        let label = line.strip_prefix(BEGIN).and_then(|rest| rest.strip_suffix(DASHES));
        let Some(label) = label.filter(|label| !label.contains(&b'\r')) else { continue };
        if let Err(refusal) = lines.block(label) {
            return Some(refusal);
        }
        (read, is_first) = (read + 1, true);
    }
    // What stands in the middle of a line is text to OpenSSL, and may be a block to this crate.
    if memchr::memmem::find_iter(text, BEGIN).count() == read || blocks(text).count() == read {
        return None;
    }
    let mut lines = Lines { rest: text, number: 0 };
    while let Some(line) = lines.next() {
        if memchr::memmem::find(line, BEGIN).is_some_and(|at| at > 0) || memchr::memchr(b'\r', line).is_some() {
            break;
        }
    }
    Some(Refusal { line: lines.number, what: "a BEGIN line has something before or behind it" })
}

const BEGIN: &[u8] = b"-----BEGIN ";
const END: &[u8] = b"-----END ";
const DASHES: &[u8] = b"-----";
const BOM: &[u8] = b"\xef\xbb\xbf";
/// The characters of a line behind a blank one, but for the last.
const LINE: usize = 64;

/// Lines that end in LF, without the blanks and control characters at their end.
struct Lines<'a> {
    rest: &'a [u8],
    /// Of the line that was given last, from 1.
    number: usize,
}

impl<'a> Lines<'a> {
    fn next(&mut self) -> Option<&'a [u8]> {
        if self.rest.is_empty() {
            return None;
        }
        let length = memchr::memchr(b'\n', self.rest).unwrap_or(self.rest.len());
        let (line, rest) = self.rest.split_at(length);
        self.rest = rest.get(1..).unwrap_or_default();
        self.number += 1;
        let end = line.iter().rposition(|octet| *octet > b' ').map_or(0, |last| last + 1);
        line.get(..end)
    }

    /// Reads a block to its END line.
    fn block(&mut self, label: &[u8]) -> Result<(), Refusal> {
        let (mut has_content, mut has_header, mut is_behind_header, mut has_short_line) = (false, false, false, false);
        while let Some(line) = self.next() {
            let number = self.number;
            let refused = |what| Err(Refusal { line: number, what });
            if let Some(found) = line.strip_prefix(END) {
                return match found.strip_suffix(DASHES) {
                    Some(found) if found == label => Ok(()),
                    _ => refused("the END line has something behind it"),
                };
            }
            if line.is_empty() {
                // The first ends the header of RFC 1421, which is encryption or nothing.
                if is_behind_header || (has_content && !has_header) {
                    return refused("a blank line stands within a block");
                }
                is_behind_header = true;
                continue;
            }
            if line.first().is_some_and(|first| *first <= b' ') && memchr::memmem::find(line, END).is_some() {
                return refused("the END line has something before it");
            }
            if is_behind_header {
                if has_short_line || line.len() > LINE {
                    return refused("lines behind a blank one have not 64 characters");
                }
                has_short_line = line.len() < LINE;
            } else {
                has_header |= line.contains(&b':');
                has_content = true;
                if has_header && !line.starts_with(b"Proc-Type:") && !line.starts_with(b"DEK-Info:") {
                    return refused("a block has a header");
                }
            }
        }
        Err(Refusal { line: self.number, what: "a block has no END line of its own" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "-----BEGIN X-----\nAQID\nBAUG\n-----END X-----\n";

    fn refused(text: &str) -> Option<(usize, &'static str)> {
        refusal(text.as_bytes()).map(|refusal| (refusal.line, refusal.what))
    }

    #[test]
    fn what_openssl_reads_is_nothing_to_tell() {
        for text in [
            GOOD.to_owned(),
            GOOD.repeat(3),
            GOOD.replace('\n', "\r\n"),
            GOOD.replace('\n', " \t\u{b}\n"),
            format!("\u{feff}{GOOD}").repeat(2),
            format!("subject=CN = x\n\n{GOOD}# a word\n{GOOD}"),
            format!("# begins with -----BEGIN X-----\n{GOOD}"),
            GOOD.trim_end().to_owned(),
            GOOD.replace("AQID", " AQID"),
            String::new(),
        ] {
            assert_eq!(refused(&text), None, "{text:?}");
        }
    }

    #[test]
    fn what_openssl_refuses_or_passes_over_is_told_with_its_line() {
        let glued = format!("{}{GOOD}", GOOD.trim_end());
        let before_begin = "a BEGIN line has something before or behind it";
        for (text, line, what) in [
            (glued, 4, "the END line has something behind it"),
            (GOOD.replace('\n', "\r"), 1, before_begin),
            (format!("{GOOD} {GOOD}"), 5, before_begin),
            (GOOD.replace('\n', "\n\t"), 4, "the END line has something before it"),
            (GOOD.replace("AQID\n", "AQID\n\n"), 3, "a blank line stands within a block"),
            (GOOD.replace("AQID", "Foo: bar\n\nAQID"), 2, "a block has a header"),
            (format!("{GOOD}# a word\n\u{feff}{GOOD}"), 6, before_begin),
        ] {
            assert_eq!(refused(&text), Some((line, what)), "{text:?}");
        }
    }

    #[test]
    fn a_mebibyte_of_anything_takes_no_time() {
        let start = crate::processor_time::of_this_thread();
        for text in ["-----BEGIN X-----\n", "-----BEGIN X-----", "\n", " ", "-----END X-----\n", "a-----BEGIN X-----\n"]
        {
            let _ = refusal(text.repeat((1 << 20) / text.len()).as_bytes());
        }
        assert!((crate::processor_time::of_this_thread() - start).as_secs() < 5);
    }
}
