//! A request as it was sent: its parameters, wherever they stand.

use std::collections::BTreeMap;

use axum::body::to_bytes;
use axum::extract::Request;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, Method};

use crate::catalogue::BodyFormat;
use crate::sandbox::call::{MAX_BODY_BYTES, text_header};

pub(super) type Parameters = BTreeMap<String, String>;

/// A request, read and not yet judged. It holds secrets and so has no `Debug`.
pub(super) struct Sent {
    pub(super) method: Method,
    pub(super) headers: HeaderMap,
    query: Parameters,
    /// How the body is written, and what it holds; `None` if there is none.
    body: Option<(BodyFormat, Parameters)>,
    unreadable: Option<&'static str>,
}

impl Sent {
    pub(super) async fn read(request: Request) -> Self {
        let (head, body) = request.into_parts();
        let mut unreadable = None;
        let mut note = |read: Result<Parameters, &'static str>| {
            read.unwrap_or_else(|why| {
                unreadable = Some(why);
                Parameters::new()
            })
        };
        let query = note(form(head.uri.query().unwrap_or_default().as_bytes()));
        let body = match to_bytes(body, MAX_BODY_BYTES).await {
            Ok(bytes) if bytes.is_empty() => None,
            Ok(bytes) => {
                let content_type = text_header(&head.headers, CONTENT_TYPE.as_str());
                let content_type = content_type.unwrap_or_default();
                match content_type.split(';').next().unwrap_or_default().trim() {
                    "application/json" => {
                        let why = "the body must be a JSON object of strings";
                        let read = serde_json::from_slice(&bytes).map_err(|_| why);
                        Some((BodyFormat::Json, note(read)))
                    }
                    "application/x-www-form-urlencoded" => {
                        Some((BodyFormat::Form, note(form(&bytes))))
                    }
                    _ => {
                        note(Err("the content type is neither that of forms nor of JSON"));
                        None
                    }
                }
            }
            Err(_) => {
                note(Err("the body is too large or broke off"));
                None
            }
        };
        Self {
            method: head.method,
            headers: head.headers,
            query,
            body,
            unreadable,
        }
    }

    /// All parameters, wherever they stand.
    pub(super) fn anywhere(&self) -> impl Iterator<Item = (&String, &String)> {
        let of_body = self.body.iter().flat_map(|(_, parameters)| parameters);
        self.query.iter().chain(of_body)
    }

    /// The parameters, which have to stand where `format` says.
    pub(super) fn parameters(&self, format: BodyFormat) -> Result<Parameters, &'static str> {
        if let Some(why) = self.unreadable {
            return Err(why);
        }
        match (format, &self.body) {
            (BodyFormat::Query, None) => Ok(self.query.clone()),
            (BodyFormat::Query, Some(_)) => Err("the parameters must stand in the query alone"),
            (_, _) if !self.query.is_empty() => Err("the parameters must stand in the body alone"),
            (_, None) => Ok(Parameters::new()),
            (wanted, Some((format, parameters))) if format == &wanted => Ok(parameters.clone()),
            (BodyFormat::Form, _) => Err("the body must be a form"),
            (BodyFormat::Json, _) => Err("the body must be JSON"),
        }
    }

    /// What follows `scheme` in the `Authorization` header.
    pub(super) fn authorization(&self, scheme: &str) -> Option<&str> {
        let value = text_header(&self.headers, AUTHORIZATION.as_str())?;
        let (found, credentials) = value.split_once(' ')?;
        found.eq_ignore_ascii_case(scheme).then_some(credentials)
    }
}

/// RFC 6749 section 3.2: no parameter twice.
fn form(bytes: &[u8]) -> Result<Parameters, &'static str> {
    let pairs: Vec<(String, String)> =
        serde_urlencoded::from_bytes(bytes).map_err(|_| "the parameters are no form")?;
    let mut parameters = Parameters::new();
    for (name, value) in pairs {
        if parameters.insert(name, value).is_some() {
            return Err("a parameter came twice");
        }
    }
    Ok(parameters)
}
