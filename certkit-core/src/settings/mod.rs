//! The owner's settings: what certbot's conf cannot express.

mod deploy;
pub use deploy::{DeploySetting, FileAccess, FileKinds};
