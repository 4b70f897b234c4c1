//! `evergrant kill`: the emergency stop.

mod order;
mod preview;
mod progress;
mod view;

use clap::{Args, Subcommand};
use evergrant_core::clock::Clock;
use evergrant_proto::v1::kill_service_client::KillServiceClient;
use evergrant_proto::v1::{
    GetKillRequest, Kill as Wire, LiftKillRequest, ListKillsRequest, ResumeKillRequest,
};

use self::order::Order;
use self::view::{KillList, KillView, Lifted};
use super::connection::{Server, Service};
use super::exit::Failure;
use super::output::{Out, Output};

/// Arguments of `evergrant kill`.
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "\
It invalidates first, so that no replica hands out a token any more, and then has the providers revoke what they can.
It is written down before it begins and goes on without this command: stop it, and `evergrant kill watch` shows the rest.

Examples:
  evergrant kill --provider slack --dry-run
  evergrant kill --provider slack --reason 'client secret leaked'
  evergrant kill --tenant acme --reason 'contract ended' --no-revoke --yes
  evergrant kill --caller billing --since 24h --reason 'its host was taken over'
  evergrant kill list --locked-out
  evergrant kill lift billing"
)]
pub struct Kill {
    #[command(subcommand)]
    verb: Option<Verb>,
    #[command(flatten)]
    order: Order,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    server: Server,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List kills, the latest first
    List {
        /// Only those that lock a caller out: who is locked out, since when, and why
        #[arg(long)]
        locked_out: bool,
    },
    /// Show a kill as it stands
    Show {
        /// The kill
        kill: String,
    },
    /// Follow a kill until it is finished
    Watch {
        /// The kill
        kill: String,
    },
    /// Try again the revocations that a kill gave up, and follow it
    Resume {
        /// The kill
        kill: String,
    },
    /// Let a caller in again that was locked out
    Lift {
        /// The caller
        caller: String,
    },
}

type Client = KillServiceClient<Service>;

impl Kill {
    /// Does what was asked.
    pub async fn run(self, clock: &dyn Clock, out: Out<'_>, notes: Out<'_>) -> Result<(), Failure> {
        let Self {
            verb,
            order,
            output,
            server,
        } = self;
        if verb.is_none() {
            order.check(clock)?;
        }
        let mut client = Client::new(server.connect().await?);
        let watching = async || Ok(Client::new(server.connect_for_stream().await?));
        let kill = match verb {
            None => {
                let Some(kill) = order.run(&mut client, clock, output, out, notes).await? else {
                    return Ok(());
                };
                kill
            }
            Some(Verb::List { locked_out }) => {
                return Ok(output.print(out, &list(&mut client, locked_out).await?)?);
            }
            Some(Verb::Show { kill }) => {
                let answer = client.get_kill(GetKillRequest { kill_id: kill }).await?;
                return Ok(output.print(out, &view(answer.into_inner().kill)?)?);
            }
            Some(Verb::Lift { caller }) => {
                let request = LiftKillRequest {
                    caller: caller.clone(),
                };
                let lifted = client.lift_kill(request).await?.into_inner().lifted;
                if lifted == 0 {
                    return Err(Failure::Other(format!(
                        "caller {caller} is not locked out; who is, shows: evergrant kill list --locked-out"
                    )));
                }
                return Ok(output.print(out, &Lifted { caller, lifted })?);
            }
            Some(Verb::Watch { kill }) => kill,
            Some(Verb::Resume { kill }) => {
                let request = ResumeKillRequest {
                    kill_id: kill.clone(),
                };
                client.resume_kill(request).await?;
                kill
            }
        };
        let finished = progress::follow(watching, &kill, notes).await?;
        output.print(out, &finished)?;
        finished.judge()
    }
}

fn view(kill: Option<Wire>) -> Result<KillView, Failure> {
    let none = || Failure::Other("the server's answer holds no kill".into());
    kill.map(Into::into).ok_or_else(none)
}

async fn list(client: &mut Client, locking_out: bool) -> Result<KillList, Failure> {
    let mut kills = Vec::new();
    let mut request = ListKillsRequest {
        locking_out,
        ..ListKillsRequest::default()
    };
    loop {
        let page = client.list_kills(request.clone()).await?.into_inner();
        kills.extend(page.kills.into_iter().map(KillView::from));
        if page.next_page_token.is_empty() {
            return Ok(KillList { kills });
        }
        request.page_token = page.next_page_token;
    }
}
