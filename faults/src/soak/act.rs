//! What a run is told to do.

use crate::soak::dice::Dice;
use crate::world::{Place, World};

/// What it does. The number is the lineage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Act {
    /// `renew`, as the timer runs it.
    RenewDue,
    /// `renew --force-renewal` of one.
    Renew(usize),
    /// `certonly` of one that is not there.
    Obtain(usize),
    /// `certonly` with a second name.
    ChangeNames(usize, String),
    /// `rollback` to this version.
    RollBack(usize, u32),
    /// `reconfigure` with this mark in the deploy hook.
    EditConf(usize, String),
    /// `reconfigure` with this curve, whereupon the next `renew` renews it.
    WishForKey(usize, &'static str),
    /// `delete`.
    Delete(usize),
    /// `fsck --repair`.
    Repair,
    /// `update_account --new-key`, which also changes the confs.
    AccountKey,
}

impl Act {
    /// Which lineage it is about; none when it is about all.
    pub(super) fn lineage(&self) -> Option<usize> {
        match self {
            Self::RenewDue | Self::Repair | Self::AccountKey => None,
            Self::Renew(number)
            | Self::Obtain(number)
            | Self::ChangeNames(number, _)
            | Self::RollBack(number, _)
            | Self::EditConf(number, _)
            | Self::WishForKey(number, _)
            | Self::Delete(number) => Some(*number),
        }
    }

    /// Runs of one kind take about the same time.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::RenewDue => "renew",
            Self::Renew(_) => "renew --force-renewal",
            Self::Obtain(_) => "certonly, new",
            Self::ChangeNames(..) => "certonly, other names",
            Self::RollBack(..) => "rollback",
            Self::EditConf(..) => "reconfigure, hook",
            Self::WishForKey(..) => "reconfigure, key",
            Self::Delete(_) => "delete",
            Self::Repair => "fsck --repair",
            Self::AccountKey => "update_account --new-key",
        }
    }

    /// The command line.
    pub(super) fn arguments(&self, world: &World, place: &Place) -> Vec<String> {
        let server = world.ca().directory_url();
        let webroot = place.webroot().to_string_lossy().into_owned();
        let certonly = ["certonly", "--webroot", "-w", &webroot, "--server", &server, "--no-probe"];
        let name = self.lineage().map(name).unwrap_or_default();
        let arguments: Vec<String> = match self {
            Self::RenewDue => words(&["renew", "--no-random-sleep-on-renew", "--no-probe"]),
            Self::Renew(_) => {
                words(&["renew", "--force-renewal", "--no-random-sleep-on-renew", "--no-probe", "--cert-name", &name])
            }
            Self::Obtain(_) => [words(&certonly), words(&["-d", &name, "--deploy-hook", &hook(place, "new")])].concat(),
            Self::ChangeNames(_, other) => {
                [words(&certonly), words(&["--cert-name", &name, "-d", &name, "-d", other])].concat()
            }
            Self::RollBack(_, to) => words(&["rollback", "--cert-name", &name, "--to", &to.to_string(), "--no-probe"]),
            Self::EditConf(_, mark) => {
                words(&["reconfigure", "--cert-name", &name, "--deploy-hook", &hook(place, mark)])
            }
            Self::WishForKey(_, curve) => {
                words(&["reconfigure", "--cert-name", &name, "--key-type", "ecdsa", "--elliptic-curve", curve])
            }
            Self::Delete(_) => words(&["delete", "--cert-name", &name]),
            Self::Repair => words(&["fsck", "--repair"]),
            Self::AccountKey => words(&["update_account", "--new-key", "--server", &server]),
        };
        arguments.into_iter().chain(words(&["-n", "--json"])).collect()
    }
}

/// What one step is to be. All that is random in it is drawn before it begins.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) kind: usize,
    pub(super) subject: usize,
    /// Which of several versions, names or curves.
    pub(super) choice: usize,
    /// When it is killed, as a part of the time that such a run usually takes.
    pub(super) life: Option<f64>,
    /// A second run at the same time, which is not killed: on which lineage, what, and how much later.
    pub(super) second: Option<(usize, bool, f64)>,
    /// Whether an undisturbed `renew` follows.
    pub(super) settles: bool,
}

impl Step {
    pub(super) fn draw(dice: &mut Dice, lineages: usize) -> Self {
        let (kind, subject, choice) = (dice.below(100), dice.below(lineages), dice.below(1000));
        let (lives, life) = (dice.percent(25), dice.fraction() * LATEST);
        let (has_second, second) = (dice.percent(15), (dice.below(lineages), dice.percent(50), dice.fraction()));
        Self {
            kind,
            subject,
            choice,
            life: (!lives).then_some(life),
            second: has_second.then_some(second),
            settles: dice.percent(50),
        }
    }
}

/// The latest kills come when most runs have ended, so that those that take longer are also met at their end.
const LATEST: f64 = 1.1;

/// The name of a lineage.
pub(super) fn name(number: usize) -> String {
    format!("s{number}.example.org")
}

/// A deploy hook that acknowledges what is live to a file outside the tree, with a mark by which an edit is known.
pub(super) fn hook(place: &Place, mark: &str) -> String {
    format!(
        "true mark-{mark}-; echo \"$(basename $RENEWED_LINEAGE) $(readlink $RENEWED_LINEAGE/cert.pem) $(tr '\\n' '|' <$RENEWED_LINEAGE/cert.pem)\" >> {}/acknowledged",
        place.path().display()
    )
}

fn words(all: &[&str]) -> Vec<String> {
    all.iter().map(|word| (*word).to_owned()).collect()
}
