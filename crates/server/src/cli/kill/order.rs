//! What is to be killed, and whether it is meant.

use std::io::{self, BufRead, IsTerminal as _};
use std::time::Duration;

use clap::Args;
use evergrant_core::clock::Clock;
use evergrant_proto::v1::kill_target::What;
use evergrant_proto::v1::{KillTarget, PreviewKillRequest, StartKillRequest};

use super::preview::Preview;
use super::{Client, view};
use crate::cli::connection::parse_duration;
use crate::cli::exit::Failure;
use crate::cli::output::{Out, Output, Printable as _};

#[derive(Debug, Args)]
pub(super) struct Order {
    /// All credentials of this tenant
    #[arg(long, group = "target", value_name = "TENANT")]
    tenant: Option<String>,
    /// All credentials of this provider, in every tenant
    #[arg(long, group = "target", value_name = "PROVIDER")]
    provider: Option<String>,
    /// All credentials of this OAuth client, in every tenant
    #[arg(long, group = "target", value_name = "CLIENT")]
    client: Option<String>,
    /// This caller: it is locked out, and all credentials of which it was given a token are killed
    #[arg(long, group = "target", value_name = "NAME")]
    caller: Option<String>,
    /// With --caller: only credentials of which it was given a token within this time
    #[arg(
        long,
        requires = "caller",
        // What is required of an option is not, once another one rules it out.
        conflicts_with_all = ["tenant", "provider", "client"],
        value_parser = parse_duration,
        value_name = "DURATION"
    )]
    since: Option<Duration>,
    /// Why, for people: every watcher is told, and everyone who asks for a token
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Change nothing: count what would be taken, and name some of it
    #[arg(long)]
    dry_run: bool,
    /// Have the providers revoke the grants, where they can; the default
    #[arg(long, conflicts_with = "no_revoke")]
    revoke: bool,
    /// Leave the grants at the providers as they are
    #[arg(long)]
    no_revoke: bool,
    /// Do not ask
    #[arg(long, short = 'y')]
    yes: bool,
}

impl Order {
    /// Refuses what is wrong with the arguments, before anybody is asked.
    pub(super) fn check(&self, clock: &dyn Clock) -> Result<(), Failure> {
        self.target(clock)?;
        self.why()?;
        if self.is_asked() && !io::stdin().is_terminal() {
            let why = "standard input is no terminal to ask on; say --yes if it is meant";
            return Err(Failure::Usage(why.into()));
        }
        Ok(())
    }

    /// Counts or begins. `Some` is the kill that was begun.
    pub(super) async fn run(
        self,
        client: &mut Client,
        clock: &dyn Clock,
        output: Output,
        out: Out<'_>,
        notes: Out<'_>,
    ) -> Result<Option<String>, Failure> {
        let (target, name) = self.target(clock)?;
        let reason = self.why()?;
        let is_asked = self.is_asked();
        if self.dry_run || is_asked {
            let request = PreviewKillRequest {
                target: Some(target.clone()),
            };
            let preview = client.preview_kill(request).await?.into_inner();
            let preview = Preview::from(preview);
            if self.dry_run {
                output.print(out, &preview)?;
                return Ok(None);
            }
            write!(notes, "{}", preview.table())?;
            ask(&name, &mut io::stdin().lock(), notes)?;
        }
        let request = StartKillRequest {
            target: Some(target),
            reason,
            revoke_at_provider: !self.no_revoke,
        };
        let begun = client.start_kill(request).await?.into_inner();
        Ok(Some(view(begun.kill)?.kill_id))
    }

    fn why(&self) -> Result<String, Failure> {
        match &self.reason {
            _ if self.dry_run => Ok(String::new()),
            Some(reason) if !reason.trim().is_empty() => Ok(reason.clone()),
            _ => Err(Failure::Usage("say why with --reason TEXT".into())),
        }
    }

    fn is_asked(&self) -> bool {
        !self.dry_run && !self.yes
    }

    fn target(&self, clock: &dyn Clock) -> Result<(KillTarget, String), Failure> {
        let Self {
            tenant,
            provider,
            client,
            caller,
            since,
            ..
        } = self;
        let what = [
            tenant.clone().map(What::TenantId),
            provider.clone().map(What::Provider),
            client.clone().map(What::Client),
            caller.clone().map(What::Caller),
        ];
        let what = what.into_iter().flatten().next().ok_or_else(|| {
            Failure::Usage("name --tenant, --provider, --client or --caller".into())
        })?;
        let since = since.map(|since| {
            let since = clock.now().minus(since).as_millis();
            prost_types::Timestamp {
                seconds: since.div_euclid(1_000),
                nanos: 0,
            }
        });
        let (What::TenantId(name) | What::Provider(name) | What::Client(name) | What::Caller(name)) =
            &what;
        let name = name.clone();
        let what = Some(what);
        Ok((KillTarget { what, since }, name))
    }
}

/// Goes on only if somebody types the name.
fn ask(name: &str, terminal: &mut impl BufRead, notes: Out<'_>) -> Result<(), Failure> {
    write!(notes, "This cannot be undone. Type {name} to go on: ")?;
    notes.flush()?;
    let mut typed = String::new();
    terminal.read_line(&mut typed)?;
    match typed.trim() == name {
        true => Ok(()),
        false => Err(Failure::Other("not confirmed; nothing was done".into())),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use evergrant_core::testing::clock::ManualClock;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        order: Order,
    }

    fn order(words: &[&str]) -> Order {
        let line = [&["kill"], words].concat();
        Line::try_parse_from(line).expect("it parses").order
    }

    #[test]
    fn since_is_reckoned_back_from_now() {
        let clock = ManualClock::new();
        let words = ["--caller", "billing", "--since", "24h"];
        let (target, name) = order(&words).target(&*clock).unwrap();
        assert_eq!(target.what, Some(What::Caller("billing".into())));
        assert_eq!(name, "billing");
        let day = 24 * 3_600;
        let since = target.since.unwrap();
        assert_eq!(since.seconds, clock.now().as_millis() / 1_000 - day);
        let words = ["--caller", "billing"];
        assert_eq!(order(&words).target(&*clock).unwrap().0.since, None);
        let alone = ["kill", "--tenant", "acme", "--since", "24h"];
        assert!(Line::try_parse_from(alone).is_err(), "it is for callers");
    }

    #[test]
    fn only_the_name_itself_is_a_word_of_consent() {
        for (typed, is_meant) in [
            ("slack\n", true),
            (" slack \r\n", true),
            ("slack", true),
            ("y\n", false),
            ("yes\nslack\n", false),
            ("Slack\n", false),
            ("\n", false),
            ("", false),
        ] {
            let mut notes = Vec::new();
            let asked = ask("slack", &mut typed.as_bytes(), &mut notes);
            assert_eq!(asked.is_ok(), is_meant, "{typed:?}");
            let question = String::from_utf8(notes).unwrap();
            assert!(question.contains("Type slack to go on"), "{question}");
        }
    }
}
