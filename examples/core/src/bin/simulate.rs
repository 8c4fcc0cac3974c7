//! A year of a machine with many certificates, in seconds: `simulate [LINEAGES [DAYS [SEED]]] [--every INTERVAL]`
//!
//! Without `--every` as a daemon. Fails when a certificate expired while its CA was up, a limit was broken, or a set of
//! names was issued in a loop.
//!
//! With `--notices` it is what an owner hears in 400 days in which one renewal in ten fails. Fails when a certificate
//! expired without at least three notices at the promised times, or the same was told twice, or without a reason.

use std::error::Error;
use std::process::ExitCode;
use std::time::Instant;

use certkit_core::decision::parse_interval;
use certkit_examples_core::simulation::{Setup, notices, simulate};

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let mut setup = Setup { lineages: 10_000, days: 365, seed: 1, every: None };
    let mut arguments = std::env::args().skip(1);
    let mut place = 0;
    let mut only_notices = false;
    while let Some(argument) = arguments.next() {
        if argument == "--every" {
            setup.every = Some(parse_interval(&arguments.next().ok_or("--every INTERVAL, for example 12h")?)?);
            continue;
        }
        if argument == "--notices" {
            only_notices = true;
            (setup.lineages, setup.days) = (100, 400);
            continue;
        }
        match place {
            0 => setup.lineages = argument.parse()?,
            1 => setup.days = argument.parse()?,
            2 => setup.seed = argument.parse()?,
            _ => return Err("usage: simulate [--notices] [LINEAGES [DAYS [SEED]]] [--every INTERVAL]".into()),
        }
        place += 1;
    }
    let began = Instant::now();
    if only_notices {
        let report = notices(&setup)?;
        print!("{report}");
        return Ok(if report.complaints().is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    let report = simulate(&setup)?;
    print!("{report}");
    println!("It took {:.1} s", began.elapsed().as_secs_f64());
    Ok(if report.complaints().is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
