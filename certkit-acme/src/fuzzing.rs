//! Doors for the fuzz targets into what is private. Only there with `--cfg fuzzing` and in tests, which no release is built with.

pub use crate::challenge::fuzzing::{KEY_AUTHORIZATION, answer_request};
pub use crate::doctor::fuzzing::{Asked, DnsChecks};
pub use crate::probe::fuzzing::{Talked, talk};
pub use crate::protocol::fuzzing::read_as_everything;
