//! `evergrant provider`.

mod view;

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use evergrant_core::ids::ProviderName;
use evergrant_proto::v1::provider_service_client::ProviderServiceClient;
use evergrant_proto::v1::{BrakeVerdict, ReleaseBrakeRequest};
use evergrant_providers::Catalogue;

use self::view::{EntryList, EntryView};
use super::connection::Server;
use super::exit::Failure;
use super::output::{Out, Output};
use super::provider_standing::StandingList;
use super::settings::ConfigFile;

/// Arguments of `evergrant provider`.
#[derive(Debug, Args)]
pub struct Provider {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List the providers, those in providers.dir included; of a server, also how its OAuth clients stand
    #[command(after_help = "\
Examples:
  evergrant provider list                                    # the catalogue; asks no server
  evergrant provider list --server http://127.0.0.1:7070     # the server's, with its clients")]
    List {
        /// List the catalogue of this machine although EVERGRANT_SERVER is set; asks no server
        #[arg(long)]
        offline: bool,
        #[command(flatten)]
        output: Output,
        #[command(flatten)]
        config: ConfigFile,
        #[command(flatten)]
        server: Server,
    },
    /// Show what is known of a provider
    Show {
        /// The provider
        provider: String,
        #[command(flatten)]
        output: Output,
        #[command(flatten)]
        config: ConfigFile,
    },
    /// Decide about the grants, of all tenants, that are held because the provider refuses too many at once
    #[command(after_help = "\
Examples:
  evergrant provider release slack --retry         # the provider was wrong: try them again
  evergrant provider release slack --invalidate    # it was right: they are dead, tell it")]
    Release {
        /// The provider
        provider: String,
        /// The OAuth client; the provider's only one if there is none
        #[arg(long, default_value = "", hide_default_value = true)]
        client: String,
        #[command(flatten)]
        verdict: Verdict,
        #[command(flatten)]
        server: Server,
    },
    /// Say whether a catalogue entry is sound, or every mistake in it and where
    Check {
        /// The entry, a TOML file
        file: PathBuf,
    },
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Verdict {
    /// Try the held grants again, within half a minute
    #[arg(long)]
    retry: bool,
    /// Invalidate the held grants, and tell it
    #[arg(long)]
    invalidate: bool,
}

impl Provider {
    /// Does what was asked.
    pub async fn run(self, out: Out<'_>) -> Result<(), Failure> {
        match self.verb {
            Verb::List {
                offline: false,
                output,
                server,
                ..
            } if server.is_given() => {
                output.print(out, &StandingList::ask(&server).await?)?;
            }
            Verb::Release {
                provider,
                client,
                verdict,
                server,
            } => {
                let Verdict {
                    retry: _,
                    invalidate,
                } = verdict;
                let (verdict, done) = match invalidate {
                    true => (BrakeVerdict::Invalidate, "are invalidated"),
                    false => (BrakeVerdict::Retry, "are tried again"),
                };
                let request = ReleaseBrakeRequest {
                    provider,
                    client,
                    verdict: verdict.into(),
                };
                let mut service = ProviderServiceClient::new(server.connect().await?);
                let response = service.release_brake(request).await?.into_inner();
                match response.was_engaged {
                    true => writeln!(out, "{} grants {done}", response.grants)?,
                    false => writeln!(out, "nothing is held")?,
                }
            }
            Verb::List { output, config, .. } => {
                let catalogue = config.look_at()?.catalogue()?;
                let providers = catalogue
                    .iter()
                    .map(|entry| EntryView::new(entry))
                    .collect();
                output.print(out, &EntryList { providers })?;
            }
            Verb::Show {
                provider,
                output,
                config,
            } => {
                let catalogue = config.look_at()?.catalogue()?;
                let entry = ProviderName::parse(&provider)
                    .ok()
                    .and_then(|name| catalogue.get(&name).cloned())
                    .ok_or_else(|| {
                        Failure::Other(format!("provider {provider:?} is not in the catalogue"))
                    })?;
                output.print(out, &EntryView::new(&entry))?;
            }
            Verb::Check { file } => {
                let shown = file.display();
                let text = read_entry(&file)
                    .map_err(|error| Failure::Usage(format!("{shown} cannot be read: {error}")))?;
                let problems = Catalogue::check(&text);
                for problem in &problems {
                    writeln!(out, "{shown}: {problem}")?;
                }
                match problems.len() {
                    0 => writeln!(out, "ok")?,
                    1 => return Err(Failure::Other(format!("{shown} has a mistake"))),
                    many => return Err(Failure::Other(format!("{shown} has {many} mistakes"))),
                }
            }
        }
        Ok(())
    }
}

/// No entry is near this size.
const MAX_ENTRY_BYTES: u64 = 1 << 20;

fn read_entry(file: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    File::open(file)?
        .take(MAX_ENTRY_BYTES + 1)
        .read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_ENTRY_BYTES {
        return Err(io::Error::other("it is larger than 1 MiB"));
    }
    String::from_utf8(bytes).map_err(|_| io::Error::other("it is no text in UTF-8"))
}
