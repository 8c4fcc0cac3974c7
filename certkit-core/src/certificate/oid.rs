//! Object identifiers as text (X.690 section 8.19).

/// An OID in dotted form, from its content octets; in hex where it is malformed or has a number beyond 128 bits (so the
/// work stays linear whatever a certificate holds).
pub(super) fn dotted(oid: &[u8]) -> String {
    numbers(oid).map_or_else(
        || data_encoding::HEXLOWER.encode(oid),
        |numbers| numbers.iter().map(u128::to_string).collect::<Vec<_>>().join("."),
    )
}

fn numbers(oid: &[u8]) -> Option<Vec<u128>> {
    if oid.last()? & 0x80 != 0 {
        return None;
    }
    let mut numbers = Vec::new();
    let mut number = 0u128;
    for octet in oid {
        number = number.checked_mul(128)? + u128::from(octet & 0x7f);
        if octet & 0x80 == 0 {
            if numbers.is_empty() {
                // The first two numbers share one; the first is at most 2.
                let first = (number / 40).min(2);
                numbers.push(first);
                number -= first * 40;
            }
            numbers.push(number);
            number = 0;
        }
    }
    Some(numbers)
}

#[cfg(test)]
mod tests {
    use super::dotted;

    #[test]
    fn oids_are_dotted_and_malformed_ones_shown_in_hex() {
        assert_eq!(dotted(&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d]), "1.2.840.113549");
        assert_eq!(dotted(&[0x88, 0x37, 0x03]), "2.999.3");
        assert_eq!(dotted(&[0x00]), "0.0");
        assert_eq!(dotted(&[]), "");
        assert_eq!(dotted(&[0x2a, 0x86]), "2a86");
        assert_eq!(dotted(&[[0xff; 20].as_slice(), &[0]].concat()), format!("{}00", "ff".repeat(20)));
    }
}
