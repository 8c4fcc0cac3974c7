//! `inspect` as the command line shows it: its own files, for the binary is no library.

#[path = "../../../certkit-cli/src/render/inspect.rs"]
pub(crate) mod inspect;
#[path = "../../../certkit-cli/src/render/values.rs"]
mod values;
#[path = "../../../certkit-cli/src/render/words.rs"]
pub(crate) mod words;

pub(crate) use certkit_core::words::time;
pub(crate) use values::{hex, json_time, write_json};
