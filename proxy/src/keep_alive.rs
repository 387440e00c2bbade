//! Signs of life for clients that wait for a stream of events while their API comes up from zero:
//! the head of an answer, then comments, and after them the model's own events.
//!
//! The price: status and headers are gone by then. What the model answers but a stream of events, and
//! why there is no answer, is told in an event, and nothing follows it.

use crate::account::Unanswered;
use crate::body::{Events, ProxyBody, RelayError};
use crate::clock;
use crate::fields::Fields;
use crate::h2_head::is_grpc;
use crate::message::{RequestParts, Response};
use crate::policy::member;
use crate::request_body::RequestBody;
use crate::respond::{self, Manner};
use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_ENCODING, CONTENT_TYPE};
use http::{Method, StatusCode};
use http_body::{Body, Frame};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::{Sleep, sleep};

/// A line that every reader of a stream of events passes over.
const COMMENT: &[u8] = b": waiting\n\n";
const EVENT_STREAM: &[u8] = b"text/event-stream";

/// What brings the answer.
pub type Work = Pin<Box<dyn Future<Output = Result<Response<ProxyBody>, Unanswered>> + Send>>;

/// Comments until there is an answer, and then what it says.
struct Signs {
    state: State,
    /// What is told next.
    said: Option<Bytes>,
    manner: Manner,
    period: Duration,
    timer: Pin<Box<Sleep>>,
}

enum State {
    /// Until there is an answer.
    Waiting(Work),
    /// The model's events.
    Following(ProxyBody),
    Ended,
}

/// Whether a request asks for a stream of events that may begin before the model's answer does: by
/// its `accept`, or as OpenAI's API has it. Its body must be here: nothing can be said of it later.
pub fn is_wanted(parts: &RequestParts, body: &RequestBody) -> bool {
    let accepted = || {
        let lines = parts.headers.get_all(ACCEPT);
        lines.flat_map(|line| line.split(|byte| *byte == b',')).any(is_event_stream)
    };
    parts.method != Method::HEAD
        && parts.upgrade.is_none()
        // Whatever else it says: no reader of such calls knows what to make of events.
        && !is_grpc(&parts.headers)
        && body.copy().is_some()
        && (accepted() || member::asks_for_stream(body.ahead()))
}

/// Awaits the answer. From `period` on the client is sent a sign of life in each.
///
/// # Errors
/// With the reason for which there is no answer, if it was found before.
pub async fn answer(
    mut work: Work,
    period: Duration,
    manner: Manner,
) -> Result<Response<ProxyBody>, Unanswered> {
    tokio::select! {
        biased;
        answer = &mut work => return answer,
        () = sleep(period) => {}
    }
    // The first comment goes with the head: some readers show no head without a body.
    let timer = Box::pin(sleep(Duration::ZERO));
    let signs = Signs { state: State::Waiting(work), said: None, manner, period, timer };
    Ok(respond::events(ProxyBody::Events(Box::pin(signs))))
}

// === impl Signs ===

impl Signs {
    /// The answer is here, or will never be: it is followed, or something said of it.
    fn follow(&mut self, answer: Result<Response<ProxyBody>, Unanswered>) {
        self.state = State::Ended;
        self.said = match answer {
            Ok(response) => {
                let (parts, body) = response.into_parts();
                if parts.status == StatusCode::OK && has_plain_events(&parts.headers) {
                    self.state = State::Following(body);
                    return;
                }
                body.give_up();
                Some(self.manner.other_answer(parts.status))
            }
            Err(Unanswered(unanswered)) => {
                let (account, refusal) = *unanswered;
                account.close(Some(refusal.reason), clock::now());
                Some(self.manner.event(refusal))
            }
        };
    }
}

impl Events for Signs {
    /// The wait goes on for who can't be told of it.
    fn poll_over(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let signs = self.get_mut();
        if let State::Waiting(work) = &mut signs.state {
            let answer = ready!(work.as_mut().poll(cx));
            signs.follow(answer);
        }
        match &mut signs.state {
            State::Following(body) => body.poll_over(cx),
            State::Waiting(_) | State::Ended => Poll::Pending,
        }
    }
}

impl Body for Signs {
    type Data = Bytes;
    type Error = RelayError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, RelayError>>> {
        let signs = self.get_mut();
        loop {
            if let Some(said) = signs.said.take() {
                return Poll::Ready(Some(Ok(Frame::data(said))));
            }
            match &mut signs.state {
                State::Ended => return Poll::Ready(None),
                State::Following(body) => return Pin::new(body).poll_frame(cx),
                State::Waiting(work) => match work.as_mut().poll(cx) {
                    Poll::Ready(answer) => signs.follow(answer),
                    Poll::Pending => {
                        ready!(signs.timer.as_mut().poll(cx));
                        signs.timer.as_mut().reset((clock::now() + signs.period).into());
                        signs.said = Some(Bytes::from_static(COMMENT));
                    }
                },
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.state {
            State::Waiting(_) => false,
            State::Following(body) => body.is_end_stream(),
            State::Ended => self.said.is_none(),
        }
    }
}

/// Whether an answer's body can follow what was sent already.
fn has_plain_events(headers: &Fields) -> bool {
    let is_plain = |encoding: &[u8]| encoding.eq_ignore_ascii_case(b"identity");
    headers.get(CONTENT_TYPE).is_some_and(is_event_stream)
        && headers.get(CONTENT_ENCODING).is_none_or(is_plain)
}

fn is_event_stream(media: &[u8]) -> bool {
    let name = media.split(|byte| *byte == b';').next().unwrap_or_default();
    name.trim_ascii().eq_ignore_ascii_case(EVENT_STREAM)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(request: http::request::Builder, body: &'static str) -> bool {
        let (parts, ()) = request.body(()).unwrap().into_parts();
        is_wanted(&parts.into(), &RequestBody::Whole(Some(Bytes::from_static(body.as_bytes()))))
    }

    #[test]
    fn who_asks_for_events_is_known_by_head_or_body() {
        use http::Request;
        let accepts = |what: &str| Request::get("/").header("accept", what);
        assert!(wanted(accepts("text/event-stream"), ""));
        assert!(wanted(accepts("application/json, Text/Event-Stream;q=0.9"), ""));
        assert!(!wanted(accepts("text/html, */*"), ""));
        assert!(wanted(Request::post("/v1/chat/completions"), r#"{"stream":true}"#));
        assert!(!wanted(Request::post("/v1/chat/completions"), r#"{"stream":false}"#));
        assert!(!wanted(
            accepts("text/event-stream").header("content-type", "application/grpc"),
            ""
        ));
        assert!(!wanted(Request::head("/").header("accept", "text/event-stream"), ""));
    }

    /// What becomes of a wait that ends while its client takes nothing.
    fn untold(status: StatusCode) -> Pin<Box<Signs>> {
        let mut answer = Response::new(ProxyBody::Text(Some(Bytes::from_static(b"data: 1\n\n"))));
        *answer.status_mut() = status;
        answer.headers_mut().insert(CONTENT_TYPE, "text/event-stream");
        let mut answer = Some(answer);
        let work = std::future::poll_fn(move |_| {
            answer.take().map_or(Poll::Pending, |answer| Poll::Ready(Ok(answer)))
        });
        let (period, timer) = (Duration::from_secs(3600), Box::pin(sleep(Duration::ZERO)));
        let state = State::Waiting(Box::pin(work));
        let mut signs = Box::pin(Signs { state, said: None, manner: Manner::Plain, period, timer });
        let mut cx = Context::from_waker(std::task::Waker::noop());
        assert!(signs.as_mut().poll_over(&mut cx).is_pending());
        signs
    }

    #[tokio::test]
    async fn a_wait_goes_on_while_its_client_takes_nothing() {
        let mut cx = Context::from_waker(std::task::Waker::noop());
        for (status, follows, next) in [
            (StatusCode::OK, true, "data: 1\n\n"),
            (StatusCode::BAD_GATEWAY, false, "event: error"),
        ] {
            let mut signs = untold(status);
            assert_eq!(matches!(signs.state, State::Following(_)), follows);
            assert!(!signs.is_end_stream());
            let Poll::Ready(Some(Ok(frame))) = signs.as_mut().poll_frame(&mut cx) else {
                panic!("nothing is said of {status}");
            };
            assert!(
                frame.into_data().is_ok_and(|said| said.starts_with(next.as_bytes())),
                "{status}"
            );
            assert!(signs.is_end_stream());
        }
    }

    #[test]
    fn only_plain_events_can_follow() {
        for (lines, follows) in [
            (&[("content-type", "text/event-stream; charset=utf-8")][..], true),
            (&[("content-type", "text/event-stream"), ("content-encoding", "identity")], true),
            (&[("content-type", "text/event-stream"), ("content-encoding", "gzip")], false),
            (&[("content-type", "application/json")], false),
            (&[], false),
        ] {
            assert_eq!(has_plain_events(&lines.iter().copied().collect()), follows, "{lines:?}");
        }
    }
}
