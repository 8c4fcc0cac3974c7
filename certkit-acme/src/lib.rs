#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod accounts;

pub mod authorities;

mod blocking;

pub mod challenge;

mod clock;
pub use clock::{BoxFuture, Clock, SystemClock};

pub mod command;

mod connections;

mod daemon;
pub use daemon::{Monitor, Wake, Watcher};

pub mod deploy;

mod der;

pub mod dns;

pub mod doctor;

pub mod fallback;

mod key_material;

mod key_math;
pub use key_math::AwsLcKeyMath;

#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;

pub mod keys;

mod issuing;
pub use issuing::obtain;

pub mod metrics;

mod mounts;

mod pause;

pub mod notify;

pub mod probe;

pub mod protocol;

pub mod renewal;

pub mod revocation;

mod stop;
pub use stop::{Stop, StopReason};

pub mod transport;
