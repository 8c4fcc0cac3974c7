//! What is kept of a conf that was read.

use std::borrow::Cow;
use std::sync::Arc;

use super::document::{BOM, Document, Entry};
use super::grammar::RawValue;
use super::interpolate::Interpolation;
use super::params::Value;
use super::text::Piece;
use super::{ConfError, ConfValue, Kind, RenewalConf, RenewalParams};

impl RenewalConf {
    /// Reads a conf. What a lineage needs beyond the grammar ([`RenewalConf::check_complete`]) may be missing.
    pub fn parse(bytes: &[u8]) -> Result<Self, ConfError> {
        if bytes.len() > Self::MAX_BYTES {
            return Err(ConfError::TooLarge);
        }
        let text = std::str::from_utf8(bytes).map_err(|error| ConfError::NotUtf8 {
            line: 1 + bytes.iter().take(error.valid_up_to()).filter(|byte| **byte == b'\n').count(),
        })?;
        let text: Arc<str> = text.into();
        let document = Document::parse(text.strip_prefix(BOM).unwrap_or(&text))?;
        let mut interpolation = Interpolation::new(&document);
        let root = document.entries(document.root());
        let mut top = Vec::with_capacity(root.len());
        for entry in root {
            let value = match resolved(&mut interpolation, 0, entry, &text) {
                Ok(value) => value,
                // A key that nobody reads may hold anything, as far as certbot is concerned.
                Err(_) if !is_top_key(entry.key) => as_written(&entry.value, &text),
                Err(error) => return Err(error),
            };
            top.push(Kept::new(entry, value, &text));
        }
        let mut values = None;
        let mut webroot_map = Vec::new();
        if let Some(section) = document.child(0, "renewalparams") {
            let entries = document.sections.get(section).map_or(&[][..], |section| document.entries(section));
            let mut list = Vec::with_capacity(entries.len());
            for entry in entries {
                list.push(Kept::new(entry, resolved(&mut interpolation, section, entry, &text)?, &text));
            }
            values = Some(list);
            if let Some(map) = document.child(section, "webroot_map") {
                let entries = document.sections.get(map).map_or(&[][..], |section| document.entries(section));
                webroot_map.reserve_exact(entries.len());
                for entry in entries {
                    match resolved(&mut interpolation, map, entry, &text)? {
                        KeptValue::Text(path) => {
                            let name = Piece::of(Cow::Borrowed(entry.key), &text);
                            webroot_map.push((name.shared(&text), path.shared(&text)));
                        }
                        KeptValue::List(_) => {
                            return Err(ConfError::UnexpectedList { key: crate::escape(entry.key).into_owned() });
                        }
                    }
                }
            }
        }
        let in_section = values.iter().flatten().map(|kept| Value::new(kept, &text));
        let params = RenewalParams::read(in_section, webroot_map)?;
        let known = Known::among(&top, &document, &text)?;
        drop(document);
        Ok(Self { text, top, values, params, known })
    }
}

/// The values at the top level that certbot reads.
#[derive(Clone, Debug, Default)]
pub(super) struct Known {
    /// In the order of [`Kind::ALL`].
    pub(super) live: [Option<Piece>; 4],
    pub(super) archive_dir: Option<Piece>,
    pub(super) renew_before_expiry: Option<Piece>,
}

impl Known {
    fn among(top: &[Kept], document: &Document<'_>, whole: &Arc<str>) -> Result<Self, ConfError> {
        let mut known = Self::default();
        for kept in top {
            let value = Value::new(kept, whole);
            match value.key {
                "cert" => known.live[Kind::Cert as usize] = Some(value.piece()?.clone()),
                "privkey" => known.live[Kind::Privkey as usize] = Some(value.piece()?.clone()),
                "chain" => known.live[Kind::Chain as usize] = Some(value.piece()?.clone()),
                "fullchain" => known.live[Kind::Fullchain as usize] = Some(value.piece()?.clone()),
                "archive_dir" => known.archive_dir = Some(value.piece()?.clone()),
                "version" => _ = value.piece()?,
                "renew_before_expiry" => known.renew_before_expiry = Some(kept.value.joined(whole)),
                _ => {}
            }
        }
        for key in Kind::ALL.map(Kind::as_str).into_iter().chain(["archive_dir", "version"]) {
            if document.child(0, key).is_some() {
                let (expected, found) = ("a value", "a section".to_owned());
                return Err(ConfError::BadValue { key: key.to_owned(), expected, found });
            }
        }
        Ok(known)
    }
}

/// A value that was read, with its key.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    pub(super) key: Piece,
    pub(super) value: KeptValue,
}

#[derive(Clone, Debug)]
pub(super) enum KeptValue {
    Text(Piece),
    List(Vec<Piece>),
}

impl Kept {
    fn new(entry: &Entry<'_>, value: KeptValue, whole: &str) -> Self {
        Self { key: Piece::of(Cow::Borrowed(entry.key), whole), value }
    }
}

/// The value of a key.
pub(super) fn find<'k>(kept: &'k [Kept], key: &str, whole: &str) -> Option<&'k KeptValue> {
    kept.iter().find(|kept| kept.key.within(whole) == key).map(|kept| &kept.value)
}

impl KeptValue {
    /// The text; none for a list.
    pub(super) fn as_text<'t>(&'t self, whole: &'t str) -> Option<&'t str> {
        match self {
            Self::Text(piece) => Some(piece.within(whole)),
            Self::List(_) => None,
        }
    }

    /// In one; of a list (`1 month, 2 days`) as it was written.
    fn joined(&self, whole: &str) -> Piece {
        match self {
            Self::Text(piece) => piece.clone(),
            Self::List(pieces) => {
                let parts: Vec<_> = pieces.iter().map(|piece| piece.within(whole)).collect();
                Piece::of(Cow::Owned(parts.join(", ")), whole)
            }
        }
    }

    pub(super) fn copy(&self, whole: &str) -> ConfValue {
        match self {
            Self::Text(piece) => ConfValue::from(piece.within(whole)),
            Self::List(pieces) => ConfValue::List(pieces.iter().map(|piece| piece.within(whole).to_owned()).collect()),
        }
    }
}

pub(super) fn resolved(
    interpolation: &mut Interpolation<'_, '_>,
    section: usize,
    entry: &Entry<'_>,
    whole: &str,
) -> Result<KeptValue, ConfError> {
    let mut resolve = |text| Ok(Piece::of(interpolation.resolve(section, entry.key, text)?, whole));
    Ok(match &entry.value {
        RawValue::Text(text) => KeptValue::Text(resolve(text)?),
        RawValue::List(items) => KeptValue::List(items.iter().map(|item| resolve(item)).collect::<Result<_, _>>()?),
    })
}

fn as_written(value: &RawValue<'_>, whole: &str) -> KeptValue {
    let piece = |text| Piece::of(Cow::Borrowed(text), whole);
    match value {
        RawValue::Text(text) => KeptValue::Text(piece(text)),
        RawValue::List(items) => KeptValue::List(items.iter().map(|item| piece(item)).collect()),
    }
}

/// The top-level keys that certbot reads.
fn is_top_key(key: &str) -> bool {
    matches!(key, "version" | "archive_dir" | "cert" | "privkey" | "chain" | "fullchain" | "renew_before_expiry")
}
