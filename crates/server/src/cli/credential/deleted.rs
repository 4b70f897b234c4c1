//! What a deletion came to, as it is printed.

use evergrant_proto::v1::{DeleteCredentialResponse, RevocationOutcome};
use serde::Serialize;

use crate::cli::output::{Printable, Table};
use crate::cli::wire::name_of;

/// As many credentials are named in the table.
const NAMED: usize = 10;

/// A deleted credential, named as in `credential_service.proto`.
#[derive(Serialize)]
pub(super) struct DeletedView {
    credential_id: String,
    revoked_at_provider: bool,
    revocation_outcome: String,
    sharing_credential_ids: Vec<String>,
    #[serde(skip)]
    outcome: RevocationOutcome,
    #[serde(skip)]
    was_to_be_revoked: bool,
}

impl DeletedView {
    /// What became of `credential_id`.
    pub(super) fn new(
        credential_id: String,
        was_to_be_revoked: bool,
        answer: DeleteCredentialResponse,
    ) -> Self {
        let DeleteCredentialResponse {
            revoked_at_provider,
            revocation_outcome,
            sharing_credential_ids,
        } = answer;
        Self {
            credential_id,
            revoked_at_provider,
            revocation_outcome: name_of(revocation_outcome, RevocationOutcome::as_str_name),
            sharing_credential_ids,
            outcome: RevocationOutcome::try_from(revocation_outcome).unwrap_or_default(),
            was_to_be_revoked,
        }
    }

    fn told(&self) -> String {
        match self.outcome {
            RevocationOutcome::Revoked => "yes, the provider accepted the revocation".to_owned(),
            RevocationOutcome::GrantShared => self.told_shared(),
            RevocationOutcome::NotSupported => {
                "no, no way to revoke it at this provider is known: it works there until it ends, or until whoever \
                 connected it removes the application from their account"
                    .to_owned()
            }
            RevocationOutcome::NoToken => {
                "no, and nothing is left at the provider: no token was ever obtained".to_owned()
            }
            RevocationOutcome::NotRequested => {
                "no, the provider was not told; --revoke tells it".to_owned()
            }
            RevocationOutcome::Unspecified => self.told_by_an_older_server().to_owned(),
        }
    }

    fn told_shared(&self) -> String {
        let others = &self.sharing_credential_ids;
        let named = others[..others.len().min(NAMED)].join(", ");
        let more = match others.len().saturating_sub(NAMED) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        match others.len() {
            0 => "no, other credentials use the grant on".to_owned(),
            1 => format!(
                "no, credential {named} uses the grant on: delete that with --revoke too, and the provider is told"
            ),
            many => format!(
                "no, {many} credentials use the grant on: delete them with --revoke too, and with the last the \
                 provider is told: {named}{more}"
            ),
        }
    }

    fn told_by_an_older_server(&self) -> &'static str {
        match (self.was_to_be_revoked, self.revoked_at_provider) {
            (false, _) => "no, the provider was not told; --revoke tells it",
            (true, true) => "yes, the provider accepted the revocation",
            (true, false) => {
                "no, other credentials use the grant, the provider cannot, or nothing was minted; this server does \
                 not say which"
            }
        }
    }
}

impl Printable for DeletedView {
    fn table(&self) -> Table {
        let mut table = Table::default();
        table.field("deleted", &self.credential_id);
        table.field("revoked", self.told());
        table
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn last_line(outcome: RevocationOutcome, others: usize) -> String {
        let answer = DeleteCredentialResponse {
            revoked_at_provider: outcome == RevocationOutcome::Revoked,
            revocation_outcome: outcome.into(),
            sharing_credential_ids: (1..=others).map(|number| format!("c{number}")).collect(),
        };
        let table = DeletedView::new("c".into(), true, answer).table();
        let printed = table.to_string();
        printed.lines().last().unwrap().to_owned()
    }

    #[test]
    fn every_outcome_has_a_line_of_its_own() {
        let mut lines: Vec<_> = (0..=5)
            .map(|number| RevocationOutcome::try_from(number).unwrap())
            .map(|outcome| last_line(outcome, 1))
            .collect();
        assert!(RevocationOutcome::try_from(6).is_err(), "say what it means");
        lines.sort();
        lines.dedup();
        assert_eq!(lines.len(), 6);
    }

    #[test]
    fn who_shares_the_grant_is_named_up_to_ten() {
        let shared = |others| last_line(RevocationOutcome::GrantShared, others);
        assert!(shared(1).contains("credential c1 uses the grant on"));
        assert!(shared(2).ends_with(": c1, c2"), "{}", shared(2));
        assert!(shared(12).ends_with("c9, c10 and 2 more"), "{}", shared(12));
    }
}
