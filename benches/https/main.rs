//! What a review costs over HTTPS, from the connection to the decision log, against floor servers
//! that run in the same rounds. How to read it: `docs/performance.md`.

#![allow(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a benchmark stops at the first surprise, and talks to whoever runs it"
)]

#[path = "../common/bodies.rs"]
mod bodies;
#[path = "../common/floor.rs"]
mod floor;
#[path = "floor.rs"]
mod floor_server;
mod load;
#[path = "../common/policies.rs"]
mod policies;
mod process;
#[path = "../common/ratios.rs"]
mod ratios;

use floor_server::Floor;
use load::Client;
use process::{Contender, FLOOR, Server};
use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    time::{Duration, Instant},
};

/// The limits, told as broken with `MW_BENCH_ASSERT=1`.
const MAX_CPU_RATIO: f64 = 1.3;
const MAX_MIB: f64 = 15.0;
const MAX_START_MS: f64 = 20.0;
const MAX_BINARY_MB: f64 = 15.7;

const WARDEN: &str = env!("CARGO_BIN_EXE_migration-warden");

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [flag, name, port, dir] = &arguments[..]
        && flag == FLOOR
    {
        let floor = Floor::ALL.iter().find(|(known, _)| known == name);
        let port = port.parse().expect("a port");
        floor_server::serve(floor.expect("a floor").1, port, Path::new(dir));
        return ExitCode::SUCCESS;
    }
    // Cargo says `--bench` when it is to run, and nothing when it only tests that all targets do.
    if !arguments.iter().any(|argument| argument == "--bench") {
        return ExitCode::SUCCESS;
    }
    let dir = tempfile::tempdir().expect("a directory");
    process::make_certificate(dir.path());
    let mut broken = Vec::new();
    measure_load(dir.path(), &mut broken);
    measure_start(dir.path(), &mut broken);
    measure_size(&mut broken);
    for limit in &broken {
        println!("BROKEN: {limit}");
    }
    if broken.is_empty() || !ratios::is_set("MW_BENCH_ASSERT") {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn warden(name: &'static str, program: impl Into<PathBuf>, to_file: bool) -> Contender {
    let program = program.into();
    Contender::Warden {
        name,
        program,
        to_file,
        entries: 0,
    }
}

/// A contender with what was measured of it at one size, a number for each round.
struct Runner {
    name: String,
    server: Server,
    is_ours: bool,
    micros: Vec<f64>,
    rates: Vec<f64>,
}

fn measure_load(dir: &Path, broken: &mut Vec<String>) {
    let mut contenders: Vec<Contender> = Floor::ALL
        .iter()
        .map(|(_, floor)| Contender::Floor(*floor))
        .collect();
    contenders.push(warden("warden, log to a pipe", WARDEN, false));
    contenders.push(warden("warden, log to a file", WARDEN, true));
    contenders.push(Contender::Warden {
        name: "warden, 100 entries that adopt",
        program: WARDEN.into(),
        to_file: false,
        entries: 100,
    });
    // Another build to compare with, before and after a change, say.
    if let Some(other) = std::env::var_os("MW_BENCH_OTHER") {
        contenders.push(warden("other warden, log to a pipe", other, false));
    }
    let client = Client::new(dir);
    let mut runners: Vec<Runner> = contenders
        .iter()
        .map(|contender| {
            let server = contender.start(dir);
            client.first_answer(server.port, &bodies::allowed(0));
            Runner {
                name: contender.name(),
                server,
                is_ours: matches!(contender, Contender::Warden { program, .. } if program.as_os_str() == WARDEN),
                micros: Vec::new(),
                rates: Vec::new(),
            }
        })
        .collect();
    let sizes = bodies::SIZES.map(|(size, bytes)| (size, bodies::allowed(bytes)));
    let sizes = sizes.into_iter().chain([("ordinary", bodies::ordinary())]);
    for ((size, body), connections) in sizes.zip([8, 4, 4, 8]) {
        if !ratios::is_wanted(size) {
            continue;
        }
        rounds(&client, &mut runners, &body, connections);
        report(size, body.len(), connections, &runners, broken);
    }
}

fn rounds(client: &Client, runners: &mut [Runner], body: &[u8], connections: usize) {
    let (rounds, time) = if ratios::quick() {
        (1, Duration::from_millis(200))
    } else {
        (rounds_wanted(), Duration::from_secs(3))
    };
    for runner in runners.iter_mut() {
        runner.micros.clear();
        runner.rates.clear();
    }
    for round in 0..rounds {
        for index in ratios::order(runners.len(), round) {
            let runner = &mut runners[index];
            let probe = || (runner.server.cpu(), Instant::now());
            let (answers, (cpu, start), (cpu_after, end)) =
                client.load(runner.server.port, body, connections, time, probe);
            let answers = f64::from(answers);
            runner.micros.push((cpu_after - cpu) * 1e6 / answers);
            runner.rates.push(answers / (end - start).as_secs_f64());
        }
    }
}

fn rounds_wanted() -> usize {
    let wanted = std::env::var("MW_BENCH_ROUNDS").ok();
    wanted.and_then(|rounds| rounds.parse().ok()).unwrap_or(6)
}

fn report(
    size: &str,
    bytes: usize,
    connections: usize,
    runners: &[Runner],
    broken: &mut Vec<String>,
) {
    println!(
        "\n{size} ({bytes} bytes), {connections} connections, {} rounds\n\n\
         | server | req/s | CPU µs/req | CPU vs floor-rules | RSS MiB now / peak |\n\
         | --- | --- | --- | --- | --- |",
        runners[0].micros.len()
    );
    let floor = runners.iter().find(|runner| runner.name == "floor-rules");
    let floor = &floor.expect("the floor").micros;
    for runner in runners {
        let (micros, least, greatest) = ratios::spread(runner.micros.iter().copied());
        let (now, peak) = runner.server.memory();
        println!(
            "| {} | {:.0} | {micros:.1} [{least:.1}–{greatest:.1}] | {} | {now:.1} / {peak:.1} |",
            runner.name,
            ratios::spread(runner.rates.iter().copied()).0,
            ratios::ratio(&runner.micros, floor),
        );
        if !runner.is_ours {
            continue;
        }
        let each = runner.micros.iter().zip(floor);
        let (ratio, ..) = ratios::spread(each.map(|(ours, floor)| ours / floor));
        if ratio > MAX_CPU_RATIO {
            broken.push(format!(
                "{}, {size}: CPU x{ratio:.2} of floor-rules, at most x{MAX_CPU_RATIO}",
                runner.name
            ));
        }
        if size == bodies::SIZES[0].0 && now > MAX_MIB {
            broken.push(format!(
                "{}, {size}: {now:.1} MiB, at most {MAX_MIB}",
                runner.name
            ));
        }
    }
}

fn measure_start(dir: &Path, broken: &mut Vec<String>) {
    let contenders = [
        Contender::Floor(Floor::Rules),
        warden("warden", WARDEN, false),
    ];
    let client = Client::new(dir);
    let body = bodies::allowed(0);
    let mut millis = [Vec::new(), Vec::new()];
    for round in 0..if ratios::quick() { 2 } else { 15 } {
        for index in ratios::order(contenders.len(), round) {
            let start = Instant::now();
            let server = contenders[index].start(dir);
            client.first_answer(server.port, &body);
            millis[index].push(start.elapsed().as_secs_f64() * 1e3);
        }
    }
    println!("\n| server | from its start to the first answer over TLS, ms |\n| --- | --- |");
    for (contender, millis) in contenders.iter().zip(&millis) {
        let (median, least, greatest) = ratios::spread(millis.iter().copied());
        let name = contender.name();
        println!("| {name} | {median:.1} [{least:.1}–{greatest:.1}] |");
        if matches!(contender, Contender::Warden { .. }) && median > MAX_START_MS {
            broken.push(format!(
                "{name}: first answer after {median:.1} ms, at most {MAX_START_MS}"
            ));
        }
    }
}

fn measure_size(broken: &mut Vec<String>) {
    let bytes = std::fs::metadata(WARDEN).expect("the program").len();
    // Far below the 2^32 that a u32 holds.
    let megabytes = f64::from(u32::try_from(bytes).unwrap_or(u32::MAX)) / 1e6;
    println!("\nprogram: {megabytes:.1} MB");
    if megabytes > MAX_BINARY_MB {
        broken.push(format!(
            "the program has {megabytes:.1} MB, at most {MAX_BINARY_MB}"
        ));
    }
}
