//! The table `[grants.authorization_code.then]`.

use super::calls::usual_request;
use super::request::{Words, request};
use super::response::response;
use super::url;
use crate::catalogue::entry::{ClientAuth, Method, RequestFacts, ResponseFacts, ThenFacts};
use crate::catalogue::section::{Report, Section};
use crate::catalogue::template::{Fact, HostPattern};

const THEN: Words = Words {
    methods: &[("POST", Method::Post), ("GET", Method::Get)],
    client_auths: &ClientAuth::OF_TOKEN_CALLS,
};

/// `None` if there is no URL, which was told.
pub(super) fn then(
    mut table: Section<'_>,
    report: &mut Report<'_>,
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
    table.finish(report);
    Some(ThenFacts {
        url: Fact {
            field: "grants.authorization_code.then.url".to_owned(),
            value: url?,
        },
        grant_type: grant_type.map(|text| text.value),
        request,
        response,
    })
}
