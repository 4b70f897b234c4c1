//! `evergrant provider`.

mod view;

use std::path::PathBuf;

use clap::{Args, Subcommand};
use evergrant_core::ids::ProviderName;
use evergrant_providers::Catalogue;

use self::view::{EntryList, EntryView};
use super::exit::Failure;
use super::output::{Out, Output};
use super::settings::ConfigFile;

/// Arguments of `evergrant provider`.
#[derive(Debug, Args)]
pub struct Provider {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List the providers, those in providers.dir included
    List {
        #[command(flatten)]
        output: Output,
        #[command(flatten)]
        config: ConfigFile,
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
    /// Say whether a catalogue entry is sound, or every mistake in it and where
    Check {
        /// The entry, a TOML file
        file: PathBuf,
    },
}

impl Provider {
    /// Does what was asked.
    pub fn run(self, out: Out<'_>) -> Result<(), Failure> {
        match self.verb {
            Verb::List { output, config } => {
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
                let text = std::fs::read_to_string(&file)
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
