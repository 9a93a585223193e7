//! [`nl_pipeline`] with the messages of the netlink-packet crates.

use std::borrow::Cow;

use netlink_packet_core::{
    NetlinkDeserializable, NetlinkHeader, NetlinkMessage, NetlinkPayload, NetlinkSerializable,
};
use nl_pipeline::{Entry, Error, KernelError, Outcomes, Payload, Protocol, Request};

/// The entries of an answer. An entry that can't be parsed doesn't affect the others.
pub(super) type Entries<I> = Vec<Result<I, <I as NetlinkDeserializable>::Error>>;

/// A message as a request.
struct Packet<'a, I: Clone>(Cow<'a, NetlinkMessage<I>>);

impl<I: NetlinkSerializable + Clone> Request for Packet<'_, I> {
    fn message_type(&self) -> u16 {
        match &self.0.payload {
            NetlinkPayload::InnerMessage(message) => message.message_type(),
            _ => self.0.header.message_type,
        }
    }

    fn flags(&self) -> u16 {
        self.0.header.flags
    }

    fn write_payload(&self, payload: &mut Payload<'_>) {
        if let NetlinkPayload::InnerMessage(message) = &self.0.payload {
            payload.write_with(message.buffer_len(), |bytes| message.serialize(bytes));
        }
    }
}

/// A blocking netlink socket that sends requests by the hundred.
#[derive(Debug)]
pub(super) struct Pipeline(nl_pipeline::Pipeline);

impl Pipeline {
    pub(super) fn open(protocol: Protocol) -> Result<Self, Error> {
        nl_pipeline::Pipeline::open(protocol).map(Self)
    }

    /// Sends requests, many at a time, and returns the outcome of each.
    pub(super) fn batch<I: NetlinkSerializable + Clone>(
        &mut self,
        requests: impl IntoIterator<Item = NetlinkMessage<I>>,
    ) -> Result<Outcomes, Error> {
        let requests = requests.into_iter().map(|request| Packet(Cow::Owned(request)));
        Ok(self.0.batch(requests)?)
    }

    /// Sends the requests of an nfnetlink transaction; without `end` it is a rehearsal.
    pub(super) fn transaction<I: NetlinkSerializable + Clone>(
        &mut self,
        begin: NetlinkMessage<I>,
        requests: impl IntoIterator<Item = NetlinkMessage<I>>,
        end: Option<NetlinkMessage<I>>,
    ) -> Result<Result<Outcomes, KernelError>, Error> {
        let packet = |request| Packet(Cow::Owned(request));
        self.0.transaction(packet(begin), requests.into_iter().map(packet), end.map(packet))
    }

    /// Requests one object. The inner error is the kernel's refusal.
    pub(super) fn get<I: NetlinkSerializable + NetlinkDeserializable + Clone>(
        &mut self,
        request: &NetlinkMessage<I>,
    ) -> Result<Result<Entries<I>, KernelError>, Error> {
        self.0.get(&Packet(Cow::Borrowed(request)), |entry| parse_entry(entry, I::deserialize))
    }

    /// Requests all objects. The inner error is the kernel's refusal.
    pub(super) fn dump<I: NetlinkSerializable + NetlinkDeserializable + Clone>(
        &mut self,
        request: &NetlinkMessage<I>,
    ) -> Result<Result<Entries<I>, KernelError>, Error> {
        self.dump_as(request, I::deserialize)
    }

    /// Requests all objects, and passes the header and payload of each entry to `read` as it comes.
    pub(super) fn dump_as<I: NetlinkSerializable + Clone, T>(
        &mut self,
        request: &NetlinkMessage<I>,
        read: impl Fn(&NetlinkHeader, &[u8]) -> T,
    ) -> Result<Result<Vec<T>, KernelError>, Error> {
        self.0.dump(&Packet(Cow::Borrowed(request)), |entry| parse_entry(entry, &read))
    }
}

/// Parses an entry with a parser that looks at the type and the flags of its header.
fn parse_entry<T>(entry: Entry<'_>, read: impl Fn(&NetlinkHeader, &[u8]) -> T) -> T {
    let mut header = NetlinkHeader::default();
    (header.message_type, header.flags) = (entry.message_type, entry.flags);
    read(&header, entry.payload)
}
