//! The HTTP listener to which providers send users back: `GET /oauth/callback`.
//!
//! Who has no callback of their own registers this one as a client's redirect URI. It completes the consent here, and
//! shows a page, or sends the browser on to the `return_url` that the consent began with.

pub(crate) mod arrival;

use axum::Router;
use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::MethodRouter;
use evergrant_proto::v1::ErrorReason;
use http::Request;
use hyper::body::Incoming;
use tokio::net::TcpListener;
use tower::ServiceExt as _;
use url::Url;

use self::arrival::{Arrival, is_prefetch};
use crate::consent::{About, Completed, ConsentError, Consents, Ended};
use crate::grpc::status::reason_name;
use crate::page::Page;
use crate::public_http::{self, Respond, Stop};

/// Where the callback is on its listener.
pub const PATH: &str = "/oauth/callback";

/// Serves until `stop`, without TLS, and ends when every connection has.
pub async fn serve(listener: TcpListener, consents: Consents, stop: Stop) {
    public_http::serve(listener, None, Callback(router(consents)), stop).await;
}

#[derive(Clone)]
struct Callback(Router);

impl Respond for Callback {
    type Body = Body;

    async fn respond(&self, request: Request<Incoming>) -> Response {
        let Ok(response) = self.0.clone().oneshot(request).await;
        response
    }
}

/// `GET` alone: axum would answer `HEAD` with the handler of `GET`, and a program that only looks whether the address
/// is there must not spend the state.
fn router(consents: Consents) -> Router {
    let nothing = async || StatusCode::NO_CONTENT;
    let callback = MethodRouter::new().get(come_back).head(nothing);
    Router::new().route(PATH, callback).with_state(consents)
}

async fn come_back(
    State(consents): State<Consents>,
    headers: HeaderMap,
    query: Result<Query<Arrival>, QueryRejection>,
) -> Response {
    if is_prefetch(&headers) {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    let answer = match query {
        Ok(Query(arrival)) => arrival.answer(),
        Err(_) => Err("the address cannot be read"),
    };
    match answer {
        Ok(answer) => answer_with(consents.complete_here(answer).await),
        Err(why) => Page::not_connected(StatusCode::BAD_REQUEST, why).into_response(),
    }
}

fn answer_with(ended: Ended) -> Response {
    let Ended { about, result } = ended;
    let back = about.as_ref().and_then(|about| {
        let url = about.return_url.as_ref()?;
        Some((about, Url::parse(url).ok()?))
    });
    match back {
        Some((about, url)) => send_on(url, about, &result),
        None => page(&result).into_response(),
    }
}

/// The URL is one of the configuration's, to which two parameters are added, and a third that says why.
fn send_on(mut url: Url, about: &About, result: &Result<Completed, ConsentError>) -> Response {
    let (outcome, reason) = match result {
        Ok(done) if done.created => ("created", None),
        Ok(_) => ("reconnected", None),
        Err(ConsentError::Refused { .. }) => ("refused", Some(ErrorReason::AuthorizationRefused)),
        Err(error) => ("failed", Some(error.reason())),
    };
    let mut query = url.query_pairs_mut();
    query.append_pair("credential_id", about.key.id.as_str());
    query.append_pair("outcome", outcome);
    if let Some(reason) = reason {
        query.append_pair("reason", reason_name(reason));
    }
    drop(query);
    let mut response = StatusCode::SEE_OTHER.into_response();
    let headers = response.headers_mut();
    let location = HeaderValue::from_str(url.as_str()).expect("a URL is visible ASCII");
    headers.insert(header::LOCATION, location);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(
        header::REFERRER_POLICY,
        HeaderValue::from_static("no-referrer"),
    );
    response
}

fn page(result: &Result<Completed, ConsentError>) -> Page {
    match result {
        Ok(_) => Page::connected("Your account"),
        Err(error) => {
            let status = match error {
                ConsentError::Failed { .. } => StatusCode::BAD_GATEWAY,
                ConsentError::Store(_) | ConsentError::NotStored(_) => {
                    StatusCode::SERVICE_UNAVAILABLE
                }
                ConsentError::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
                _ => StatusCode::BAD_REQUEST,
            };
            Page::not_connected(status, &error.for_users())
        }
    }
}

#[cfg(test)]
mod tests;
