//! The memory of answers that clients haven't taken yet: one that is slow holds its answer for as long
//! as its connection lives.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::Response;
use hyper::body::{Frame, SizeHint};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::answer::answer_problem;

/// The bytes that one permit stands for.
const UNIT: usize = 1 << 10;

/// The room for answers that aren't taken yet, shared by all connections.
#[derive(Debug, Clone)]
pub(super) struct UntakenAnswers(Arc<Semaphore>);

impl Default for UntakenAnswers {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(caps::UNTAKEN_ANSWERS / UNIT)))
    }
}

/// Refuses an answer that there is no room for. One that is longer than all the room gets all of it.
pub(super) async fn limit_answers(
    State(UntakenAnswers(room)): State<UntakenAnswers>,
    request: Request,
    next: Next,
) -> Response {
    let response = next.run(request).await;
    let length = response.body().size_hint().lower();
    let units = usize::try_from(length).unwrap_or(usize::MAX).min(caps::UNTAKEN_ANSWERS) / UNIT;
    let units = u32::try_from(units).unwrap_or(u32::MAX);
    match room.try_acquire_many_owned(units) {
        Ok(permit) => {
            response.map(|body| Body::new(HeldBody { body, has_begun: false, _permit: permit }))
        }
        Err(_) => {
            let why = "other clients haven't taken their answers yet: try again";
            answer_problem(StatusCode::SERVICE_UNAVAILABLE, why)
        }
    }
}

/// A body that holds its room until it is sent or dropped.
struct HeldBody {
    body: Body,
    has_begun: bool,
    _permit: OwnedSemaphorePermit,
}

impl HttpBody for HeldBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        self.has_begun = true;
        Pin::new(&mut self.body).poll_frame(context)
    }

    /// Says that more may come once a frame was taken: hyper drops a body that has ended while its
    /// bytes still wait for the client.
    fn is_end_stream(&self) -> bool {
        !self.has_begun && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;
    use axum::Router;
    use axum::middleware::from_fn_with_state;
    use axum::routing::get;
    use hyper::service::Service;
    use hyper_util::service::TowerToHyperService;

    #[tokio::test]
    async fn answers_that_nobody_takes_leave_no_room_for_more_and_small_ones_go_on() {
        let large = vec![b'x'; caps::UNTAKEN_ANSWERS / 2];
        let routes = Router::new()
            .route("/large", get(move || async move { large.clone() }))
            .route("/small", get(|| async { "alive" }));
        let layer = from_fn_with_state(UntakenAnswers::default(), limit_answers);
        let service = TowerToHyperService::new(routes.layer(layer));
        let ask = async |path: &str| {
            let request = hyper::Request::builder().uri(path).body(Body::empty()).unwrap();
            service.call(request).await.unwrap()
        };
        let (first, second) = (ask("/large").await, ask("/large").await);
        assert!(first.status().is_success() && second.status().is_success());
        assert_eq!(ask("/large").await.status(), 503);
        assert_eq!(ask("/small").await.status(), 200);
        // Its bytes were taken from it, and wait for the client.
        let mut first = first.into_body();
        let frame = poll_fn(|context| Pin::new(&mut first).poll_frame(context)).await;
        assert!(frame.is_some() && !first.is_end_stream());
        assert_eq!(ask("/large").await.status(), 503);
        drop(first);
        assert_eq!(ask("/large").await.status(), 200);
    }
}
