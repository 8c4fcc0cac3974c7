//! A network that loses packets, is slow, cuts connections, or whose DNS fails every other time, between the command and
//! the CA: each run ends by itself, with the certificate or with a reason, and the next one over a good network with it.
//!
//! All of it happens in a network namespace that has nothing but a loopback of its own, on which nftables drops and rejects
//! packets and the kernel's token bucket holds them back. netem is not in every kernel, and none of this needs it.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use testkit::process::require_program;
use testkit::{Pebble, PebbleOptions};

use crate::look;
use crate::process::{Ended, Process};
use crate::world::{Place, World};

/// No run takes so long: a validation may take ten minutes, and so may the CA for the certificate.
const LONGEST_RUN: Duration = Duration::from_secs(1500);

/// What is wrong with the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weather {
    /// Of a hundred packets to and from the CA so many are lost.
    Lossy(u32),
    /// So many bits a second for everything. The CA's answers wait behind each other.
    Slow(u32),
    /// Of a hundred packets to and from the CA so many are answered by a reset.
    Reset(u32),
    /// The CA's resolver answers SERVFAIL every other time.
    ServFail,
}

/// What came of many issuances in one weather.
#[derive(Clone, Debug, Default)]
pub struct Sent {
    /// How many were tried.
    pub issuances: usize,
    /// Those that ended with the certificate at once.
    pub at_once: usize,
    /// Those that ended with a reason, and with the certificate when they were repeated over a good network.
    pub repeated: usize,
    /// How many orders were placed in this weather.
    pub orders_in_it: usize,
    /// How many in all.
    pub orders: usize,
    /// The longest run.
    pub longest: Duration,
    /// What must not be.
    pub wrong: Vec<String>,
}

/// What the command goes through: how many issuances, and how many of them at once.
pub const ALL: [(Weather, usize, usize); 5] = [
    (Weather::Lossy(20), 20, 5),
    (Weather::Slow(8_000), 5, 1),
    (Weather::Reset(3), 10, 5),
    (Weather::Reset(20), 5, 5),
    (Weather::ServFail, 10, 1),
];

/// Set in the process that is in a namespace of its own.
const OWN_NETWORK: &str = "CERTKIT_FAULTS_OWN_NETWORK";

/// Runs this program again with these arguments where it has a network of its own. None in the process that has one.
pub fn with_own_network(arguments: &[&str]) -> Option<Output> {
    if std::env::var_os(OWN_NETWORK).is_some() {
        return None;
    }
    for program in ["nft", "tc", "ip"] {
        require_program(program);
    }
    let mut again = Command::new(require_program("unshare"));
    again.args(["--net", "--map-root-user", "--"]).arg(std::env::current_exe().unwrap());
    Some(again.args(arguments).env(OWN_NETWORK, "1").output().unwrap())
}

/// Tries so many issuances in this weather, and those that failed again when it is over.
pub fn brave(certkit: &Path, weather: Weather, issuances: usize, at_once: usize) -> Sent {
    assert!(std::env::var_os(OWN_NETWORK).is_some(), "this network is everybody's");
    // A whole packet has to fit into what the token bucket holds.
    call("ip", &["link", "set", "lo", "up", "mtu", "1500"]);
    let looks = weather == Weather::ServFail;
    let options = PebbleOptions { validates_without_looking: !looks, ..PebbleOptions::default() };
    let world = World::of(certkit, Pebble::start(options));
    let places: Vec<Place> = (0..issuances).map(|_| Place::new()).collect();

    let sent = Mutex::new(Sent { issuances, ..Sent::default() });
    let next = AtomicUsize::new(0);
    let failed = Mutex::new(Vec::new());
    weather.begin(&world);
    thread::scope(|scope| {
        // The CA connects to one port, where one run listens.
        for _ in 0..if looks { 1 } else { at_once } {
            scope.spawn(|| {
                while let Some(place) = places.get(next.fetch_add(1, Ordering::SeqCst)) {
                    let number = places.iter().position(|one| std::ptr::eq(one, place)).unwrap();
                    weather.blow(&world, number);
                    let began = Instant::now();
                    let run = issue(&world, place, number, looks);
                    let mut sent = sent.lock().unwrap();
                    sent.longest = sent.longest.max(began.elapsed());
                    match judged(place, number, &run) {
                        Ok(true) => sent.at_once += 1,
                        Ok(false) => failed.lock().unwrap().push((number, run)),
                        Err(wrong) => sent.wrong.push(format!("{weather:?}: {wrong}")),
                    }
                }
            });
        }
    });
    weather.end(&world, issuances);
    let mut sent = sent.into_inner().unwrap();
    sent.orders_in_it = world.ca().orders_placed();
    for (number, first) in failed.into_inner().unwrap() {
        let run = issue(&world, &places[number], number, looks);
        let left = look::leftovers(&places[number].tree());
        match judged(&places[number], number, &run) {
            Ok(true) if left.is_empty() => sent.repeated += 1,
            _ => sent.wrong.push(format!("{weather:?}: after {first:?} the next run: {run:?}, and left is {left:?}")),
        }
    }
    sent.orders = world.ca().orders_placed();
    sent
}

/// The head of the table.
pub const HEAD: &str = "| network | issuances | had at once | failed with a reason, had at the next run | orders, in it and in all | longest run | wrong |\n|---|---|---|---|---|---|---|\n";

impl Sent {
    /// Its row, below [`HEAD`].
    pub fn row(&self, weather: Weather) -> String {
        let Self { issuances, at_once, repeated, orders_in_it, orders, longest, wrong } = self;
        let seconds = longest.as_secs();
        format!(
            "| {weather:?} | {issuances} | {at_once} | {repeated} | {orders_in_it}, {orders} | {seconds} s | {} |\n",
            wrong.len()
        )
    }

    /// What was wrong, a line each.
    pub fn complaints(&self) -> String {
        self.wrong.iter().fold(String::new(), |mut text, wrong| {
            let _ = writeln!(text, "WRONG {wrong}");
            text
        })
    }
}

impl Weather {
    fn begin(self, world: &World) {
        let url = world.ca().directory_url();
        let port = url.trim_end_matches("/dir").rsplit(':').next().unwrap();
        let happens = match self {
            Self::Lossy(percent) => format!("numgen random mod 100 < {percent} drop"),
            Self::Reset(percent) => format!("numgen random mod 100 < {percent} reject with tcp reset"),
            Self::Slow(bits) => {
                let rate = format!("{bits}bit");
                call(
                    "tc",
                    &["qdisc", "add", "dev", "lo", "root", "tbf", "rate", &rate, "burst", "3000", "latency", "30s"],
                );
                return;
            }
            Self::ServFail => return,
        };
        let rules = format!(
            "table inet faults {{\nchain input {{\ntype filter hook input priority 0;\ntcp dport {port} {happens}\ntcp sport {port} {happens}\n}}\n}}\n"
        );
        let mut nft = Command::new(require_program("nft")).args(["-f", "-"]).stdin(Stdio::piped()).spawn().unwrap();
        nft.stdin.take().unwrap().write_all(rules.as_bytes()).unwrap();
        assert!(nft.wait().unwrap().success(), "nft refuses {rules}");
    }

    /// Before an issuance.
    fn blow(self, world: &World, number: usize) {
        if self == Self::ServFail && number.is_multiple_of(2) {
            world.ca().set_servfail(&name(number));
        }
    }

    fn end(self, world: &World, issuances: usize) {
        match self {
            Self::Lossy(_) | Self::Reset(_) => call("nft", &["delete", "table", "inet", "faults"]),
            Self::Slow(_) => call("tc", &["qdisc", "del", "dev", "lo", "root"]),
            Self::ServFail => (0..issuances).for_each(|number| world.ca().clear_servfail(&name(number))),
        }
    }
}

/// The same command each time. The CA connects to where the command listens, when it looks at all.
fn issue(world: &World, place: &Place, number: usize, looks: bool) -> Ended {
    let (server, name) = (world.ca().directory_url(), name(number));
    let (webroot, port) = (place.webroot().to_string_lossy().into_owned(), world.ca().http_port().to_string());
    let how = if looks { ["--standalone", "--http-01-port", &port] } else { ["--webroot", "-w", &webroot] };
    let certonly = ["certonly", "-n", "--agree-tos", "--register-unsafely-without-email", "--no-probe"];
    let arguments = [certonly.as_slice(), &how, &["--server", &server, "-d", &name]].concat();
    let arguments: Vec<String> = arguments.into_iter().map(str::to_owned).collect();
    Process::start(world.command(place, &arguments), place.path(), "run").end_within(LONGEST_RUN)
}

/// Whether it is there, and whether what the run said is so.
fn judged(place: &Place, number: usize, ended: &Ended) -> Result<bool, String> {
    let (run, name) = (&ended.run, name(number));
    if ended.hung || run.stderr.contains("panicked") {
        return Err(format!("it hangs or panics: {ended:?}"));
    }
    if look::open_key(&place.tree()).is_some() {
        return Err("a key can be read by others".into());
    }
    match (run.code, look::lineages(&place.tree()).contains(&name)) {
        (Some(0), true) => look::live_pair(&place.tree(), &name).map(|_| true),
        (Some(1), false) if run.stderr.contains("what to do: ") || run.stderr.contains("What to do: ") => Ok(false),
        _ => Err(format!("neither the certificate nor a reason with what to do: {run:?}")),
    }
}

fn name(number: usize) -> String {
    format!("w{number}.example.org")
}

fn call(program: &str, arguments: &[&str]) {
    let output = Command::new(require_program(program)).args(arguments).output().unwrap();
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}
