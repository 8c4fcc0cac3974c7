//! The proof that a certificate may replace what is live.

use chrono::{DateTime, TimeDelta, Utc};

use crate::{Certificate, CertificateRequest, Chain, Identifier, IdentifierSet, KeyMath, KeyMathError, PrivateKey};

/// A chain and its key that passed every check. [`VerifiedVersion::verify`] is its only constructor.
#[derive(Debug)]
pub struct VerifiedVersion {
    chain: Chain,
    key: PrivateKey,
}

/// What the new version is measured against.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Expectations {
    /// The identifiers that were ordered: all must be covered.
    pub identifiers: IdentifierSet,
    /// What is live now.
    pub replaces: Option<Certificate>,
    /// The owner wants it even though it ends earlier than the one it replaces (`--force-renewal`, a changed profile or CA, a roll-back).
    pub may_end_earlier: bool,
    /// What the CA of the new version is for.
    pub authority: AuthorityKind,
    /// What the CA of the version that is live is for.
    pub replaced_authority: AuthorityKind,
    /// The owner wants a test certificate in place of a trusted one (certbot's `--break-my-certs`).
    pub may_be_test: bool,
    /// Now.
    pub now: DateTime<Utc>,
}

/// What a CA is for, as far as it is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum AuthorityKind {
    /// Clients trust it.
    Public,
    /// A staging CA: no client trusts it.
    Test,
    /// Nothing is known of it, for example a private CA.
    #[default]
    Unknown,
}

/// Why a certificate is not installed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// The key does not belong to the certificate.
    #[error("the certificate does not belong to the private key")]
    KeyMismatch,
    /// The key of the certificate is not that of the request.
    #[error("the certificate is for another key than the request")]
    NotTheRequestedKey,
    /// A key operation failed.
    #[error(transparent)]
    KeyMath(#[from] KeyMathError),
    /// The leaf came without an issuer; certbot needs at least two certificates.
    #[error("the chain has no issuer: at least two certificates are needed")]
    NoIssuer,
    /// A certificate was not issued by the next one, as its names and key ids say.
    #[error(
        "certificate {position} of the chain ({}) was not issued by the one after it ({})",
        shown(subject),
        shown(next)
    )]
    NotIssuedByNext {
        /// The place in the chain, from 1 for the leaf.
        position: usize,
        /// Its subject, outside text.
        subject: String,
        /// The next one's subject, outside text.
        next: String,
    },
    /// A signature does not verify.
    #[error(
        "the signature of certificate {position} of the chain ({}) cannot be verified under the one after it: {source}",
        shown(subject)
    )]
    BadSignature {
        /// The place in the chain, from 1 for the leaf.
        position: usize,
        /// Its subject, outside text.
        subject: String,
        /// Why not.
        source: KeyMathError,
    },
    /// An issuer is not a CA (RFC 5280 section 4.2.1.9).
    #[error("certificate {position} of the chain ({}) signs others but is not a CA", shown(subject))]
    IssuerIsNotCa {
        /// The place in the chain, from 1 for the leaf.
        position: usize,
        /// Its subject, outside text.
        subject: String,
    },
    /// An issuer is not valid now.
    #[error("certificate {position} of the chain ({}) is valid from {not_before} to {not_after} only", shown(subject))]
    IssuerNotValid {
        /// The place in the chain, from 1 for the leaf.
        position: usize,
        /// Its subject, outside text.
        subject: String,
        /// The start of its validity.
        not_before: DateTime<Utc>,
        /// The end of its validity.
        not_after: DateTime<Utc>,
    },
    /// The leaf is a CA.
    #[error("the certificate is that of a CA")]
    LeafIsCa,
    /// Ordered names are missing.
    #[error("the certificate does not cover {}", list(names))]
    MissingNames {
        /// The missing ones.
        names: Vec<Identifier>,
    },
    /// Names were not ordered.
    #[error("the certificate is also for {}, which nobody asked for", list(names))]
    UnaskedNames {
        /// Those beyond the ordered ones.
        names: Vec<Identifier>,
    },
    /// The names cannot be read.
    #[error("the names of the certificate cannot be read: {0}")]
    UnreadableNames(crate::ReadError),
    /// It begins to be valid too late.
    #[error("the certificate is not valid before {not_before}, and now it is {now}: is the clock right?")]
    NotYetValid {
        /// The start of its validity.
        not_before: DateTime<Utc>,
        /// Now.
        now: DateTime<Utc>,
    },
    /// It is not valid any more.
    #[error("the certificate expired on {not_after}, and now it is {now}: is the clock right?")]
    Expired {
        /// The end of its validity.
        not_after: DateTime<Utc>,
        /// Now.
        now: DateTime<Utc>,
    },
    /// Its validity ends before it begins.
    #[error("the certificate's validity ends ({not_after}) before it begins ({not_before})")]
    InvertedValidity {
        /// The start.
        not_before: DateTime<Utc>,
        /// The end.
        not_after: DateTime<Utc>,
    },
    /// It ends earlier than what is in place.
    #[error("the certificate ends on {new}, earlier than the one in place ({old})")]
    EndsEarlier {
        /// The end of the one in place.
        old: DateTime<Utc>,
        /// The end of the new one.
        new: DateTime<Utc>,
    },
    /// A test certificate would replace a trusted one.
    #[error("a certificate of a test CA would replace one that clients trust")]
    TestOverPublic,
}

impl Expectations {
    /// A certificate may begin to be valid this much after now: clocks of CA and machine differ a little, and some CAs
    /// issue for the next full hour.
    pub const MAX_BEGINS_AHEAD: TimeDelta = TimeDelta::hours(1);

    /// What a first or a plain renewed version is measured against.
    pub fn new(identifiers: IdentifierSet, replaces: Option<Certificate>, now: DateTime<Utc>) -> Self {
        Self {
            identifiers,
            replaces,
            may_end_earlier: false,
            authority: AuthorityKind::Unknown,
            replaced_authority: AuthorityKind::Unknown,
            may_be_test: false,
            now,
        }
    }
}

impl VerifiedVersion {
    /// Checks that every certificate is signed by the next one, that the key belongs to the leaf, that all names are
    /// covered, that it is valid now (or within an hour) and does not end earlier than what it replaces. Names beyond
    /// those expected are refused, but for `www.X` with X and X with `www.X`: some CAs add them.
    pub fn verify(
        chain: Chain,
        key: PrivateKey,
        expectations: &Expectations,
        math: &dyn KeyMath,
    ) -> Result<Self, VerifyError> {
        check(&chain, expectations, math)?;
        if math.public_spki_der(&key)? != chain.leaf.spki_der() {
            return Err(VerifyError::KeyMismatch);
        }
        Ok(Self { chain, key })
    }

    /// Leaf and issuers.
    pub fn chain(&self) -> &Chain {
        &self.chain
    }

    /// The key.
    pub fn key(&self) -> &PrivateKey {
        &self.key
    }
}

/// The same checks for a certificate whose key is in somebody else's hands: it has to be that of the request.
pub fn verify_for_request(
    chain: &Chain,
    request: &CertificateRequest,
    expectations: &Expectations,
    math: &dyn KeyMath,
) -> Result<(), VerifyError> {
    check(chain, expectations, math)?;
    if chain.leaf.spki_der() == request.spki_der() { Ok(()) } else { Err(VerifyError::NotTheRequestedKey) }
}

/// All but the key.
fn check(chain: &Chain, expectations: &Expectations, math: &dyn KeyMath) -> Result<(), VerifyError> {
    check_leaf(&chain.leaf, expectations)?;
    check_chain(chain, expectations.now, math)
}

fn check_leaf(leaf: &Certificate, expectations: &Expectations) -> Result<(), VerifyError> {
    let now = expectations.now;
    let validity = leaf.validity();
    let (not_before, not_after) = (validity.not_before, validity.not_after);
    if not_after < not_before {
        return Err(VerifyError::InvertedValidity { not_before, not_after });
    }
    if not_before.signed_duration_since(now) > Expectations::MAX_BEGINS_AHEAD {
        return Err(VerifyError::NotYetValid { not_before, now });
    }
    if not_after <= now {
        return Err(VerifyError::Expired { not_after, now });
    }
    if let Some(old) = &expectations.replaces
        && !expectations.may_end_earlier
        && not_after < old.validity().not_after
    {
        return Err(VerifyError::EndsEarlier { old: old.validity().not_after, new: not_after });
    }
    if expectations.authority == AuthorityKind::Test
        && expectations.replaced_authority == AuthorityKind::Public
        && !expectations.may_be_test
    {
        return Err(VerifyError::TestOverPublic);
    }
    if leaf.is_ca() {
        return Err(VerifyError::LeafIsCa);
    }
    let covered = leaf.identifiers().map_err(VerifyError::UnreadableNames)?;
    let names: Vec<_> = expectations.identifiers.iter().filter(|name| !covered.contains(name)).cloned().collect();
    if !names.is_empty() {
        return Err(VerifyError::MissingNames { names });
    }
    let unasked = |name: &&Identifier| !is_asked(name, &expectations.identifiers);
    let names: Vec<_> = covered.iter().filter(unasked).cloned().collect();
    if names.is_empty() { Ok(()) } else { Err(VerifyError::UnaskedNames { names }) }
}

/// Whether a name was ordered, or is one that some CAs add to an ordered one.
fn is_asked(name: &Identifier, asked: &IdentifierSet) -> bool {
    let added = || {
        let name = name.as_dns().filter(|name| !name.is_wildcard())?.as_str();
        asked
            .dns()
            .map(|asked| asked.as_str())
            .find(|asked| name.strip_prefix("www.") == Some(asked) || asked.strip_prefix("www.") == Some(name))
    };
    asked.contains(name) || added().is_some()
}

fn check_chain(chain: &Chain, now: DateTime<Utc>, math: &dyn KeyMath) -> Result<(), VerifyError> {
    if chain.issuers.is_empty() {
        return Err(VerifyError::NoIssuer);
    }
    let all: Vec<&Certificate> = std::iter::once(&chain.leaf).chain(&chain.issuers).collect();
    for (index, pair) in all.windows(2).enumerate() {
        let [certificate, issuer] = pair else { continue };
        let position = index + 1;
        if !certificate.could_be_issued_by(issuer) {
            let (subject, next) = (certificate.subject(), issuer.subject());
            return Err(VerifyError::NotIssuedByNext { position, subject, next });
        }
        math.verify_signature(certificate, issuer).map_err(|source| VerifyError::BadSignature {
            position,
            subject: certificate.subject(),
            source,
        })?;
    }
    for (index, issuer) in chain.issuers.iter().enumerate() {
        let (position, validity) = (index + 2, issuer.validity());
        // A root of the time before X.509 v3 says nothing about being a CA; its signature verified, and clients trust it
        // or not on their own account.
        let is_old_root = issuer.is_self_issued() && position == all.len();
        if !issuer.is_ca() && !is_old_root {
            return Err(VerifyError::IssuerIsNotCa { position, subject: issuer.subject() });
        }
        if now > validity.not_after || validity.not_before.signed_duration_since(now) > Expectations::MAX_BEGINS_AHEAD {
            return Err(VerifyError::IssuerNotValid {
                position,
                subject: issuer.subject(),
                not_before: validity.not_before,
                not_after: validity.not_after,
            });
        }
    }
    // What a self-signed root says about itself matters to nobody, so an algorithm of its time is fine; a signature that
    // is false means damaged bytes.
    if let Some(last) = chain.issuers.last()
        && last.is_self_issued()
        && last.could_be_issued_by(last)
        && math.verify_signature(last, last) == Err(KeyMathError::BadSignature)
    {
        let (position, subject) = (all.len(), last.subject());
        return Err(VerifyError::BadSignature { position, subject, source: KeyMathError::BadSignature });
    }
    Ok(())
}

/// Outside text for a message: escaped and cut.
fn shown(text: &str) -> String {
    crate::escape(text).chars().take(100).collect()
}

fn list(names: &[Identifier]) -> String {
    let mut text = names.iter().take(20).map(ToString::to_string).collect::<Vec<_>>().join(", ");
    if names.len() > 20 {
        text.push_str(&format!(" and {} more", names.len() - 20));
    }
    text
}
