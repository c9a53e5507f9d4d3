//! The requests of one client: taken up, in the order of their lanes, and run here or on other servers.

use std::future::Future;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::StreamExt;
use shaddock_engine::Call;
use shaddock_engine::types::Failure;
use shaddock_wire::WireError;
use shaddock_wire::connection::{Incoming, IncomingKind};
use tokio::time::Instant;

use super::{Client, Connection, Freed};
use crate::first_poll::{Spare, Started};
use crate::rate_limit::Verdict;
use crate::server::{ClientRequest, Handled};

thread_local! {
    static SPARE: Spare<Freed> = const { Spare::new() };
}

impl Connection {
    /// A message of the client, which asks for a handler.
    pub(super) fn message(&mut self, cx: &mut Context<'_>, incoming: Incoming) {
        let id = incoming.kind.id().unwrap_or(0);
        if self.rate_limit.is_some() && self.is_limited(id, &incoming.route) {
            return;
        }
        // Before the look-up: what changes in between only makes for another one.
        let serial = self.server.current.serial();
        let Some(client) = &self.client else { return };
        match self.server.route_for(&client.session, &incoming.route) {
            Err(failure) => self.refuse_request(id, &incoming.route, &failure),
            Ok((route, track)) => {
                let (lane, body) = (route.lane, incoming.body);
                self.enter(cx, ClientRequest { id, route, lane, serial, track, body });
            }
        }
    }

    /// What cannot even be understood is answered with 500, where pomelo says nothing for ever.
    pub(super) fn bad_message(&mut self, kind: IncomingKind, route: Option<&str>, error: &WireError) {
        if self.is_limited(kind.id().unwrap_or(0), route.unwrap_or_default()) {
            return;
        }
        let failure = Failure::new(500, error.to_string());
        self.refuse_request(kind.id().unwrap_or(0), route.unwrap_or_default(), &failure);
    }

    /// Whether a request is one too many; if so it is answered with 429.
    fn is_limited(&mut self, id: u32, route: &str) -> bool {
        let now = *self.now.get_or_insert_with(Instant::now);
        let verdict = self.rate_limit.as_mut().map_or(Verdict::Admitted, |limit| limit.judge(now));
        if verdict == Verdict::Admitted {
            return false;
        }
        self.server.metrics.requests_limited.inc();
        self.refuse_request(id, route, &Failure::new(429, "the session sends too many requests"));
        let Some(Client { session, .. }) = self.client.as_deref() else { return true };
        if verdict == Verdict::FirstRefused
            && let Some(left_out) = self.server.failures.admit()
        {
            let session = session.number();
            tracing::warn!(
                session,
                route,
                left_out,
                "a client sends more requests than its limit; they are refused"
            );
        }
        if verdict == Verdict::LastRefused {
            session.kick("rate limit");
        }
        true
    }

    fn refuse_request(&self, id: u32, route: &str, failure: &Failure) {
        if let Some(client) = &self.client {
            self.server.answer(&client.session, id, route, Err(failure));
        }
    }

    /// Runs a request now if its lane is free, else later.
    fn enter(&mut self, cx: &mut Context<'_>, request: ClientRequest) {
        let received = self.last_seen;
        let Some(lane) = request.lane else {
            self.start(cx, request, received);
            return;
        };
        if let Some(first) = self.lanes.enter(lane, request)
            && self.start(cx, first, received)
        {
            self.free(cx, Some(lane));
        }
    }

    /// A lane is free: its next requests run, until one takes longer than a poll or none is left.
    fn free(&mut self, cx: &mut Context<'_>, lane: Freed) {
        let Some(lane) = lane else { return };
        while let Some(next) = self.lanes.leave(lane) {
            if !self.start(cx, next, Instant::now()) {
                return;
            }
        }
    }

    /// Starts a request; whether it has ended already, as most that are handled here do in their first poll.
    fn start(&mut self, cx: &mut Context<'_>, mut request: ClientRequest, received: Instant) -> bool {
        let Some(client) = &self.client else { return true };
        let serial = self.server.current.serial();
        if request.serial != serial {
            // It has waited while another version of a plugin took over.
            match self.server.route_for(&client.session, &request.route.name) {
                Ok((route, track)) => request = ClientRequest { route, serial, track, ..request },
                Err(failure) => {
                    self.refuse_request(request.id, &request.route.name, &failure);
                    return true;
                }
            }
        }
        if self.is_filtered {
            let client = Arc::clone(client);
            let run = Box::pin(async move {
                client.server.serve_filtered(&client.session, &request, received).await;
                request.lane
            });
            return self.begin(cx, run);
        }
        if !self.server.is_own(&request.route) {
            self.forwarded += 1;
            self.server.forward(&client.session, request, received);
            return false;
        }
        let client = Arc::clone(client);
        let run = async move {
            client.handle(&request, received).await;
            request.lane
        };
        self.begin(cx, run)
    }

    fn begin(&mut self, cx: &mut Context<'_>, run: impl Future<Output = Freed> + Send + 'static) -> bool {
        match SPARE.with(|spare| spare.start(run, cx)) {
            Started::Done(_) => true,
            Started::Running(running) => {
                self.running.push(running);
                false
            }
        }
    }

    /// Takes note of requests that have ended and runs those that waited for them; whether there were any.
    pub(super) fn poll_requests(&mut self, cx: &mut Context<'_>) -> bool {
        let ended = self.outbound.take_ended();
        let mut any = !ended.is_empty();
        self.forwarded -= ended.len();
        for lane in ended {
            self.free(cx, lane);
        }
        while !self.running.is_empty()
            && let Poll::Ready(Some(lane)) = self.running.poll_next_unpin(cx)
        {
            any = true;
            self.free(cx, lane);
        }
        any
    }

    /// Requests that run.
    pub(super) fn under_way(&self) -> usize {
        self.running.len() + self.forwarded
    }
}

impl Client {
    /// Runs a request in a plugin of this server. `received` is when it was taken up: the clock is read once for a
    /// burst of requests.
    async fn handle(&self, request: &ClientRequest, received: Instant) {
        let Self { server, session } = self;
        let call = Call { track: request.track, ..Call::new(server.request_deadline(received)) };
        let Handled { by, answer } =
            server.handle(&request.route, &request.body, session.snapshot(), call, received).await;
        server.finish(session, request, received, by, answer.as_deref());
    }
}
