//! A fault: how it is made, and what has to be said of it.

use std::collections::BTreeSet;

use certkit_core::{FindingCode, Severity};

use super::sound::{Servers, Sound, Told};

/// A fault in a set-up on which nothing else is wrong.
pub(super) struct Fault {
    /// What it has to be found as.
    pub(super) code: FindingCode,
    severity: Severity,
    make: fn(&mut Sound<'_>),
    /// What the message has to name: the place, and what is wrong there.
    says: &'static [&'static str],
    /// What the cure has to have: a command, a record, a path.
    cure: &'static str,
    /// What the same fault is found as besides.
    also: &'static [FindingCode],
    look: Look,
}

/// How the doctor is asked.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    /// For everything, name servers and ports of this test included.
    Everywhere,
    /// For this machine alone.
    Here,
    /// The program itself, for this machine alone, in the surroundings that the fault has made for it.
    Program,
}

impl Fault {
    pub(super) const fn error(code: FindingCode, make: fn(&mut Sound<'_>)) -> Self {
        Self { code, severity: Severity::Error, make, says: &[], cure: "", also: &[], look: Look::Everywhere }
    }

    pub(super) const fn warning(code: FindingCode, make: fn(&mut Sound<'_>)) -> Self {
        Self { severity: Severity::Warning, ..Self::error(code, make) }
    }

    pub(super) const fn notice(code: FindingCode, make: fn(&mut Sound<'_>)) -> Self {
        Self { severity: Severity::Notice, ..Self::error(code, make) }
    }

    pub(super) const fn says(mut self, says: &'static [&'static str]) -> Self {
        self.says = says;
        self
    }

    pub(super) const fn cure(mut self, cure: &'static str) -> Self {
        self.cure = cure;
        self
    }

    pub(super) const fn also(mut self, also: &'static [FindingCode]) -> Self {
        self.also = also;
        self
    }

    pub(super) const fn seen(mut self, look: Look) -> Self {
        self.look = look;
        self
    }

    /// Looks at a sound set-up, of which nothing may be said, makes the fault, and looks again.
    fn prove(&self, servers: &Servers) -> Result<(), String> {
        let code = self.code;
        let mut sound = Sound::new(servers);
        let before = sound.look(self.look);
        if !before.is_empty() {
            return Err(format!("before {code:?} was made: {before:#?}"));
        }
        (self.make)(&mut sound);
        let told = sound.look(self.look);
        let codes: BTreeSet<String> = told.iter().map(|one| format!("{:?}", one.code)).collect();
        let expected: BTreeSet<String> = self.also.iter().chain([&code]).map(|code| format!("{code:?}")).collect();
        if codes != expected {
            return Err(format!("{expected:?} was made, and this is told: {told:#?}"));
        }
        let fits = |one: &&Told| one.code == code && self.says.iter().all(|part| one.text.contains(part));
        let Some(one) = told.iter().find(fits) else {
            return Err(format!("{code:?} has to say {:?}: {told:#?}", self.says));
        };
        if one.severity != self.severity || self.cure.is_empty() || !one.cure.contains(self.cure) {
            return Err(format!("{code:?} is to be a {:?} with the cure {:?}: {one:#?}", self.severity, self.cure));
        }
        // Of one certificate its name is known: the cure can be run as it stands.
        let mut words = one.cure.split(|c: char| !c.is_ascii_alphanumeric() && c != '-' && c != '_');
        if one.certificates.len() == 1 && words.any(|word| word == "NAME") {
            return Err(format!("{code:?} leaves the name open: {one:#?}"));
        }
        Ok(())
    }
}

/// Proves each fault, one after the other.
pub(super) fn prove(faults: &[Fault]) {
    let servers = Servers::start();
    let failed: Vec<String> = faults.iter().filter_map(|fault| fault.prove(&servers).err()).collect();
    assert!(failed.is_empty(), "{}", failed.join("\n\n"));
}
