//! What every request to a service passes, once: its caller is recognised and held to its rate, it is counted and
//! timed, and what it disclosed, changed or was refused goes on record.

use std::sync::Arc;

use evergrant_proto::v1::ErrorReason;
use tokio::sync::watch;
use tonic::{Request, Response, Status};

use super::call::Call;
use super::caller::{Caller, Callers};
use super::deadline;
use super::meter;
use super::peer::Peer;
use super::record::{Notes, Source};
use super::status::ApiError;
use crate::audit::Audit;
use crate::kill::{Refused, RefusedCallers};

/// The one way into every service. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Gate {
    callers: Callers,
    refused: RefusedCallers,
    audit: Audit,
}

impl Gate {
    /// A gate that lets `callers` in.
    pub fn new(callers: Callers) -> Self {
        Self {
            callers,
            refused: RefusedCallers::default(),
            audit: Audit::default(),
        }
    }

    /// The same gate, noting in `audit` what passes it.
    #[must_use]
    pub fn noting(self, audit: Audit) -> Self {
        Self { audit, ..self }
    }

    /// Who may come in.
    pub fn callers(&self) -> &Callers {
        &self.callers
    }

    /// The same gate, which keeps out who is among `refused`.
    #[must_use]
    pub fn refusing(self, refused: RefusedCallers) -> Self {
        Self { refused, ..self }
    }

    /// Tells when others are locked out than before.
    pub fn lockouts(&self) -> watch::Receiver<Refused> {
        self.refused.changes()
    }

    /// Refuses a caller that is locked out.
    pub fn refuse(&self, caller: &Caller) -> Result<(), ApiError> {
        let refused = caller
            .name()
            .and_then(|name| Some((name, self.refused.find(name)?)));
        match refused {
            None => Ok(()),
            Some((name, kill)) => {
                let why = format!("caller {name} was locked out by kill {kill}");
                Err(ApiError::new(ErrorReason::PermissionDenied, why))
            }
        }
    }

    /// Runs `work` with the request's message, on behalf of its caller, and renders what it answers.
    ///
    /// A request whose caller is unknown never reaches `work`; what a caller may do is for `work` to ask
    /// ([`Call::require`]), which knows the tenant.
    pub async fn serve<Message, Answer, Work>(
        &self,
        method: &'static str,
        request: Request<Message>,
        work: impl FnOnce(Call, Message) -> Work,
    ) -> Result<Response<Answer>, Status>
    where
        Work: Future<Output = Result<Answer, ApiError>>,
    {
        let served = async {
            let call = self.admit(method, &request).await?;
            let pending = call.until_ended();
            let result = work(call.clone(), request.into_inner()).await;
            pending.over();
            call.ended(result).await
        };
        meter::request(method, served).await
    }

    async fn admit<Message>(
        &self,
        method: &'static str,
        request: &Request<Message>,
    ) -> Result<Call, ApiError> {
        let deadline = deadline::of(request.metadata());
        let peer = Peer::of(request.extensions()).map(Arc::clone);
        let notes = Notes::new(self.audit.clone());
        notes.may_begin(method)?;
        let recognised = self.callers.recognise(request.metadata(), peer.as_deref());
        let (caller, refusal) = match recognised.await {
            Ok(caller) => match self.refuse(&caller).and_then(|()| caller.admit()) {
                Ok(()) => return Ok(Call::new(method, caller, peer, deadline, notes)),
                Err(refusal) => (Some(caller), refusal),
            },
            Err(error) => (None, error),
        };
        let source = Source {
            method,
            caller: caller.as_ref(),
            peer: peer.as_deref(),
        };
        notes.ended(source, Err(refusal)).await
    }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::digest;
    use evergrant_core::testing::clock::ManualClock;
    use tonic::Code;

    use super::*;
    use crate::grpc::caller::{CallerRule, Identity, Permission};

    fn gate() -> Gate {
        let digest = digest::digest(&digest::SHA256, b"s3cret");
        let rule = CallerRule {
            name: "billing".into(),
            identity: Identity::Token(digest.as_ref().try_into().unwrap()),
            tenants: None,
            allow: vec![Permission::TokenGet],
            rate: None,
        };
        Gate::new(Callers::new(vec![rule], 1, ManualClock::new()).unwrap())
    }

    #[tokio::test]
    async fn who_is_not_recognised_never_reaches_the_work() {
        let work = async |_call: Call, ()| -> Result<(), ApiError> { panic!("it was reached") };
        let refused = gate().serve("Test", Request::new(()), work).await;
        assert_eq!(refused.unwrap_err().code(), Code::Unauthenticated);
    }

    #[tokio::test]
    async fn the_work_learns_who_asks_from_where_and_until_when() {
        let peer = Peer {
            address: ([192, 0, 2, 1], 4_711).into(),
            certificate: None,
        };
        let mut request = Request::new(7);
        request.extensions_mut().insert(Arc::new(peer.clone()));
        let headers = request.metadata_mut();
        headers.insert("authorization", "Bearer s3cret".parse().unwrap());
        headers.insert("grpc-timeout", "5S".parse().unwrap());
        let work = async |call: Call, message: i32| {
            assert_eq!(call.caller().name(), Some("billing"));
            assert_eq!(call.peer(), Some(&peer));
            assert!(call.deadline().is_some());
            Ok((call.method(), message))
        };
        let served = gate().serve("Test", request, work).await;
        assert_eq!(served.unwrap().into_inner(), ("Test", 7));
    }
}
