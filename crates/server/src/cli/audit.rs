//! `evergrant audit`.

mod list;
mod verify;

use clap::{Args, Subcommand};

use self::list::List;
use self::verify::Verify;
use super::exit::Failure;
use super::output::Out;

/// Arguments of `evergrant audit`.
#[derive(Debug, Args)]
pub struct Audit {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List who got which token, who changed what, and who was refused
    List(Box<List>),
    /// Find out whether a record was altered or removed
    Verify(Verify),
}

impl Audit {
    /// Does what was asked. Progress goes to `notes`.
    pub async fn run(self, out: Out<'_>, notes: Out<'_>) -> Result<(), Failure> {
        match self.verb {
            Verb::List(list) => list.run(out).await,
            Verb::Verify(verify) => verify.run(out, notes).await,
        }
    }
}
