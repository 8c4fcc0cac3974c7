//! What a piece of work costs: in a process of its own, so that the peak memory is that of the work, and the best of
//! several rounds, for the noise of a machine only ever adds.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike as _;
use rustix::time::{ClockId, clock_gettime};

use crate::Failure;

const ROUNDS: usize = 7;

/// What work cost.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cost {
    /// What the work counted.
    pub(crate) result: usize,
    /// CPU time of all its threads.
    pub(crate) cpu: Duration,
    /// From its beginning to its end.
    pub(crate) wall: Duration,
    /// The most memory that the process had, in KiB.
    pub(crate) peak_kib: u64,
}

/// Does the works in turn, round after round, so that a busy moment meets all of them. CPU and wall time are the least of
/// all rounds each, and so is the peak.
pub(crate) fn best(works: &[&str], folder: &Path) -> Result<Vec<Cost>, Failure> {
    let mut best: Vec<Option<Cost>> = vec![None; works.len()];
    for _ in 0..ROUNDS {
        for (work, best) in works.iter().zip(&mut best) {
            let output = Command::new(std::env::current_exe()?).args(["do", work]).arg(folder).output()?;
            if !output.status.success() {
                return Err(format!("{work}: {}", String::from_utf8_lossy(&output.stderr)).into());
            }
            let cost = Cost::parse(&String::from_utf8(output.stdout)?).ok_or_else(|| format!("{work}: no figures"))?;
            *best = Some(best.map_or(cost, |best| best.min(cost)));
        }
    }
    best.into_iter().map(|cost| cost.ok_or_else(|| "no round".into())).collect()
}

/// Does the work and prints what it cost, for [`best`].
pub(crate) fn print_of(work: impl FnOnce() -> Result<usize, Failure>) -> Result<(), Failure> {
    let cpu = || {
        let time = clock_gettime(ClockId::ProcessCPUTime);
        Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or_default())
    };
    let (start, cpu_start) = (Instant::now(), cpu());
    let result = work()?;
    let (wall, used) = (start.elapsed(), cpu() - cpu_start);
    println!("{result} {} {} {}", used.as_nanos(), wall.as_nanos(), peak_kib()?);
    Ok(())
}

/// The same of a program, for [`best`]; the result is its exit status.
pub(crate) fn print_of_program(program: &mut Command) -> Result<(), Failure> {
    let start = Instant::now();
    let status = program.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status()?;
    let wall = start.elapsed();
    let used = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let micros = used.user_time().num_microseconds() + used.system_time().num_microseconds();
    let cpu = Duration::from_micros(micros.unsigned_abs());
    let status = status.code().ok_or_else(|| format!("{program:?} ends with {status}"))?;
    println!("{status} {} {} {}", cpu.as_nanos(), wall.as_nanos(), used.max_rss());
    Ok(())
}

/// The least wall time that a program needs to its end, with what it says thrown away.
pub(crate) fn of_program(program: &mut Command, rounds: usize) -> Result<Duration, Failure> {
    let mut best = Duration::MAX;
    for _ in 0..rounds {
        let start = Instant::now();
        let status = program.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status()?;
        best = best.min(start.elapsed());
        if !status.success() {
            return Err(format!("{program:?} ends with {status}").into());
        }
    }
    Ok(best)
}

/// The most memory that this process had so far, in KiB.
pub(crate) fn peak_kib() -> Result<u64, Failure> {
    let status = fs::read_to_string("/proc/self/status")?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("no VmHWM")?;
    Ok(peak.trim().trim_end_matches(" kB").parse()?)
}

/// For tables.
pub(crate) fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

impl Cost {
    /// Reads what [`print_of`] printed.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let numbers: Vec<u64> = text.split_whitespace().map(str::parse).collect::<Result<_, _>>().ok()?;
        let [result, cpu, wall, peak_kib] = numbers.as_slice() else { return None };
        Some(Self {
            result: usize::try_from(*result).ok()?,
            cpu: Duration::from_nanos(*cpu),
            wall: Duration::from_nanos(*wall),
            peak_kib: *peak_kib,
        })
    }

    fn min(self, other: Self) -> Self {
        Self {
            result: other.result,
            cpu: self.cpu.min(other.cpu),
            wall: self.wall.min(other.wall),
            peak_kib: self.peak_kib.min(other.peak_kib),
        }
    }
}
