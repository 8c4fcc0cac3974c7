//! A resolver without sockets, for the fuzz target: every question gets the next of the answers that it was given.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use hickory_resolver::proto::op::{Message, Query};
use hickory_resolver::proto::serialize::binary::{BinEncodable as _, BinEncoder};

use super::Resolver;
use super::question::{NoAnswer, Question, answer_to};

/// Answers one after the other, and then from the first on. Each is its length as two bytes, as over TCP, and then what
/// follows the id and the question in a message: two bytes of flags, the numbers of answers, authorities and additional
/// records, and the records. So every answer fits every question, and a pointer to byte 12 is the name that was asked for. A
/// length with its highest bit set is that of a message from the flags on, with whatever question it holds. An answer of no
/// bytes is silence.
#[derive(Clone, Debug)]
pub(super) struct Script {
    answers: Vec<(bool, Vec<u8>)>,
    asked: Arc<AtomicUsize>,
}

const IS_WHOLE: u16 = 0x8000;
/// Flags and three counts: what the question goes before is behind them.
const COUNTS: usize = 8;

impl Script {
    fn read(mut bytes: &[u8]) -> Self {
        let mut answers = Vec::new();
        while let [high, low, rest @ ..] = bytes {
            let length = u16::from_be_bytes([*high, *low]);
            let (answer, after) = rest.split_at(usize::from(length & !IS_WHOLE).min(rest.len()));
            answers.push((length & IS_WHOLE != 0, answer.to_vec()));
            bytes = after;
        }
        Self { answers, asked: Arc::default() }
    }

    pub(super) fn answer(&self, question: &Question) -> Result<Message, NoAnswer> {
        let asked = question.message();
        let at = self.asked.fetch_add(1, Ordering::Relaxed);
        let next = at.checked_rem(self.answers.len()).and_then(|at| self.answers.get(at));
        let Some((is_whole, answer)) = next.filter(|(_, answer)| !answer.is_empty()) else {
            return Err(NoAnswer::Silent);
        };
        let mut packet = asked.metadata.id.to_be_bytes().to_vec();
        if *is_whole {
            packet.extend(answer);
        } else {
            let (head, records) = answer.split_at(COUNTS.min(answer.len()));
            let (flags, counts) = head.split_at(2.min(head.len()));
            packet.extend([flags, &[0, 1], counts, &encoded(asked.queries.first()), records].concat());
        }
        answer_to(&asked, &packet).unwrap_or(Err(NoAnswer::Silent))
    }
}

fn encoded(query: Option<&Query>) -> Vec<u8> {
    let mut bytes = Vec::new();
    // A question that cannot be written is not asked.
    let _ = query.map(|query| query.emit(&mut BinEncoder::new(&mut bytes)));
    bytes
}

impl Resolver {
    /// The same resolver, which asks nobody: see [`Script`].
    pub(crate) fn scripted(&self, answers: &[u8]) -> Self {
        Self { script: Some(Script::read(answers)), silent: Arc::default(), zones: Arc::default(), ..self.clone() }
    }

    /// How many questions it was asked.
    pub(crate) fn asked(&self) -> usize {
        self.script.as_ref().map_or(0, |script| script.asked.load(Ordering::Relaxed))
    }
}
