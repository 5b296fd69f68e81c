//! The `migration-warden` program: everything is in the library.

use std::process::ExitCode;

use clap::Parser;
use migration_warden::cli::Args;

fn main() -> ExitCode {
    Args::parse().run()
}
