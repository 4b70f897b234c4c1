//! One call from its arrival to its answer.
//!
//! The work runs in a task of its own: as with a real provider, a request that has arrived is processed to its end,
//! whether or not its client is still there to hear the answer.

use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use http::StatusCode;
use http::header::CONTENT_LENGTH;
use tokio::time::sleep;

use super::answer::Answer;
use super::body::{Trickled, Truncated};
use super::call::Call;
use super::fault::Point;
use super::fault_queue::{Delivery, Effects};
use super::server::hang_up;
use super::state::{Reply, Shared};

/// Takes a call through faults, gates and processing. Dropping the future means that the client has gone, which the
/// ledger notes; the work goes on.
pub(super) async fn exchange(shared: Arc<Shared>, call: Call) -> Response {
    let (sequence, effects) = shared.state().arrive(&call);
    let mut client = Client {
        shared: Arc::clone(&shared),
        sequence,
        present: true,
    };
    let in_flight = InFlight {
        shared: Arc::clone(&shared),
        sequence,
        status: None,
        over: false,
    };
    let shutdown = shared.shutdown.clone();
    let work = carry_out(Arc::clone(&shared), call, effects, in_flight);
    let task = shared
        .tracker
        .spawn(shutdown.run_until_cancelled_owned(work));
    let answer = task.await;
    client.present = false;
    answer.ok().flatten().unwrap_or_else(hang_up)
}

async fn carry_out(
    shared: Arc<Shared>,
    call: Call,
    effects: Effects,
    in_flight: InFlight,
) -> Response {
    hold(&shared, &call, Point::BeforeProcessing, &effects).await;
    let Some(reply) = process(&shared, &call, &effects, in_flight.sequence) else {
        return hang_up();
    };
    hold(&shared, &call, Point::AfterProcessing, &effects).await;
    if effects.drop_after {
        return hang_up();
    }
    let answer = match (&effects.instead_of_answer, reply) {
        (Some(canned), _) => Answer::canned(canned),
        (None, Processed::Replaced(answer)) => answer,
        (None, Processed::Reply(reply)) => {
            let now_ms = shared.state().ledger.now_ms();
            Answer::of(&reply, &call, &effects, now_ms, &shared.base_url)
        }
    };
    deliver(answer, effects.delivery, in_flight)
}

async fn hold(shared: &Shared, call: &Call, point: Point, effects: &Effects) {
    let gates = shared.state().gates_before(call, point);
    for gate in gates {
        gate.pass().await;
    }
    let delay = match point {
        Point::BeforeProcessing => effects.delay_before,
        Point::AfterProcessing => effects.delay_after,
    };
    if !delay.is_zero() {
        sleep(delay).await;
    }
}

enum Processed {
    Reply(Reply),
    Replaced(Answer),
}

/// Processes the call unless a fault takes its place; `None`: the connection is to be closed.
fn process(shared: &Shared, call: &Call, effects: &Effects, sequence: u64) -> Option<Processed> {
    let mut state = shared.state();
    if effects.drop_before {
        state.intercept(sequence, None);
        return None;
    }
    if let Some(canned) = &effects.instead_of_processing {
        state.intercept(sequence, None);
        return Some(Processed::Replaced(Answer::canned(canned)));
    }
    if let Some(refusal) = effects.refusal {
        state.intercept(sequence, Some(refusal));
        return Some(Processed::Reply(Reply::Refused(refusal)));
    }
    Some(Processed::Reply(state.process(call, sequence)))
}

fn deliver(answer: Answer, delivery: Delivery, mut in_flight: InFlight) -> Response {
    in_flight.status = Some(answer.status);
    let length = answer.body.len();
    let body = match delivery {
        Delivery::Whole => {
            in_flight.answered();
            Body::from(answer.body.clone())
        }
        Delivery::Truncated => Body::new(Truncated::new(&answer.body, in_flight)),
        Delivery::Trickled(pause) => {
            Body::new(Trickled::new(answer.body.clone(), pause, in_flight))
        }
    };
    let mut response = answer.into_response(body);
    response.headers_mut().insert(CONTENT_LENGTH, length.into());
    response
}

/// A call between its arrival and its end. Dropped before [`answered`](Self::answered), it ends without a whole
/// answer.
pub(super) struct InFlight {
    shared: Arc<Shared>,
    sequence: u64,
    status: Option<StatusCode>,
    over: bool,
}

impl InFlight {
    /// The last of the answer is on its way. To be called before it is sent: whoever has the whole answer may call
    /// again at once, and that call must come later in the ledger.
    pub(super) fn answered(mut self) {
        self.finish(true);
    }

    fn finish(&mut self, delivered: bool) {
        if !std::mem::replace(&mut self.over, true) {
            let status = self.status.map(|status| status.as_u16());
            self.shared.state().end(self.sequence, status, delivered);
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.finish(false);
    }
}

/// The client's side of the connection: dropped while present, it has gone away.
struct Client {
    shared: Arc<Shared>,
    sequence: u64,
    present: bool,
}

impl Drop for Client {
    fn drop(&mut self) {
        // At shutdown it is the sandbox that goes.
        if self.present && !self.shared.shutdown.is_cancelled() {
            self.shared.state().client_left(self.sequence);
        }
    }
}
