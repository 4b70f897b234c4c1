//! The table `[grants.authorization_code.then]`.

use super::calls::usual_request;
use super::request::{Words, request};
use super::response::response;
use super::url;
use crate::catalogue::entry::{
    ClientAuth, Method, RequestFacts, ResponseFacts, ThenFacts, TokenGrantFacts,
};
use crate::catalogue::section::{Report, Section};
use crate::catalogue::template::{Fact, HostPattern};

const THEN: Words = Words {
    methods: &[("POST", Method::Post), ("GET", Method::Get)],
    client_auths: &ClientAuth::OF_TOKEN_CALLS,
};

/// `first` is the request whose answer this one is made of. `None` if there is no URL, which was told.
pub(super) fn then(
    mut table: Section<'_>,
    report: &mut Report<'_>,
    first: &TokenGrantFacts,
    allowed_hosts: &[HostPattern],
    base_request: &RequestFacts,
    base_response: &ResponseFacts,
) -> Option<ThenFacts> {
    if !table.has("url") {
        table.missing(report, "url");
    }
    let url = url(&mut table, report, "url", allowed_hosts);
    let grant_type = table.string(report, "grant_type");
    let request = request(&mut table, report, &usual_request(base_request), &THEN);
    let response = response(&mut table, report, base_response);
    let facts = url.map(|url| ThenFacts {
        url: Fact {
            field: "grants.authorization_code.then.url".to_owned(),
            value: url,
        },
        grant_type: grant_type.map(|text| text.value),
        request,
        response,
    });
    if facts.as_ref().is_some_and(|facts| !takes_up(facts, first)) {
        table.problem(
            report,
            "sends nothing that the first answer gave: a parameter must hold {access_token}",
        );
    }
    table.finish(report);
    facts
}

/// Whether the second request has anything of the first answer.
fn takes_up(facts: &ThenFacts, first: &TokenGrantFacts) -> bool {
    let has_token = facts.request.client_auth == ClientAuth::BearerAccessToken;
    has_token || facts.placeholders().any(|name| first.gives(name))
}
