//! The command line: arguments in, exit code out.

mod audit;
mod backup;
mod connect;
mod connection;
mod credential;
mod credential_view;
mod events;
mod exit;
mod explain;
mod forecast;
mod integration;
mod integration_view;
mod keys;
mod kill;
mod material;
mod means;
mod output;
mod provider;
mod provider_standing;
mod service;
mod settings;
mod status_line;
mod token;
mod watch;
mod wire;

use std::ffi::OsString;
use std::io;
use std::process::ExitCode;

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use clap_complete::Shell;
use rustls::crypto::aws_lc_rs;
use tokio::runtime;

use self::exit::{Exit, Failure};
use self::output::Out;
use crate::Build;
use crate::clock::SystemClock;

/// Keeps OAuth grants evergreen: one service that every replica and every language asks for a token.
#[derive(Debug, Parser)]
#[command(
    name = "evergrant",
    after_help = "\
Examples:
  evergrant demo                     # see it work in a minute
  evergrant serve                    # SQLite in the working directory, loopback only
  evergrant token get slack-7
  evergrant connect google --scope openid
  evergrant watch -o json

Exit codes: 0 success, 1 failure, 64 bad usage or configuration, 69 server or dependency out of reach."
)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Run the service
    Serve(service::Serve),
    /// Show the main job in one minute, on a server and a provider of its own
    Demo(service::Demo),
    /// Run the strict sandbox provider alone, for trying integrations and for tests
    Sandbox(service::Sandbox),
    /// Get access tokens
    Token(token::Token),
    /// Connect a user's account with the browser of this machine
    Connect(connect::Connect),
    /// Print events as they come
    Watch(watch::Watch),
    /// Keep credentials
    Credential(credential::Credential),
    /// Say why a credential is dead, slow or not refreshed
    Explain(explain::Explain),
    /// List what ends when, soonest first
    Forecast(forecast::Forecast),
    /// Keep integrations
    Integration(integration::Integration),
    /// Look at the provider catalogue and at how clients stand, and decide about held grants
    Provider(provider::Provider),
    /// Invalidate everything of a tenant, a provider, an OAuth client or a caller at once
    Kill(kill::Kill),
    /// Read the audit trail, and check that it is whole
    Audit(audit::Audit),
    /// Make, rotate and check sealing keys
    Keys(keys::Keys),
    /// Bring the store's schema up to date
    Migrate(service::Migrate),
    /// Copy an SQLite store, beside a replica that serves
    Backup(backup::Backup),
    /// Tell the store that it was restored from a backup
    Restored(backup::Restored),
    /// Look after the event log
    Events(events::Events),
    /// Check or show the configuration
    Config(settings::Settings),
    /// Print a completion script for a shell
    #[command(after_help = "\
Example:
  evergrant completions bash > /etc/bash_completion.d/evergrant")]
    Completions {
        /// The shell
        shell: Shell,
    },
}

/// Does what the process's arguments say and gives the code to exit with.
pub fn run(build: Build) -> ExitCode {
    run_with(
        build,
        std::env::args_os(),
        &mut io::stdout(),
        &mut io::stderr(),
    )
    .into()
}

pub(crate) fn run_with(
    build: Build,
    arguments: impl IntoIterator<Item = OsString>,
    out: Out<'_>,
    notes: Out<'_>,
) -> Exit {
    let cli = match parse(build, arguments) {
        Ok(cli) => cli,
        Err(error) => return say(&error),
    };
    match dispatch(cli.verb, build, out, notes) {
        Ok(()) => Exit::Success,
        Err(failure) => {
            let exit = failure.exit();
            if exit != Exit::Success {
                // There is no one left to tell if standard error is closed too.
                let _untold = writeln!(notes, "evergrant: {failure}");
            }
            exit
        }
    }
}

fn parse(build: Build, arguments: impl IntoIterator<Item = OsString>) -> Result<Cli, clap::Error> {
    let version: &'static str = build.to_string().leak();
    let matches = Cli::command()
        .version(version)
        .try_get_matches_from(arguments)?;
    Cli::from_arg_matches(&matches)
}

/// Prints what clap has to say: help and version to standard output, mistakes to standard error.
fn say(error: &clap::Error) -> Exit {
    let _untold = error.print();
    match error.use_stderr() {
        true => Exit::Usage,
        false => Exit::Success,
    }
}

fn dispatch(verb: Verb, build: Build, out: Out<'_>, notes: Out<'_>) -> Result<(), Failure> {
    // TLS has one provider. An error only says that it was installed before.
    let _installed = aws_lc_rs::default_provider().install_default();
    match verb {
        Verb::Serve(serve) => on_all_cores(serve.run(build, out)),
        Verb::Demo(demo) => on_all_cores(demo.run(build)),
        Verb::Sandbox(sandbox) => on_all_cores(sandbox.run(out)),
        Verb::Backup(backup) => on_this_thread(backup.run(out)),
        Verb::Restored(restored) => on_this_thread(restored.run(out)),
        Verb::Migrate(migrate) => on_all_cores(migrate.run(build, out)),
        Verb::Events(events) => on_this_thread(events.run(out)),
        Verb::Token(token) => on_this_thread(token.run(out, notes)),
        Verb::Connect(connect) => on_this_thread(connect.run(out, notes)),
        Verb::Watch(watch) => on_this_thread(watch.run(out, notes)),
        Verb::Credential(credential) => on_this_thread(credential.run(&SystemClock, out)),
        Verb::Explain(explain) => on_this_thread(explain.run(out)),
        Verb::Forecast(forecast) => on_this_thread(forecast.run(out)),
        Verb::Integration(integration) => on_this_thread(integration.run(out)),
        Verb::Provider(provider) => on_this_thread(provider.run(out)),
        Verb::Kill(kill) => on_this_thread(kill.run(&SystemClock, out, notes)),
        Verb::Audit(audit) => on_this_thread(audit.run(out, notes)),
        Verb::Keys(keys) => on_this_thread(keys.run(out, notes)),
        Verb::Config(settings) => settings.run(out),
        Verb::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "evergrant", &mut script);
            Ok(out.write_all(&script)?)
        }
    }
}

fn on_all_cores(verb: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    block_on(&mut runtime::Builder::new_multi_thread(), verb)
}

fn on_this_thread(verb: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    block_on(&mut runtime::Builder::new_current_thread(), verb)
}

fn block_on(
    runtime: &mut runtime::Builder,
    verb: impl Future<Output = Result<(), Failure>>,
) -> Result<(), Failure> {
    let runtime = runtime
        .enable_all()
        .build()
        .map_err(|error| Failure::Other(format!("the runtime cannot be started: {error}")))?;
    runtime.block_on(verb)
}

#[cfg(test)]
mod tests;
