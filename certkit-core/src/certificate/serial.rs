//! Serial numbers, and the certificate id that is made from them.

use data_encoding::BASE64URL_NOPAD;

/// The serial number, as the content octets of its INTEGER.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Serial(pub(crate) Vec<u8>);

impl Serial {
    /// The content octets of the INTEGER, a leading zero octet included.
    pub fn octets(&self) -> &[u8] {
        &self.0
    }

    /// Upper-case hex as `openssl x509 -serial` prints it: whole octets, a leading zero octet dropped, `-` before negatives.
    pub fn openssl_hex(&self) -> String {
        let (sign, magnitude) = self.magnitude();
        let octets = if magnitude.is_empty() { &[0][..] } else { &magnitude };
        format!("{sign}{}", data_encoding::HEXUPPER.encode(octets))
    }

    /// Lower-case hex without leading zeros, as certbot prints it.
    pub fn certbot_hex(&self) -> String {
        let (sign, magnitude) = self.magnitude();
        let hex = data_encoding::HEXLOWER.encode(&magnitude);
        let digits = hex.trim_start_matches('0');
        format!("{sign}{}", if digits.is_empty() { "0" } else { digits })
    }

    /// Decimal digits, `-` before negatives, as Go programs print it.
    pub fn decimal(&self) -> String {
        /// What one limb holds: nine digits.
        const LIMB: u64 = 1_000_000_000;
        let (sign, magnitude) = self.magnitude();
        // The lowest first.
        let mut limbs: Vec<u64> = vec![0];
        for octet in magnitude {
            let mut carry = u64::from(octet);
            for limb in &mut limbs {
                let value = *limb * 256 + carry;
                (*limb, carry) = (value % LIMB, value / LIMB);
            }
            if carry > 0 {
                limbs.push(carry);
            }
        }
        let mut digits = limbs.pop().unwrap_or_default().to_string();
        limbs.iter().rev().for_each(|limb| digits.push_str(&format!("{limb:09}")));
        format!("{sign}{digits}")
    }

    /// The sign and the absolute value without leading zero octets. RFC 5280 section 4.1.2.2 asks for positive numbers
    /// and for readers that handle the others all the same.
    fn magnitude(&self) -> (&'static str, Vec<u8>) {
        let negative = self.0.first().is_some_and(|first| first & 0x80 != 0);
        let mut octets = self.0.clone();
        if negative {
            // The two's complement: every bit turned, plus one.
            let mut carry = true;
            for octet in octets.iter_mut().rev() {
                let (sum, overflow) = (!*octet).overflowing_add(u8::from(carry));
                *octet = sum;
                carry = overflow;
            }
        }
        let zeros = octets.iter().take_while(|octet| **octet == 0).count();
        octets.drain(..zeros);
        (if negative { "-" } else { "" }, octets)
    }
}

/// The certificate id of RFC 9773 section 4.1: base64url(authority key id) `.` base64url(serial octets).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AriCertificateId(pub(crate) String);

impl AriCertificateId {
    pub(super) fn new(authority_key_id: &[u8], serial: &Serial) -> Self {
        Self(format!("{}.{}", BASE64URL_NOPAD.encode(authority_key_id), BASE64URL_NOPAD.encode(serial.octets())))
    }

    /// The id as it stands in a URL.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for AriCertificateId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimal_is_what_a_big_integer_prints() {
        let vectors: [(&[u8], &str); 7] = [
            (&[], "0"),
            (&[0x00], "0"),
            (&[0xff], "-1"),
            (&[0x00, 0xff], "255"),
            (&[0x3b, 0x9a, 0xca, 0x00], "1000000000"),
            (&[0x0d, 0xe0, 0xb6, 0xb3, 0xa7, 0x64, 0x00, 0x09], "1000000000000000009"),
            (&[0x7f; 20], "727885129180488904360266563744972327436484050815"),
        ];
        for (octets, expected) in vectors {
            assert_eq!(Serial(octets.to_vec()).decimal(), expected);
        }
    }

    /// The second column was printed by OpenSSL 3.0 (`openssl x509 -noout -serial`), the third by Python's `'%x'`.
    #[test]
    fn hex_is_what_openssl_and_certbot_print() {
        let vectors: [(&[u8], &str, &str); 9] = [
            (&[0x00], "00", "0"),
            (&[0x05], "05", "5"),
            (&[0xfb], "-05", "-5"),
            (&[0xff], "-01", "-1"),
            (&[0x00, 0xff], "FF", "ff"),
            (&[0x00, 0x80], "80", "80"),
            (&[0x80], "-80", "-80"),
            (&[0xff, 0x42, 0x43, 0x44, 0x45, 0x46, 0x47], "-BDBCBBBAB9B9", "-bdbcbbbab9b9"),
            (&[0x80, 0, 0, 0, 0, 0, 0], "-80000000000000", "-80000000000000"),
        ];
        for (octets, openssl, certbot) in vectors {
            let serial = Serial(octets.to_vec());
            assert_eq!(serial.openssl_hex(), openssl);
            assert_eq!(serial.certbot_hex(), certbot);
        }
        assert_eq!(Serial(vec![0x0f, 0, 1]).openssl_hex(), "0F0001");
        assert_eq!(Serial(vec![0x0f, 0, 1]).certbot_hex(), "f0001");
    }

    /// The example of RFC 9773 section 4.1.
    #[test]
    fn the_certificate_id_is_that_of_rfc_9773() {
        let key_id = data_encoding::HEXUPPER.decode(b"69885B6B87464041E1B37B847BA0AE2CDE01C8D4").unwrap();
        let id = AriCertificateId::new(&key_id, &Serial(vec![0x00, 0x87, 0x65, 0x43, 0x21]));
        assert_eq!(id.as_str(), "aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE");
    }
}
