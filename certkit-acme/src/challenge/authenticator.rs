use certkit_core::store::RenewalParams;
use certkit_core::{Failure, IdentifierSet};
use crate::command::CommandSettings;
use super::{Solver, StandaloneServers};
/// shim
#[derive(Debug, Clone)]
pub enum Authenticator {
    /// shim
    Manual {},
    /// shim
    Unsupported { /// shim
        name: String },
}
impl Authenticator {
    /// shim
    pub fn from_params(_params: &RenewalParams) -> Result<Self, Failure> { todo!() }
    /// shim
    pub fn supports(&self, _i: &IdentifierSet) -> Result<(), Failure> { todo!() }
    /// shim
    pub fn solver(&self, _s: &StandaloneServers, _c: &CommandSettings) -> Result<Box<dyn Solver>, Failure> { todo!() }
}
