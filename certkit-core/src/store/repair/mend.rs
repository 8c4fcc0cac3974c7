//! Making missing or damaged files of a version anew from its other files, where these prove what they held.
//!
//! fullchain is cert and chain; cert and chain are the beginning and the rest of fullchain; a key belongs to a certificate
//! or does not. Whatever is made is verified as a whole before it counts, so nothing is guessed: where two answers would
//! verify, there is none.

use chrono::{DateTime, Utc};
use zeroize::Zeroizing;

use crate::pem_strict;
use crate::store::Kind;
use crate::store::version_texts::{UnfitError, VersionTexts};
use crate::{Certificate, Chain, KeyMath, PrivateKey};

/// How a certificate in PEM ends.
const END: &[u8] = b"-----END CERTIFICATE-----";

/// What stands in the first and the last line of every private key in PEM.
const KEY: &[u8] = b"PRIVATE KEY";

/// How any block in PEM begins, and the blocks of certificates.
const BEGIN: &str = "-----BEGIN ";
const OF_CERTIFICATES: [&str; 3] =
    ["-----BEGIN CERTIFICATE-----", "-----BEGIN X509 CERTIFICATE-----", "-----BEGIN TRUSTED CERTIFICATE-----"];

/// The content of a file; none when it is missing or cannot be read.
pub(super) type Text = Option<Zeroizing<Vec<u8>>>;

/// What can be said of the files of a version.
pub(super) enum Mending {
    /// They are one version, or one that no file of it can make any better.
    Whole,
    /// They are, once some are made anew.
    Mended(VersionTexts, Changed),
    /// They are not, and cannot be; why.
    Damaged(String),
}

/// What is made anew.
pub(super) struct Changed {
    pub(super) kinds: Vec<Kind>,
    /// Servers load the files as they are, and find the same in them: only certbot compares them letter by letter.
    pub(super) servers_do_not_mind: bool,
    /// What was wrong.
    pub(super) why: String,
}

/// Looks at the files of a version, in the order of [`Kind::ALL`]. `keys` are the contents of files among which a missing
/// key may be: old versions of the same lineage have it where keys are used again.
pub(super) fn mend(found: &[Text; 4], keys: &[Zeroizing<Vec<u8>>], math: &dyn KeyMath, now: DateTime<Utc>) -> Mending {
    let plain = without_other_blocks(found);
    let [cert, key, chain, fullchain] = &plain;
    let why = match (cert, key, chain, fullchain) {
        (Some(cert), Some(key), Some(chain), Some(fullchain)) => {
            let texts = VersionTexts::new([cert.clone(), key.clone(), chain.clone(), fullchain.clone()]);
            match texts.verify_soundness(math, now) {
                Err(error) if error.is_damage() => error.to_string(),
                _ => return Mending::Whole,
            }
        }
        _ => {
            let missing = Kind::ALL.iter().zip(&plain).filter(|(_, text)| text.is_none());
            let missing: Vec<_> = missing.map(|(kind, _)| kind.as_str()).collect();
            format!("{} cannot be had", missing.join(" and "))
        }
    };
    // What fullchain says comes first: it is what most servers send.
    let joined = |cert: Zeroizing<Vec<u8>>, chain: Zeroizing<Vec<u8>>| {
        let fullchain = Zeroizing::new([cert.as_slice(), chain.as_slice()].concat());
        [cert, chain, fullchain]
    };
    let from_fullchain = fullchain.as_ref().and_then(|text| split(&as_servers_read_it(text)));
    let from_fullchain = from_fullchain.map(|[cert, chain]| joined(cert, chain));
    let from_parts = cert.as_ref().zip(chain.as_ref());
    let from_parts = from_parts.map(|(cert, chain)| joined(as_servers_read_it(cert), as_servers_read_it(chain)));
    let mut mended: Option<(Certificate, VersionTexts)> = None;
    for [cert, chain, fullchain] in from_fullchain.into_iter().chain(from_parts) {
        for key in key.iter().chain(keys) {
            let texts =
                VersionTexts::new([cert.clone(), key_as_servers_read_it(key), chain.clone(), fullchain.clone()]);
            match (texts.verify_soundness(math, now), &mended) {
                (Ok(leaf), Some((other, _))) if leaf != *other => {
                    return Mending::Damaged(format!("{why}, and its files hold two certificates of one key"));
                }
                (Ok(leaf), None) => {
                    mended = Some((leaf, texts));
                    break;
                }
                (Ok(_), Some(_)) => break,
                // Another key is no answer to a fault of the certificates.
                (Err(error), _) if !is_about_the_key(&error) => break,
                (Err(_), _) => {}
            }
        }
    }
    let Some((_, texts)) = mended else { return Mending::Damaged(why) };
    let has_more = certificates(found).any(has_other_blocks);
    let serves = |kind: Kind| {
        let text = found[kind as usize].as_ref();
        // Of cert.pem the first counts, whatever is behind it.
        let leaf = |text: &[u8]| Certificate::from_pem(text).ok().filter(|_| kind == Kind::Cert);
        text.is_some_and(|text| {
            let is_same = are_the_same(kind, text, texts.get(kind))
                || leaf(text).is_some_and(|one| Some(one) == leaf(texts.get(kind)));
            is_same && pem_strict::refusal(text).is_none()
        })
    };
    let differs = |kind: &Kind| {
        let is_alike = found[*kind as usize].as_ref().is_some_and(|text| text.as_slice() == texts.get(*kind));
        // With something else in the same file it serves as its owner wants it, and stays.
        !(is_alike || (has_more && *kind != Kind::Privkey && serves(*kind)))
    };
    let kinds: Vec<_> = Kind::ALL.into_iter().filter(differs).collect();
    let servers_do_not_mind = kinds.iter().all(|kind| serves(*kind));
    Mending::Mended(texts, Changed { kinds, servers_do_not_mind, why })
}

/// Whether two texts hold the same certificates or the same key, written differently.
pub(super) fn are_the_same(kind: Kind, one: &[u8], other: &[u8]) -> bool {
    match kind {
        Kind::Privkey => {
            let der = |text| PrivateKey::from_pem(text).ok().map(|key| key.to_pem());
            der(one).is_some_and(|one| Some(one) == der(other))
        }
        Kind::Cert | Kind::Chain | Kind::Fullchain => {
            let chain = |text| Chain::from_pem(text).ok().map(|chain| chain.fullchain_pem());
            chain(one).is_some_and(|one| Some(one) == chain(other))
        }
    }
}

/// Whether a text has the lines of a private key in it, readable or not.
pub(super) fn mentions_key(text: &[u8]) -> bool {
    text.windows(KEY.len()).any(|window| window == KEY)
}

/// The files without what else than certificates their owner has put into those of certificates, such as the key for HAProxy:
/// everybody may read what is made of them. One in which no certificate can be read beside it is of no use.
pub(super) fn without_other_blocks(found: &[Text; 4]) -> [Text; 4] {
    let mut plain = found.clone();
    if certificates(found).any(has_other_blocks) {
        // All are written alike, for fullchain has to be the other two.
        for kind in [Kind::Cert, Kind::Chain, Kind::Fullchain] {
            let chain = found[kind as usize].as_ref().and_then(|text| Chain::from_pem(text).ok());
            plain[kind as usize] = chain.map(|chain| Zeroizing::new(chain.fullchain_pem().into_bytes()));
        }
    }
    plain
}

/// Whether a file of certificates holds a block of something else.
pub(super) fn has_other_blocks(text: &[u8]) -> bool {
    let is_other = |line: &str| line.contains(BEGIN) && !OF_CERTIFICATES.iter().any(|begin| line.contains(begin));
    mentions_key(text) || String::from_utf8_lossy(text).lines().any(is_other)
}

/// Whether a text is blocks of certificates and nothing else: a key may be written in ways that nobody takes for one.
fn is_certificates_alone(text: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(text) else { return false };
    let mut is_within = false;
    text.lines().map(str::trim_end).all(|line| {
        if is_within {
            is_within = !line.starts_with("-----END ");
            !is_within || line.bytes().all(|octet| octet.is_ascii_alphanumeric() || matches!(octet, b'+' | b'/' | b'='))
        } else {
            is_within = OF_CERTIFICATES.contains(&line);
            is_within || line.is_empty()
        }
    })
}

/// The files of certificates that are there.
fn certificates(found: &[Text; 4]) -> impl Iterator<Item = &[u8]> {
    let kinds = Kind::ALL.into_iter().filter(|kind| *kind != Kind::Privkey);
    kinds.filter_map(|kind| found[kind as usize].as_ref().map(|text| text.as_slice()))
}

/// Whether a text holds a private key that can be read.
pub(super) fn holds_key(text: &[u8]) -> bool {
    PrivateKey::from_pem(text).is_ok()
}

fn is_about_the_key(error: &UnfitError) -> bool {
    use crate::store::VerifyError;
    matches!(error, UnfitError::Key(_) | UnfitError::Verify(VerifyError::KeyMismatch | VerifyError::KeyMath(_)))
}

/// The same certificates as every server reads them: as they stand where OpenSSL does and nothing else is there, with a line
/// end behind the last, which an editor may have taken away before `chain.pem` would go on in the same line; else written anew.
fn as_servers_read_it(text: &[u8]) -> Zeroizing<Vec<u8>> {
    if (pem_strict::refusal(text).is_some() || !is_certificates_alone(text))
        && let Ok(chain) = Chain::from_pem(text)
    {
        return Zeroizing::new(chain.fullchain_pem().into_bytes());
    }
    let mut out = Zeroizing::new(Vec::with_capacity(text.len() + 1));
    out.extend_from_slice(text);
    if out.ends_with(END) {
        out.push(b'\n');
    }
    out
}

/// The same key, likewise.
fn key_as_servers_read_it(text: &Zeroizing<Vec<u8>>) -> Zeroizing<Vec<u8>> {
    match PrivateKey::from_pem(text) {
        Ok(key) if pem_strict::refusal(text).is_some() => Zeroizing::new(key.to_pem().as_bytes().to_vec()),
        _ => text.clone(),
    }
}

/// The first certificate of a PEM text, and the rest of it.
fn split(fullchain: &[u8]) -> Option<[Zeroizing<Vec<u8>>; 2]> {
    let end = fullchain.windows(END.len()).position(|window| window == END)? + END.len();
    let line = fullchain.get(end..)?.iter().position(|octet| *octet == b'\n')? + 1;
    let (cert, chain) = fullchain.split_at(end + line);
    Some([cert, chain].map(|part| Zeroizing::new(part.to_vec())))
}
