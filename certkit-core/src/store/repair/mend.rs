//! Making missing or damaged files of a version anew from its other files, where these prove what they held.
//!
//! fullchain is cert and chain; cert and chain are the beginning and the rest of fullchain; a key belongs to a certificate
//! or does not. Whatever is made is verified as a whole before it counts, so nothing is guessed: where two answers would
//! verify, there is none.

use chrono::{DateTime, Utc};
use zeroize::Zeroizing;

use crate::store::Kind;
use crate::store::version_texts::{UnfitError, VersionTexts};
use crate::{Certificate, KeyMath, PrivateKey};

/// The content of a file; none when it is missing or cannot be read.
pub(super) type Text = Option<Zeroizing<Vec<u8>>>;

/// What can be said of the files of a version.
pub(super) enum Mending {
    /// They are one version, or one that no file of it can make any better.
    Whole,
    /// They are, once these are made anew.
    Mended(VersionTexts, Vec<Kind>),
    /// They are not, and cannot be; why.
    Damaged(String),
}

/// Looks at the files of a version, in the order of [`Kind::ALL`]. `keys` are the contents of files among which a missing
/// key may be: old versions of the same lineage have it where keys are used again.
pub(super) fn mend(found: &[Text; 4], keys: &[Zeroizing<Vec<u8>>], math: &dyn KeyMath, now: DateTime<Utc>) -> Mending {
    let [cert, key, chain, fullchain] = found;
    let why = match (cert, key, chain, fullchain) {
        (Some(cert), Some(key), Some(chain), Some(fullchain)) => {
            let texts = VersionTexts::new([cert.clone(), key.clone(), chain.clone(), fullchain.clone()]);
            match texts.verify_soundness(math, now) {
                Err(error) if error.is_damage() => error.to_string(),
                _ => return Mending::Whole,
            }
        }
        _ => {
            let missing = Kind::ALL.iter().zip(found).filter(|(_, text)| text.is_none());
            let missing: Vec<_> = missing.map(|(kind, _)| kind.as_str()).collect();
            format!("{} cannot be had", missing.join(" and "))
        }
    };
    // What fullchain says comes first: it is what most servers send.
    let from_fullchain =
        fullchain.as_ref().and_then(|text| split(text).map(|[cert, chain]| [cert, chain, text.clone()]));
    let from_parts = cert.as_ref().zip(chain.as_ref()).map(|(cert, chain)| {
        let joined = Zeroizing::new([cert.as_slice(), chain.as_slice()].concat());
        [cert.clone(), chain.clone(), joined]
    });
    let mut mended: Option<(Certificate, VersionTexts)> = None;
    for [cert, chain, fullchain] in from_fullchain.into_iter().chain(from_parts) {
        for key in key.iter().chain(keys) {
            let texts = VersionTexts::new([cert.clone(), key.clone(), chain.clone(), fullchain.clone()]);
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
    let differs = |kind: &Kind| found[*kind as usize].as_ref().is_none_or(|text| text.as_slice() != texts.get(*kind));
    let changed = Kind::ALL.into_iter().filter(differs).collect();
    Mending::Mended(texts, changed)
}

/// Whether a text holds a private key that can be read.
pub(super) fn holds_key(text: &[u8]) -> bool {
    PrivateKey::from_pem(text).is_ok()
}

fn is_about_the_key(error: &UnfitError) -> bool {
    use crate::store::VerifyError;
    matches!(error, UnfitError::Key(_) | UnfitError::Verify(VerifyError::KeyMismatch | VerifyError::KeyMath(_)))
}

/// The first certificate of a PEM text, and the rest of it.
fn split(fullchain: &[u8]) -> Option<[Zeroizing<Vec<u8>>; 2]> {
    const END: &[u8] = b"-----END CERTIFICATE-----";
    let end = fullchain.windows(END.len()).position(|window| window == END)? + END.len();
    let line = fullchain.get(end..)?.iter().position(|octet| *octet == b'\n')? + 1;
    let (cert, chain) = fullchain.split_at(end + line);
    Some([cert, chain].map(|part| Zeroizing::new(part.to_vec())))
}
