use evergrant_proto::v1::{Credential, CredentialState};
use prost_types::{Duration, Timestamp};

use super::*;

fn at(seconds: i64) -> Option<Timestamp> {
    Some(Timestamp { seconds, nanos: 0 })
}

fn dead() -> ExplanationView {
    ExplainCredentialResponse {
        summary: "dead since then".into(),
        reason: "CREDENTIAL_INVALIDATED".into(),
        handbook: "docs/handbook.md#credential_invalidated".into(),
        credential: Some(Credential {
            credential_id: "slack-7".into(),
            tenant_id: "acme".into(),
            provider: "slack".into(),
            client: "slack-main".into(),
            grant_id: "g".into(),
            state: CredentialState::Invalidated.into(),
            ..Credential::default()
        }),
        sharing: vec!["acme/slack-7".into(), "acme/slack-8".into()],
        generation: 4,
        since: at(30),
        lease: Some(Holder {
            replica: "evergrant-0:7070".into(),
            until: at(40),
        }),
        attempts: vec![
            RefreshAttempt {
                began_at: at(29),
                took: Some(Duration {
                    seconds: 1,
                    nanos: 5_000_000,
                }),
                replica: "evergrant-0:7070".into(),
                cause: RefreshCause::Background.into(),
                outcome: "INVALIDATED".into(),
                calls: 1,
                http_status: 400,
                provider_error: "invalid_grant".into(),
                generation_before: 4,
                ..RefreshAttempt::default()
            },
            RefreshAttempt {
                outcome: "REFRESHED".into(),
                generation_before: 3,
                generation_after: 4,
                ..RefreshAttempt::default()
            },
        ],
        notes: vec!["look\nhere".into()],
        ..ExplainCredentialResponse::default()
    }
    .into()
}

#[test]
fn the_sentence_comes_first_and_each_part_is_aligned_for_itself() {
    assert_eq!(
        dead().table().to_string(),
        "dead since then\n\
         \n\
         reason        credential_invalidated\n\
         handbook      docs/handbook.md#credential_invalidated\n\
         credential    slack-7\n\
         tenant        acme\n\
         provider      slack\n\
         client        slack-main\n\
         state         invalidated\n\
         grant         g\n\
         refreshable   no\n\
         shared by     acme/slack-7, acme/slack-8\n\
         generation    4\n\
         since         1970-01-01T00:00:30Z\n\
         next refresh  none\n\
         lease         evergrant-0:7070, until 1970-01-01T00:00:40Z\n\
         note          look here\n\
         \n\
         ATTEMPT               TOOK     REPLICA           CAUSE       OUTCOME      GENERATION  ANSWER\n\
         1970-01-01T00:00:29Z  1005 ms  evergrant-0:7070  background  invalidated  4           HTTP 400, invalid_grant\n\
         \u{20}                     0 ms                                   refreshed    3 -> 4\n"
    );
}

#[test]
fn json_has_the_names_of_the_proto_files() {
    let json = serde_json::to_value(dead()).unwrap();
    assert_eq!(json["summary"], "dead since then");
    assert_eq!(json["credential"]["grant_id"], "g");
    assert_eq!(json["attempts"][0]["cause"], "REFRESH_CAUSE_BACKGROUND");
    assert_eq!(json["attempts"][1]["generation_after"], 4);
    assert_eq!(json["lock"], serde_json::Value::Null);
}
