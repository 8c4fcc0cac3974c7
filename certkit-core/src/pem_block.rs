//! The blocks of a PEM text (RFC 7468), found in one pass and decoded only when asked.
//!
//! RFC 7468 demands that parsers ignore what stands between blocks; what users' files hold in addition (byte-order marks,
//! CRLF or lone CR, blanks around and in lines, lines that lost the end between them, text after a missing END) is handled
//! here. A damaged block does not hide the ones after it, and no BEGIN line passes unseen. Every octet is looked at a fixed
//! number of times, for CVE-2025-61723 and CVE-2024-12401 were PEM parsers whose time grew with the square of the input.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use zeroize::Zeroizing;

use crate::escape;

/// A block between its BEGIN and its END line.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Block<'a> {
    /// The line of BEGIN, from 1.
    pub(crate) line: usize,
    pub(crate) label: &'a str,
    body: &'a [u8],
    /// The line on which the body begins, from 1.
    body_line: usize,
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
    Blocks { lines: Lines::new(text), held: None }
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
        loop {
            let line = self.held.take().or_else(|| self.lines.next())?;
            if line.text.starts_with(BEGIN) {
                return Some(self.block(&line));
            }
            // After a text without a line end (`cat notes cert.pem`) it is a block when it ends as one, and part of the
            // text otherwise.
            if let Some(at) = boundary_in(&line, &[BEGIN])
                && let Ok(block) = self.block(&line.from(at))
            {
                return Some(Ok(block));
            }
        }
    }
}

impl<'a> Blocks<'a> {
    fn block(&mut self, begin: &Line<'a>) -> Result<Block<'a>, BlockError> {
        let fail = |what: String| Err(BlockError { line: begin.number, what });
        let Some((label, length)) = boundary(begin.text, BEGIN) else {
            return fail("a damaged BEGIN line".to_owned());
        };
        self.lines.go_on_in(begin, length);
        let (start, body_line) = (self.lines.position, self.lines.number + usize::from(self.lines.rest.is_none()));
        loop {
            self.lines.pass_over_base64();
            let Some(mut line) = self.lines.next() else {
                return fail(format!("the block {} is cut off: it has no END line", shown(label)));
            };
            let Some(at) = boundary_in(&line, &[BEGIN, END]) else { continue };
            line = line.from(at);
            if line.text.starts_with(BEGIN) {
                let number = line.number;
                self.held = Some(line);
                return fail(format!(
                    "the block {} has no END line before the next one begins on line {number}",
                    shown(label)
                ));
            }
            let end = boundary(line.text, END);
            if let Some((_, length)) = end {
                self.lines.go_on_in(&line, length);
            }
            if end.is_none_or(|(found, _)| found != label) {
                return fail(format!(
                    "the block {} has a damaged or foreign END line on line {}",
                    shown(label),
                    line.number
                ));
            }
            let body = self.lines.text.get(start..line.start).unwrap_or_default();
            return Ok(Block { line: begin.number, label, body, body_line });
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
        der.reserve_exact(base64::decoded_len_estimate(self.body.len()));
        self.usual_lines(base64);
        let mut decoded = BASE64.decode_vec(&*base64, der);
        if decoded.is_err() {
            base64.clear();
            der.clear();
            self.lines(base64);
            decoded = BASE64.decode_vec(&*base64, der);
        }
        match decoded {
            Ok(()) if !der.is_empty() => Ok(()),
            Ok(()) => Err(self.error(format!("the block {} is empty", shown(self.label)))),
            Err(_) => Err(self.error(self.why_not_base64())),
        }
    }

    /// The base64 of lines as RFC 7468 section 2 has them: 64 characters and LF, the last one shorter. Of others it is
    /// something that cannot be decoded, or the same as that of [`Block::lines`].
    fn usual_lines(&self, base64: &mut Vec<u8>) {
        let mut rest = self.body;
        while let Some((line, after)) = rest.split_at_checked(LINE)
            && let Some(after) = after.strip_prefix(b"\n")
        {
            base64.extend_from_slice(line);
            rest = after;
        }
        base64.extend_from_slice(rest.strip_suffix(b"\n").unwrap_or(rest));
    }

    /// The base64 of any lines.
    fn lines(&self, base64: &mut Vec<u8>) {
        for line in Lines::new(self.body) {
            if memchr::memchr3(b':', b' ', b'\t', line.text).is_none() {
                base64.extend_from_slice(line.text);
            // RFC 1421 headers; a colon is not in the alphabet.
            } else if !line.text.contains(&b':') {
                base64.extend(line.text.iter().filter(|c| !is_blank(c)));
            }
        }
    }

    /// An error of this block.
    pub(crate) fn error(&self, what: String) -> BlockError {
        BlockError { line: self.line, what }
    }

    fn why_not_base64(&self) -> String {
        let foreign = |c: &u8| !c.is_ascii_alphanumeric() && !matches!(c, b'+' | b'/' | b'=' | b':') && !is_blank(c);
        match Lines::new(self.body).find(|line| line.text.iter().any(foreign)) {
            Some(line) => format!(
                "the block {} is damaged: line {} is not base64",
                shown(self.label),
                (self.body_line + line.number).saturating_sub(1)
            ),
            None => format!("the block {} is damaged: its base64 is incomplete", shown(self.label)),
        }
    }
}

const BEGIN: &[u8] = b"-----BEGIN";
const END: &[u8] = b"-----END";
const DASHES: &[u8] = b"-----";
const BOM: &[u8] = b"\xef\xbb\xbf";
/// The characters of a line of base64 (RFC 7468 section 2).
const LINE: usize = 64;

/// The label of a boundary, and the length of the whole of it. What follows on the same line belongs to the next one.
fn boundary<'a>(line: &'a [u8], start: &[u8]) -> Option<(&'a str, usize)> {
    let rest = line.strip_prefix(start)?.strip_prefix(b" ")?;
    let label = rest.get(..memchr::memmem::find(rest, DASHES)?)?;
    let length = line.len() - rest.len() + label.len() + DASHES.len();
    std::str::from_utf8(label).ok().filter(|label| !label.is_empty()).map(|label| (label, length))
}

/// Where the first of these boundaries begins in a line.
fn boundary_in(line: &Line<'_>, kinds: &[&[u8]]) -> Option<usize> {
    // Base64 has no hyphen, so that most lines are done with here.
    let first = memchr::memchr(b'-', line.text)?;
    let rest = line.text.get(first..)?;
    // What comes first is looked for, of whichever kind: looking for each kind alone would look at what follows again and again.
    let starts = |at: &usize| rest.get(*at..).is_some_and(|text| kinds.iter().any(|kind| text.starts_with(kind)));
    memchr::memmem::find_iter(rest, DASHES).find(starts).map(|at| first + at)
}

/// Without what stands at its end, a vertical tab included: OpenSSL passes over it, and the standard library does not.
fn trim_end(mut text: &[u8]) -> &[u8] {
    while let Some((0x0b, rest)) = text.trim_ascii_end().split_last() {
        text = rest;
    }
    text.trim_ascii_end()
}

fn is_blank(c: &u8) -> bool {
    matches!(c, b' ' | b'\t')
}

fn shown(label: &str) -> String {
    let label = escape(label);
    let end = label.char_indices().nth(60).map_or(label.len(), |(at, _)| at);
    label.get(..end).unwrap_or_default().to_owned()
}

#[derive(Clone, Copy)]
struct Line<'a> {
    /// From 1.
    number: usize,
    /// The position of `text`.
    start: usize,
    /// Without the line's end and the blanks around it.
    text: &'a [u8],
    /// The position of the next line.
    next: usize,
}

impl Line<'_> {
    /// The line without what stands before `at`.
    fn from(mut self, at: usize) -> Self {
        self.start += at;
        self.text = self.text.get(at..).unwrap_or_default();
        self
    }
}

/// Lines that end in LF, CRLF or CR.
struct Lines<'a> {
    text: &'a [u8],
    position: usize,
    /// Of the line that was given last.
    number: usize,
    /// What is still to be given of that line.
    rest: Option<Line<'a>>,
}

impl<'a> Lines<'a> {
    fn new(text: &'a [u8]) -> Self {
        Self { text, position: 0, number: 0, rest: None }
    }

    /// Goes on behind the lines that end in LF and in which no boundary can be: those of a usual block, but for its END.
    fn pass_over_base64(&mut self) {
        if self.rest.is_some() {
            return;
        }
        let rest = self.text.get(self.position..).unwrap_or_default();
        let lines = rest.get(..memchr::memchr2(b'-', b'\r', rest).unwrap_or(rest.len())).unwrap_or_default();
        if let Some(last) = memchr::memrchr(b'\n', lines) {
            self.number += memchr::memchr_iter(b'\n', lines).count();
            self.position += last + 1;
        }
    }

    /// Gives what follows the first `length` octets of the line as a line of the same number, when there is something.
    /// Its end is known: looking for it again and again would be the square of CVE-2025-61723.
    fn go_on_in(&mut self, line: &Line<'a>, length: usize) {
        let rest = line.from(length);
        let is_done = rest.text.is_empty();
        self.position = if is_done { line.next } else { rest.start };
        self.rest = (!is_done).then_some(rest);
        self.number = line.number;
    }
}

impl<'a> Iterator for Lines<'a> {
    type Item = Line<'a>;

    fn next(&mut self) -> Option<Line<'a>> {
        if let Some(rest) = self.rest.take() {
            self.position = rest.next;
            return Some(rest.from(rest.text.len() - rest.text.trim_ascii_start().len()));
        }
        let rest = self.text.get(self.position..).filter(|rest| !rest.is_empty())?;
        let length = memchr::memchr2(b'\n', b'\r', rest).unwrap_or(rest.len());
        let ending = match rest.get(length..).unwrap_or_default() {
            [b'\r', b'\n', ..] => 2,
            [] => 0,
            _ => 1,
        };
        let whole = rest.get(..length).unwrap_or_default();
        // A mark stands wherever files with one were put together.
        let text = whole.strip_prefix(BOM).unwrap_or(whole).trim_ascii_start();
        let start = self.position + (length - text.len());
        self.position += length + ending;
        self.number += 1;
        Some(Line { number: self.number, start, text: trim_end(text), next: self.position })
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
            GOOD.replace('\n', "\u{b} \u{b}\n"),
            GOOD.trim_end().to_owned(),
            GOOD.replace("AQID", "\nA\nQ\n\nID\n"),
            GOOD.replace("AQID", "A Q\tI  D"),
            GOOD.replace('\n', ""),
            GOOD.replace('\n', " "),
            GOOD.replace("\nAQ", "AQ"),
            GOOD.replace("ID\n", "ID"),
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
    fn blocks_that_lost_the_line_end_between_them_are_all_found() {
        let all = |text: &str| read(text.as_bytes()).into_iter().map(|found| found.unwrap().0).collect::<Vec<_>>();
        assert_eq!(all(&GOOD.trim_end().repeat(3)), [1, 3, 5]);
        assert_eq!(all(&format!("{GOOD}\u{feff}{GOOD}")), [1, 4]);
        assert_eq!(all(&format!("my certificate:{GOOD}and another: {GOOD}")), [1, 4]);
        assert_eq!(all(&GOOD.replace('\n', "").repeat(3)), [1, 1, 1]);
        // A sentence about PEM is none.
        assert_eq!(all(&format!("# begins with -----BEGIN X-----\n{GOOD}# or -----BEGIN X-----\n")), [2]);
    }

    #[test]
    fn a_begin_line_is_a_block_or_an_error() {
        let glued = GOOD.replace("AQID", "AQID-----BEGIN X-----");
        let found = read(format!("{glued}-----BEGIN Y-----AQ-----END X----------BEGIN X-----").as_bytes());
        assert_eq!(
            found,
            [
                Err((1, "the block X has no END line before the next one begins on line 2".to_owned())),
                Err((2, "the block X is empty".to_owned())),
                Err((4, "the block Y has a damaged or foreign END line on line 4".to_owned())),
                Err((4, "the block X is cut off: it has no END line".to_owned())),
            ]
        );
        assert_eq!(
            read(b"-----BEGIN X-----A!\nAQ-----END X-----"),
            [Err((1, "the block X is damaged: line 1 is not base64".to_owned()))]
        );
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
        let start = crate::processor_time::of_this_thread();
        for end in ["\n", "", "\r", " "] {
            let text = format!("-----BEGIN CERTIFICATE-----{end}").repeat(20_000) + &" ".repeat(500_000) + "\n";
            assert_eq!(blocks(text.as_bytes()).count(), 20_000, "{end:?}");
        }
        for text in ["a-----BEGIN X-----", "-----BEGIN X-----a-----END Y-----", "------", "-----END X-----"] {
            let _ = blocks(text.repeat(40_000).as_bytes()).count();
        }
        assert!((crate::processor_time::of_this_thread() - start).as_secs() < 5);
    }
}
