//! The rtnetlink socket, for links, addresses and routes.

use netlink_packet_core::{DecodeError, NetlinkDeserializable, NetlinkMessage};
use netlink_packet_route::RouteNetlinkMessage;
use nl_pipeline::{Outcomes, Protocol};

use super::netlink::Pipeline;
use crate::KernelError;

pub(super) type Request = NetlinkMessage<RouteNetlinkMessage>;

/// A blocking rtnetlink socket.
#[derive(Debug)]
pub(super) struct RouteSocket(Pipeline);

impl RouteSocket {
    pub(super) fn open() -> Result<Self, KernelError> {
        Pipeline::open(Protocol::ROUTE).map(Self).map_err(route_error("open its socket"))
    }

    /// Dumps all objects of a kind. `take` extracts the relevant part of each message as it comes,
    /// since messages are many times as large and there may be thousands. A message that can't be
    /// parsed is passed to it as an error.
    pub(super) fn dump<T>(
        &mut self,
        what: &'static str,
        query: RouteNetlinkMessage,
        take: impl Fn(Result<RouteNetlinkMessage, DecodeError>) -> T,
    ) -> Result<Vec<T>, KernelError> {
        let doing = || format!("list {what}");
        let read =
            |header: &_, payload: &_| take(RouteNetlinkMessage::deserialize(header, payload));
        self.0
            .dump_as(&query.into(), read)
            .map_err(route_error(doing()))?
            .map_err(|source| nl_pipeline::Error::Refused { doing: "list them", source })
            .map_err(route_error(doing()))
    }

    /// Gets one object; the inner error is the kernel's refusal.
    pub(super) fn get(
        &mut self,
        what: &str,
        query: RouteNetlinkMessage,
    ) -> Result<Result<RouteNetlinkMessage, nl_pipeline::KernelError>, KernelError> {
        let malformed =
            |text: String| route_error(format!("read {what}"))(nl_pipeline::Error::Malformed(text));
        match self.0.get(&query.into()).map_err(route_error(format!("read {what}")))? {
            Err(refusal) => Ok(Err(refusal)),
            Ok(entries) => match entries.into_iter().next() {
                Some(Ok(message)) => Ok(Ok(message)),
                Some(Err(error)) => Err(malformed(error.to_string())),
                None => Err(malformed("it is empty".into())),
            },
        }
    }

    /// Sends changes, many at a time, and returns the outcome of each.
    pub(super) fn batch(&mut self, requests: Vec<Request>) -> Result<Outcomes, nl_pipeline::Error> {
        self.0.batch(requests)
    }
}

/// Makes a request with flags such as `NLM_F_CREATE`.
pub(super) fn flagged_request(message: RouteNetlinkMessage, flags: u16) -> Request {
    let mut request = Request::from(message);
    request.header.flags = flags;
    request
}

/// Wraps an error of the socket, with the action that failed.
pub(super) fn route_error(
    doing: impl Into<String>,
) -> impl FnOnce(nl_pipeline::Error) -> KernelError {
    let doing = doing.into();
    move |error| KernelError::Route { doing, error }
}
