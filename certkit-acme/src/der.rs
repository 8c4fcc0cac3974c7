//! The little DER (X.690) that keys and algorithm identifiers need.

/// Reads one element after the other. Every length is checked; nothing is copied.
#[derive(Clone, Debug)]
pub(crate) struct Reader<'a>(&'a [u8]);

pub(crate) const INTEGER: u8 = 0x02;
pub(crate) const BIT_STRING: u8 = 0x03;
pub(crate) const OCTET_STRING: u8 = 0x04;
pub(crate) const OBJECT_IDENTIFIER: u8 = 0x06;
pub(crate) const SEQUENCE: u8 = 0x30;

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The tag of the next element.
    pub(crate) fn tag(&self) -> Option<u8> {
        self.0.first().copied()
    }

    /// The next element as tag and contents.
    pub(crate) fn any(&mut self) -> Option<(u8, &'a [u8])> {
        let (&tag, rest) = self.0.split_first()?;
        let (&first, mut rest) = rest.split_first()?;
        let length = if first < 0x80 {
            usize::from(first)
        } else {
            let octets = usize::from(first & 0x7f);
            if octets == 0 || octets > 4 {
                return None;
            }
            let (length, after) = rest.split_at_checked(octets)?;
            rest = after;
            length.iter().fold(0_usize, |sum, octet| (sum << 8) | usize::from(*octet))
        };
        let (contents, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some((tag, contents))
    }

    /// The contents of the next element, which must have this tag.
    pub(crate) fn expect(&mut self, tag: u8) -> Option<&'a [u8]> {
        (self.tag()? == tag).then(|| self.any()).flatten().map(|(_, contents)| contents)
    }

    /// The elements inside the next element, which must have this tag.
    pub(crate) fn inside(&mut self, tag: u8) -> Option<Self> {
        self.expect(tag).map(Self)
    }

    /// The next INTEGER, not negative, without leading zero octets.
    pub(crate) fn unsigned(&mut self) -> Option<&'a [u8]> {
        let octets = self.expect(INTEGER)?;
        if octets.first()? & 0x80 != 0 {
            return None;
        }
        Some(without_leading_zeros(octets))
    }
}

/// An element of this tag around `contents`.
pub(crate) fn element(tag: u8, contents: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    let length = contents.len();
    if length < 0x80 {
        out.extend(u8::try_from(length));
    } else {
        let octets = length.to_be_bytes();
        let octets = without_leading_zeros(&octets);
        out.extend(u8::try_from(octets.len()).map(|count| 0x80 | count));
        out.extend_from_slice(octets);
    }
    out.extend_from_slice(contents);
    out
}

/// The same number without the zero octets in front.
pub(crate) fn without_leading_zeros(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|octet| **octet == 0).count();
    number.get(zeros..).unwrap_or_default()
}

/// An object identifier's contents in dotted form, for messages.
pub(crate) fn dotted(oid: &[u8]) -> String {
    let mut arcs = Vec::new();
    let mut arc = 0_u64;
    for octet in oid {
        arc = arc.saturating_mul(128).saturating_add(u64::from(octet & 0x7f));
        if octet & 0x80 == 0 {
            if arcs.is_empty() {
                let first = (arc / 40).min(2);
                arcs.push(first.to_string());
                arc -= first * 40;
            }
            arcs.push(arc.to_string());
            arc = 0;
        }
    }
    arcs.join(".")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_element_is_read_back_whatever_its_length() {
        for length in [0, 1, 127, 128, 255, 256, 70_000] {
            let contents = vec![7; length];
            let der = element(OCTET_STRING, &contents);
            let mut reader = Reader::new(&der);
            assert_eq!(reader.expect(OCTET_STRING), Some(&contents[..]));
            assert_eq!(reader.any(), None);
        }
    }

    #[test]
    fn lengths_that_lie_are_refused() {
        for der in
            [&b"\x30"[..], b"\x30\x80", b"\x30\x05\x00", b"\x30\x84\xff\xff\xff\xff", b"\x30\x85\x00\x00\x00\x00\x01a"]
        {
            assert_eq!(Reader::new(der).any(), None);
        }
    }

    #[test]
    fn object_identifiers_are_dotted() {
        assert_eq!(dotted(&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0b]), "1.2.840.113549.1.1.11");
        assert_eq!(dotted(&[0x88, 0x37]), "2.999");
    }

    proptest::proptest! {
        #[test]
        fn reading_never_panics(bytes: Vec<u8>) {
            let mut reader = Reader::new(&bytes);
            while reader.any().is_some() {}
            let _ = dotted(&bytes);
        }
    }
}
