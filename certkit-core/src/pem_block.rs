//! The blocks of a PEM text (RFC 7468), found in one pass and decoded only when asked.
//!
//! RFC 7468 demands that parsers ignore what stands between blocks; what users' files hold in addition (byte-order marks,
//! CRLF or lone CR, blanks around lines, text after a missing END) is handled here. A damaged block does not hide the
//! ones after it. Every octet is looked at a fixed number of times, for CVE-2025-61723 and CVE-2024-12401 were PEM
//! parsers whose time grew with the square of the input.

use data_encoding::BASE64;
use zeroize::Zeroizing;

use crate::escape;

/// A block between its BEGIN and its END line.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Block<'a> {
    /// The line of BEGIN, from 1.
    pub(crate) line: usize,
    pub(crate) label: &'a str,
    body: &'a [u8],
}

/// What is wrong with a block, and on which line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BlockError {
    /// The line of the block's BEGIN, from 1.
    pub(crate) line: usize,
    pub(crate) what: String,
}

/// Finds the blocks of a text in their order.
pub(crate) fn blocks(text: &[u8]) -> Blocks<'_> {
    Blocks { lines: Lines::new(text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text)), held: None }
}

/// The iterator of [`blocks`].
pub(crate) struct Blocks<'a> {
    lines: Lines<'a>,
    /// A BEGIN line that was met where an END line was expected.
    held: Option<Line<'a>>,
}

impl<'a> Iterator for Blocks<'a> {
    type Item = Result<Block<'a>, BlockError>;

    fn next(&mut self) -> Option<Self::Item> {
        let begin = loop {
            let line = self.held.take().or_else(|| self.lines.next())?;
            if line.text.starts_with(b"-----BEGIN") {
                break line;
            }
        };
        Some(self.block(&begin))
    }
}

impl<'a> Blocks<'a> {
    fn block(&mut self, begin: &Line<'a>) -> Result<Block<'a>, BlockError> {
        let fail = |what: String| Err(BlockError { line: begin.number, what });
        let Some(label) = boundary_label(begin.text, b"-----BEGIN ") else {
            return fail("a damaged BEGIN line".to_owned());
        };
        let start = self.lines.position;
        loop {
            let Some(line) = self.lines.next() else {
                return fail(format!("the block {} is cut off: it has no END line", shown(label)));
            };
            if line.text.starts_with(b"-----BEGIN") {
                let number = line.number;
                self.held = Some(line);
                return fail(format!(
                    "the block {} has no END line before the next one begins on line {number}",
                    shown(label)
                ));
            }
            if line.text.starts_with(b"-----END") {
                if boundary_label(line.text, b"-----END ") != Some(label) {
                    return fail(format!(
                        "the block {} has a damaged or foreign END line on line {}",
                        shown(label),
                        line.number
                    ));
                }
                let body = self.lines.text.get(start..line.start).unwrap_or_default();
                return Ok(Block { line: begin.number, label, body });
            }
        }
    }
}

impl Block<'_> {
    /// Whether the block has headers that say that it is encrypted (RFC 1421, as OpenSSL's traditional keys).
    pub(crate) fn is_encrypted(&self) -> bool {
        Lines::new(self.body)
            .take_while(|line| line.text.contains(&b':'))
            .any(|line| line.text.starts_with(b"Proc-Type:") && line.text.ends_with(b"ENCRYPTED"))
    }

    /// The octets that the block holds.
    pub(crate) fn decode(&self) -> Result<Vec<u8>, BlockError> {
        let mut der = Vec::new();
        self.decode_into(&mut Vec::new(), &mut der)?;
        Ok(der)
    }

    /// As [`Block::decode`] for keys: every buffer is wiped when it is dropped.
    pub(crate) fn decode_secret(&self) -> Result<Zeroizing<Vec<u8>>, BlockError> {
        let mut der = Zeroizing::default();
        self.decode_into(&mut Zeroizing::default(), &mut der)?;
        Ok(der)
    }

    /// Both buffers must be empty. They get their full size at once, so that no outgrown copy of a key is left behind.
    fn decode_into(&self, base64: &mut Vec<u8>, der: &mut Vec<u8>) -> Result<(), BlockError> {
        base64.reserve_exact(self.body.len());
        for line in Lines::new(self.body) {
            // RFC 1421 headers; a colon is not in the alphabet.
            if !line.text.contains(&b':') {
                base64.extend_from_slice(line.text);
            }
        }
        let length = BASE64.decode_len(base64.len()).map_err(|_| self.error(self.why_not_base64()))?;
        der.reserve_exact(length);
        der.resize(length, 0);
        match BASE64.decode_mut(base64, der) {
            Ok(used) if used > 0 => {
                der.truncate(used);
                Ok(())
            }
            Ok(_) => Err(self.error(format!("the block {} is empty", shown(self.label)))),
            Err(_) => Err(self.error(self.why_not_base64())),
        }
    }

    /// An error of this block.
    pub(crate) fn error(&self, what: String) -> BlockError {
        BlockError { line: self.line, what }
    }

    fn why_not_base64(&self) -> String {
        let foreign = |c: &u8| !c.is_ascii_alphanumeric() && !matches!(c, b'+' | b'/' | b'=');
        // The lines of the body are counted from the line after BEGIN.
        match Lines::new(self.body).find(|line| line.text.iter().any(foreign)) {
            Some(line) => format!(
                "the block {} is damaged: line {} is not base64",
                shown(self.label),
                self.line.saturating_add(line.number)
            ),
            None => format!("the block {} is damaged: its base64 is incomplete", shown(self.label)),
        }
    }
}

/// The label of a BEGIN or END line.
fn boundary_label<'a>(line: &'a [u8], start: &[u8]) -> Option<&'a str> {
    let label = line.strip_prefix(start)?.strip_suffix(b"-----")?;
    std::str::from_utf8(label).ok().filter(|label| !label.is_empty())
}

fn shown(label: &str) -> String {
    escape(label).chars().take(60).collect()
}

struct Line<'a> {
    /// From 1.
    number: usize,
    /// The position of the line's first octet.
    start: usize,
    /// Without the line's end and the blanks around it.
    text: &'a [u8],
}

/// Lines that end in LF, CRLF or CR.
struct Lines<'a> {
    text: &'a [u8],
    position: usize,
    number: usize,
}

impl<'a> Lines<'a> {
    fn new(text: &'a [u8]) -> Self {
        Self { text, position: 0, number: 0 }
    }
}

impl<'a> Iterator for Lines<'a> {
    type Item = Line<'a>;

    fn next(&mut self) -> Option<Line<'a>> {
        let rest = self.text.get(self.position..).filter(|rest| !rest.is_empty())?;
        let length = memchr::memchr2(b'\n', b'\r', rest).unwrap_or(rest.len());
        let ending = match rest.get(length..).unwrap_or_default() {
            [b'\r', b'\n', ..] => 2,
            [] => 0,
            _ => 1,
        };
        let start = self.position;
        self.position += length + ending;
        self.number += 1;
        Some(Line { number: self.number, start, text: rest.get(..length).unwrap_or_default().trim_ascii() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Line and content of a block, or line and reason.
    type Found = Result<(usize, Vec<u8>), (usize, String)>;

    const GOOD: &str = "-----BEGIN X-----\nAQID\n-----END X-----\n";

    fn read(text: &[u8]) -> Vec<Found> {
        blocks(text)
            .map(|block| block.and_then(|block| Ok((block.line, block.decode()?.to_vec()))))
            .map(|block| block.map_err(|error| (error.line, error.what)))
            .collect()
    }

    #[test]
    fn text_line_ends_and_marks_do_not_matter() {
        for text in [
            GOOD.to_owned(),
            format!("\u{feff}{GOOD}"),
            GOOD.replace('\n', "\r\n"),
            GOOD.replace('\n', "\r"),
            GOOD.replace('\n', "  \n\t"),
            GOOD.trim_end().to_owned(),
            GOOD.replace("AQID", "\nA\nQ\n\nID\n"),
        ] {
            assert_eq!(read(text.as_bytes()), [Ok((1, vec![1, 2, 3]))], "{text:?}");
        }
        assert_eq!(
            read(format!("a\n\r\nb\r{GOOD}c\n{GOOD}").as_bytes()),
            [Ok((4, vec![1, 2, 3])), Ok((8, vec![1, 2, 3]))]
        );
        assert_eq!(read([&b"\xff\xfe\n"[..], GOOD.as_bytes()].concat().as_slice()), [Ok((2, vec![1, 2, 3]))]);
    }

    #[test]
    fn a_damaged_block_does_not_hide_the_next() {
        let damaged = [
            ("-----BEGIN X-----\nAQ!D\n-----END X-----\n", "the block X is damaged: line 2 is not base64"),
            ("-----BEGIN X-----\nAQI\n-----END X-----\n", "the block X is damaged: its base64 is incomplete"),
            ("-----BEGIN X-----\n-----END X-----\n", "the block X is empty"),
            ("-----BEGIN X-----\nAQID\n-----END Y-----\n", "the block X has a damaged or foreign END line on line 3"),
            ("-----BEGIN X-----\nAQID\n", "the block X has no END line before the next one begins on line 3"),
            ("-----BEGIN X\n", "a damaged BEGIN line"),
        ];
        for (text, what) in damaged {
            let found = read(format!("{text}{GOOD}").as_bytes());
            assert_eq!(found.len(), 2, "{text:?}");
            assert_eq!(found[0], Err((1, what.to_owned())));
            assert!(found[1].is_ok());
        }
        let cut = read(b"-----BEGIN X-----\nAQ");
        assert_eq!(cut, [Err((1, "the block X is cut off: it has no END line".to_owned()))]);
    }

    #[test]
    fn headers_are_not_content() {
        let text = b"-----BEGIN X-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nAQID\n-----END X-----\n";
        let block = blocks(text).next().unwrap().unwrap();
        assert!(block.is_encrypted());
        assert_eq!(*block.decode().unwrap(), [1, 2, 3]);
    }

    #[test]
    fn half_a_megabyte_of_begin_lines_takes_no_time() {
        let text = "-----BEGIN CERTIFICATE-----\n".repeat(20_000);
        let start = std::time::Instant::now();
        assert_eq!(blocks(text.as_bytes()).count(), 20_000);
        assert!(start.elapsed().as_secs() < 5);
    }
}
