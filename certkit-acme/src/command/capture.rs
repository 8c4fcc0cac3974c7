//! The output of a command: read to its end so that the command never blocks, kept only in part.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

/// How much is kept of the beginning, and as much of the end.
pub(super) const KEPT_BYTES: usize = 64 * 1024;

/// Reads a pipe on a task of its own.
pub(super) struct Capture {
    output: Arc<Mutex<Output>>,
    task: JoinHandle<()>,
}

/// The first and the last bytes of a stream.
#[derive(Default)]
struct Output {
    head: Vec<u8>,
    /// Up to twice [`KEPT_BYTES`], so that it is moved only now and then.
    tail: Vec<u8>,
    total: u64,
}

impl Capture {
    /// Begins to read.
    pub(super) fn start(pipe: Option<impl AsyncRead + Unpin + Send + 'static>) -> Self {
        let output = Arc::new(Mutex::new(Output::default()));
        let shared = Arc::clone(&output);
        let task = tokio::spawn(async move {
            let Some(mut pipe) = pipe else { return };
            let mut buffer = vec![0; KEPT_BYTES];
            while let Ok(count @ 1..) = pipe.read(&mut buffer).await {
                let chunk = buffer.get(..count).unwrap_or_default();
                shared.lock().unwrap_or_else(PoisonError::into_inner).add(chunk);
            }
        });
        Self { output, task }
    }

    /// What there is after the process has ended. When another process holds the pipe open, only what comes without a
    /// pause is waited for, and not for long.
    pub(super) async fn finish(mut self) -> String {
        const PAUSE: Duration = Duration::from_millis(250);
        const LONGEST: Duration = Duration::from_secs(5);
        let deadline = Instant::now() + LONGEST;
        let mut seen = self.total();
        while timeout(PAUSE, &mut self.task).await.is_err() {
            let total = self.total();
            if total == seen || Instant::now() >= deadline {
                break;
            }
            seen = total;
        }
        self.task.abort();
        self.output.lock().unwrap_or_else(PoisonError::into_inner).text()
    }

    fn total(&self) -> u64 {
        self.output.lock().unwrap_or_else(PoisonError::into_inner).total
    }
}

impl Output {
    fn add(&mut self, chunk: &[u8]) {
        self.total = self.total.saturating_add(u64::try_from(chunk.len()).unwrap_or(u64::MAX));
        let room = KEPT_BYTES.saturating_sub(self.head.len()).min(chunk.len());
        let (first, rest) = chunk.split_at(room);
        self.head.extend_from_slice(first);
        self.tail.extend_from_slice(rest);
        if self.tail.len() > 2 * KEPT_BYTES {
            self.trim();
        }
    }

    fn trim(&mut self) {
        let surplus = self.tail.len().saturating_sub(KEPT_BYTES);
        self.tail.drain(..surplus);
    }

    fn text(&mut self) -> String {
        self.trim();
        let kept = u64::try_from(self.head.len().saturating_add(self.tail.len())).unwrap_or(u64::MAX);
        let left_out = self.total.saturating_sub(kept);
        if left_out == 0 {
            let whole = [self.head.as_slice(), self.tail.as_slice()].concat();
            return String::from_utf8_lossy(&whole).into_owned();
        }
        let (head, tail) = (String::from_utf8_lossy(&self.head), String::from_utf8_lossy(&self.tail));
        format!("{head}\n[{left_out} bytes left out]\n{tail}")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_beginning_and_the_end_are_kept_whatever_the_chunks(
            total in 0_usize..6 * KEPT_BYTES,
            chunk in 1_usize..3 * KEPT_BYTES,
        ) {
            let data: Vec<u8> = (0..total).map(|i| b'a' + u8::try_from(i % 23).unwrap()).collect();
            let mut output = Output::default();
            for part in data.chunks(chunk) {
                output.add(part);
            }
            let text = output.text();
            if total <= 2 * KEPT_BYTES {
                prop_assert_eq!(text.as_bytes(), data.as_slice());
            } else {
                let left_out = total - 2 * KEPT_BYTES;
                let note = format!("\n[{left_out} bytes left out]\n");
                prop_assert_eq!(text.len(), 2 * KEPT_BYTES + note.len());
                prop_assert!(text.as_bytes().starts_with(&data[..KEPT_BYTES]));
                prop_assert!(text.as_bytes().ends_with(&data[total - KEPT_BYTES..]));
                prop_assert!(text.contains(&note));
            }
        }
    }
}
