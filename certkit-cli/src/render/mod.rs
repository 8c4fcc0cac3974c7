//! What people and programs read: text and JSON made of values, with the time passed in.

pub(crate) mod certificates;
pub(crate) mod check;
pub(crate) mod config;
pub(crate) mod csr;
pub(crate) mod doctor;
pub(crate) mod explain;
pub(crate) mod forecast;
pub(crate) mod fsck;
pub(crate) mod hooks;
pub(crate) mod inspect;
pub(crate) mod limits;
pub(crate) mod lines;
pub(crate) mod notify;
pub(crate) mod plan;
pub(crate) mod renewal;
pub(crate) mod report;
#[cfg(test)]
pub(crate) mod sample;
pub(crate) mod screen;
pub(crate) mod status;
pub(crate) mod table;
mod values;
pub(crate) use values::{hex, json_time, write_json};
pub(crate) mod words;

pub(crate) use certkit_core::words::{date, time};

/// certbot's line above and below a report.
pub(crate) const FRAME: &str = "- - - - - - - - - - - - - - - - - - - - - - - - - - - - - - - - - - - - - - - -";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_frame_is_certbots() {
        assert_eq!(FRAME, "- ".repeat(39) + "-");
    }
}
