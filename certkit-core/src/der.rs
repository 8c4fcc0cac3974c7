//! The outer structure of DER: tags, lengths and positions (X.690 sections 8 and 10).
//!
//! Enough to find the parts of certificates and keys, and to say at which byte they stop making sense. What the parts
//! of a certificate mean is left to `x509-parser`.

use zeroize::Zeroizing;

pub(crate) const BOOLEAN: u8 = 0x01;
pub(crate) const INTEGER: u8 = 0x02;
pub(crate) const BIT_STRING: u8 = 0x03;
pub(crate) const OCTET_STRING: u8 = 0x04;
pub(crate) const OID: u8 = 0x06;
pub(crate) const UTC_TIME: u8 = 0x17;
pub(crate) const GENERALIZED_TIME: u8 = 0x18;
pub(crate) const SEQUENCE: u8 = 0x30;
pub(crate) const SET: u8 = 0x31;

/// The context-specific tag `[number]`, constructed.
pub(crate) const fn explicit(number: u8) -> u8 {
    0xa0 | number
}

/// The context-specific tag `[number]`, primitive.
pub(crate) const fn implicit(number: u8) -> u8 {
    0x80 | number
}

/// Where the encoding stops making sense, counted from the start of the outermost element, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DerError {
    pub(crate) offset: usize,
    pub(crate) what: &'static str,
}

/// One element. Of a tag in the high form only the first octet is kept: nothing read here uses one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Element<'a> {
    pub(crate) tag: u8,
    /// Tag, length and content.
    pub(crate) raw: &'a [u8],
    pub(crate) content: &'a [u8],
    /// The position of the tag.
    pub(crate) offset: usize,
}

impl<'a> Element<'a> {
    /// Reads what is inside.
    pub(crate) fn inside(&self) -> Reader<'a> {
        Reader { rest: self.content, offset: self.content_offset() }
    }

    /// The position of the first octet of the content.
    pub(crate) fn content_offset(&self) -> usize {
        self.offset + (self.raw.len() - self.content.len())
    }

    /// The octets of a BIT STRING whose number of bits is a multiple of eight.
    pub(crate) fn bit_string_octets(&self) -> Result<&'a [u8], DerError> {
        match self.content.split_first() {
            Some((0, octets)) => Ok(octets),
            Some(_) => Err(DerError { offset: self.offset, what: "a bit string that is not made of whole octets" }),
            None => Err(DerError { offset: self.offset, what: "an empty bit string" }),
        }
    }
}

/// Reads elements one after another.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
    offset: usize,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, offset: 0 }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The tag of the next element.
    pub(crate) fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    /// The next element, whatever it is.
    pub(crate) fn any(&mut self) -> Result<Element<'a>, DerError> {
        let (tag, header, length) = self.header()?;
        let offset = self.offset;
        let end = header.checked_add(length).ok_or(DerError { offset, what: "a length beyond all bounds" })?;
        let (Some(raw), Some(content)) = (self.rest.get(..end), self.rest.get(header..end)) else {
            return Err(DerError { offset, what: "an element that reaches beyond the end of the data" });
        };
        self.rest = self.rest.get(end..).unwrap_or_default();
        self.offset += end;
        Ok(Element { tag, raw, content, offset })
    }

    /// The next element, which must have the tag; `what` is said when it has not.
    pub(crate) fn expect(&mut self, tag: u8, what: &'static str) -> Result<Element<'a>, DerError> {
        if self.peek() != Some(tag) {
            return Err(DerError { offset: self.offset, what });
        }
        self.any()
    }

    /// The next element if it has the tag.
    pub(crate) fn optional(&mut self, tag: u8) -> Result<Option<Element<'a>>, DerError> {
        if self.peek() == Some(tag) { self.any().map(Some) } else { Ok(None) }
    }

    /// Fails with `what` if anything is left.
    pub(crate) fn end(&self, what: &'static str) -> Result<(), DerError> {
        if self.rest.is_empty() { Ok(()) } else { Err(DerError { offset: self.offset, what }) }
    }

    /// The next element's first tag octet, the size of its header and the length of its content.
    fn header(&self) -> Result<(u8, usize, usize), DerError> {
        let cut = DerError { offset: self.offset, what: "the data ends within an element's header" };
        let mut octets = self.rest.iter().copied();
        let mut header = 2;
        let tag = octets.next().ok_or(cut)?;
        if tag & 0x1f == 0x1f {
            header += 1;
            while octets.next().ok_or(cut)? & 0x80 != 0 {
                header += 1;
            }
        }
        let first = octets.next().ok_or(cut)?;
        if first & 0x80 == 0 {
            return Ok((tag, header, usize::from(first)));
        }
        let count = usize::from(first & 0x7f);
        if count == 0 {
            return Err(DerError { offset: self.offset, what: "an indefinite length, which DER does not have" });
        }
        if count > 4 {
            return Err(DerError { offset: self.offset, what: "a length beyond all bounds" });
        }
        let mut length = 0usize;
        for _ in 0..count {
            length = (length << 8) | usize::from(octets.next().ok_or(cut)?);
        }
        Ok((tag, header + count, length))
    }
}

/// Appends an element made of the parts.
pub(crate) fn write(out: &mut Vec<u8>, tag: u8, parts: &[&[u8]]) {
    out.push(tag);
    let length: usize = parts.iter().map(|part| part.len()).sum();
    if length < 0x80 {
        out.push(length as u8);
    } else {
        let octets = length.to_be_bytes();
        let used = octets.iter().position(|octet| *octet != 0).map_or(&octets[..0], |first| &octets[first..]);
        out.push(0x80 | used.len() as u8);
        out.extend_from_slice(used);
    }
    for part in parts {
        out.extend_from_slice(part);
    }
}

/// An element made of the parts.
pub(crate) fn element(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::with_capacity(parts.iter().map(|part| part.len()).sum::<usize>() + 8);
    write(&mut out, tag, parts);
    out
}

/// PEM as OpenSSL writes it: lines of 64 characters, LF. The text is wiped when it is dropped, for it may be a key.
pub(crate) fn to_pem(label: &str, der: &[u8]) -> Zeroizing<String> {
    // 48 octets make a line of 64 characters. The size is fixed beforehand so that nothing is left in outgrown buffers.
    let size = der.len().div_ceil(48) * 65 + 2 * (label.len() + 18);
    let mut pem = Zeroizing::new(String::with_capacity(size));
    for part in ["-----BEGIN ", label, "-----\n"] {
        pem.push_str(part);
    }
    for line in der.chunks(48) {
        data_encoding::BASE64.encode_append(line, &mut pem);
        pem.push('\n');
    }
    for part in ["-----END ", label, "-----\n"] {
        pem.push_str(part);
    }
    pem
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_every_form_come_back() {
        for length in [0, 1, 127, 128, 255, 256, 65_535, 65_536] {
            let content = vec![7; length];
            let der = element(OCTET_STRING, &[&content]);
            let mut reader = Reader::new(&der);
            assert_eq!(reader.expect(OCTET_STRING, "").unwrap().content, content);
            assert!(reader.is_empty());
        }
    }

    #[test]
    fn errors_say_where() {
        let der = [0x30, 0x06, 0x02, 0x01, 0x05, 0x04, 0x05, 0x00];
        let mut inside = Reader::new(&der).any().unwrap().inside();
        inside.expect(INTEGER, "").unwrap();
        assert_eq!(inside.any().unwrap_err().offset, 5);
        assert_eq!(
            Reader::new(&[0x30, 0x80, 0, 0]).any().unwrap_err().what,
            "an indefinite length, which DER does not have"
        );
        for cut in [&[][..], &[0x1f], &[0x1f, 0x80], &[0x30], &[0x30, 0x82, 1], &[0x30, 0x84, 0xff, 0xff, 0xff, 0xff]] {
            assert!(Reader::new(cut).any().is_err());
        }
    }

    #[test]
    fn the_text_fits_what_was_set_aside_for_it() {
        for length in 0..200 {
            let pem = to_pem("PRIVATE KEY", &vec![1; length]);
            assert!(pem.len() <= length.div_ceil(48) * 65 + 2 * ("PRIVATE KEY".len() + 18));
            assert_eq!(pem::parse(pem.as_bytes()).unwrap().contents().len(), length);
        }
    }
}
