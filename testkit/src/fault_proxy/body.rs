//! Bodies that end well, early or never.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper::body::{Body, Bytes, Frame, SizeHint};

/// How much of an endless body is made at a time, in bytes.
const ENDLESS_CHUNK: usize = 16 * 1024;

/// The body of an answer.
pub(super) enum FaultBody {
    Whole(Bytes),
    /// The bytes, and then the connection is cut although more was announced.
    Cut(CutBody),
    /// The bytes, and then spaces for as long as somebody reads.
    Endless(Bytes),
}

pub(super) struct CutBody {
    pub(super) bytes: Bytes,
    /// hyper sends what it has when a body lets it wait; an error at once would take the bytes along.
    pub(super) waited: bool,
}

impl Body for FaultBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let frame = |bytes: &mut Bytes| Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes)))));
        match &mut *self {
            Self::Whole(bytes) if bytes.is_empty() => Poll::Ready(None),
            Self::Whole(bytes) => frame(bytes),
            Self::Cut(CutBody { bytes, .. }) if !bytes.is_empty() => frame(bytes),
            Self::Cut(CutBody { waited, .. }) if !*waited => {
                *waited = true;
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Self::Cut(_) => Poll::Ready(Some(Err(io::Error::other("cut, as a rule wants it")))),
            Self::Endless(bytes) if !bytes.is_empty() => frame(bytes),
            Self::Endless(_) => Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&[b' '; ENDLESS_CHUNK]))))),
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(bytes) if bytes.is_empty())
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Cut(_) | Self::Endless(_) => SizeHint::default(),
        }
    }
}
