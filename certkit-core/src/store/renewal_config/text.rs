//! The texts of a conf, which share it.

use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;
use std::path::Path;
use std::sync::Arc;

/// A text of a conf. It shares the conf's: confs are read by the thousand, and to copy each value takes longer than to find it.
#[derive(Clone)]
pub struct ConfText {
    whole: Arc<str>,
    span: Span,
}

impl ConfText {
    /// The text.
    pub fn as_str(&self) -> &str {
        self.span.within(&self.whole)
    }
}

impl From<&str> for ConfText {
    fn from(text: &str) -> Self {
        let span = Span { start: 0, end: u32::MAX };
        Self { whole: text.into(), span }
    }
}

impl From<ConfText> for String {
    fn from(text: ConfText) -> Self {
        text.as_str().to_owned()
    }
}

impl Deref for ConfText {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl AsRef<str> for ConfText {
    fn as_ref(&self) -> &str {
        self
    }
}

impl AsRef<Path> for ConfText {
    fn as_ref(&self) -> &Path {
        Path::new(self.as_str())
    }
}

impl PartialEq for ConfText {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for ConfText {}

impl PartialEq<str> for ConfText {
    fn eq(&self, other: &str) -> bool {
        self.as_str() == other
    }
}

impl PartialEq<&str> for ConfText {
    fn eq(&self, other: &&str) -> bool {
        self.as_str() == *other
    }
}

impl fmt::Debug for ConfText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl fmt::Display for ConfText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self)
    }
}

/// Where a text stands in a conf's, or, when it stands nowhere, the text: what names in it stand for, or lines put together.
#[derive(Clone, Debug)]
pub(super) enum Piece {
    There(Span),
    Made(Box<str>),
}

impl Piece {
    /// Of what was found in `whole`, or made of it.
    pub(super) fn of(part: Cow<'_, str>, whole: &str) -> Self {
        match part {
            Cow::Borrowed(part) => Span::of(part, whole).map_or_else(|| Self::Made(part.into()), Self::There),
            Cow::Owned(made) => Self::Made(made.into()),
        }
    }

    /// The text, in a conf with the text `whole`.
    pub(super) fn within<'t>(&'t self, whole: &'t str) -> &'t str {
        match self {
            Self::There(span) => span.within(whole),
            Self::Made(text) => text,
        }
    }

    /// The same for keeps.
    pub(super) fn shared(&self, whole: &Arc<str>) -> ConfText {
        match self {
            Self::There(span) => ConfText { whole: Arc::clone(whole), span: *span },
            Self::Made(text) => ConfText::from(&**text),
        }
    }
}

/// A part of a text, in bytes. No conf is so large that its positions need more room.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    start: u32,
    /// Past the end of the text for all that there is.
    end: u32,
}

impl Span {
    /// Where `part` stands in `whole`; none when it is no part of it.
    fn of(part: &str, whole: &str) -> Option<Self> {
        let start = part.as_ptr().addr().checked_sub(whole.as_ptr().addr())?;
        let end = start.checked_add(part.len()).filter(|end| *end <= whole.len())?;
        Some(Self { start: u32::try_from(start).ok()?, end: u32::try_from(end).ok()? })
    }

    fn within(self, whole: &str) -> &str {
        let (start, end) = (self.start as usize, whole.len().min(self.end as usize));
        // It was made of a part of this text, which begins and ends with whole characters.
        whole.get(start..end).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_is_where_it_stands_or_what_was_made() {
        let whole: Arc<str> = "key = välue".into();
        let part = |range: std::ops::Range<usize>| Cow::Borrowed(whole.get(range).unwrap());
        for (piece, there, text) in [
            (Piece::of(part(0..3), &whole), true, "key"),
            (Piece::of(part(6..12), &whole), true, "välue"),
            (Piece::of(part(12..12), &whole), true, ""),
            (Piece::of(Cow::Borrowed("elsewhere"), &whole), false, "elsewhere"),
            (Piece::of(Cow::Owned("made".to_owned()), &whole), false, "made"),
        ] {
            assert_eq!(matches!(piece, Piece::There(_)), there, "{text}");
            assert_eq!((piece.within(&whole), piece.shared(&whole)), (text, ConfText::from(text)));
        }
        assert_eq!(format!("{:?} {}", ConfText::from("a\n"), ConfText::from("b")), "\"a\\n\" b");
    }
}
