//! `tandem`: writes a platform's configuration from one file, and runs the dev node.
#![forbid(unsafe_code)]

mod cdr_command;
mod cli;
mod dev;
mod documents;
mod init;
mod load_command;
mod node_command;
mod pair_command;
mod render_command;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    match cli::run(cli::Cli::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("tandem: {error:#}");
            ExitCode::FAILURE
        }
    }
}
