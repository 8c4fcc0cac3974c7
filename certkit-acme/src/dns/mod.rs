//! STUB
/// stub
#[derive(Clone, Debug, Default)]
pub struct ResolverSettings;
/// stub
pub struct Resolver;
impl Resolver {
    /// stub
    pub fn new(_: &ResolverSettings) -> Result<Self, std::io::Error> {
        Ok(Self)
    }
}
