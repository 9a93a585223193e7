//! Asks a name server for the addresses of a name. It waits, so it is for commands.

use std::collections::BTreeSet;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use domain::base::Message;
use domain::base::iana::{Class, Rcode, Rtype};
use domain::rdata::{A, Aaaa};
use rustix::rand::{GetRandomFlags, getrandom};

use crate::domain_name::DomainName;
use crate::query::{HEADER, answers_question};

/// The number of times that a query is sent over UDP: a datagram may get lost.
const TRIES: u32 = 2;

/// The longest answer that is read: about a thousand addresses.
const MAX_ANSWER: usize = 16 << 10;

/// The flags of a query: recursion desired. RFC 1035 section 4.1.1.
const QUERY_FLAGS: u16 = 1 << 8;

/// The reason why there are no addresses.
#[derive(Debug, thiserror::Error)]
pub enum LookUpError {
    /// The server says that the name doesn't exist (NXDOMAIN).
    #[error("the name doesn't exist there")]
    Missing,
    /// The server answers with another code than NOERROR.
    #[error("it answers with {0}")]
    Failed(Rcode),
    /// The answer is cut off, or is no DNS message.
    #[error("its answer can't be read")]
    Malformed,
    /// The answer is longer than is read.
    #[error("its answer is longer than {} KiB", MAX_ANSWER >> 10)]
    Long,
    /// No answer in time.
    #[error("it doesn't answer")]
    Silent,
    /// The server can't be reached.
    #[error("it can't be asked: {0}")]
    Io(#[from] io::Error),
}

/// Asks `server` for the IPv4 and IPv6 addresses of a name, for at most `patience`. A name without
/// addresses has none.
///
/// An answer counts if it comes from the server and has the query's id and question. What it says of
/// other names is ignored, aliases (CNAME) included.
///
/// # Errors
/// When the server doesn't answer for one of the two families.
pub fn look_up(
    name: &DomainName,
    server: SocketAddr,
    patience: Duration,
) -> Result<BTreeSet<IpAddr>, LookUpError> {
    let deadline = Instant::now() + patience;
    let mut addresses = BTreeSet::new();
    for rtype in [Rtype::A, Rtype::AAAA] {
        let question = [
            name.as_wire(),
            &[0],
            &rtype.to_int().to_be_bytes(),
            &Class::IN.to_int().to_be_bytes(),
        ]
        .concat();
        let answer = ask_server(server, &question, deadline)?;
        match add_addresses(&answer, &mut addresses) {
            // Some servers say so of a name that has no address of this family.
            Err(LookUpError::Missing) if !addresses.is_empty() => {}
            added => added?,
        }
    }
    Ok(addresses)
}

/// Adds the addresses that an answer gives the name that was asked for.
fn add_addresses(answer: &[u8], addresses: &mut BTreeSet<IpAddr>) -> Result<(), LookUpError> {
    let malformed = |_| LookUpError::Malformed;
    let message = Message::from_slice(answer).map_err(|_| LookUpError::Malformed)?;
    match message.header().rcode() {
        Rcode::NOERROR => {}
        Rcode::NXDOMAIN => return Err(LookUpError::Missing),
        rcode => return Err(LookUpError::Failed(rcode)),
    }
    let asked = message.sole_question().map_err(malformed)?;
    for record in message.answer().map_err(malformed)? {
        let record = record.map_err(malformed)?;
        if record.owner() != *asked.qname() || record.class() != Class::IN {
            continue;
        }
        if let Some(a) = record.to_record::<A>().map_err(malformed)? {
            addresses.insert(a.data().addr().into());
        } else if let Some(aaaa) = record.to_record::<Aaaa>().map_err(malformed)? {
            addresses.insert(aaaa.data().addr().into());
        }
    }
    Ok(())
}

/// Asks a question over UDP, and over TCP if the answer doesn't fit there.
fn ask_server(
    server: SocketAddr,
    question: &[u8],
    deadline: Instant,
) -> Result<Vec<u8>, LookUpError> {
    let mut id = [0; 2];
    getrandom(&mut id[..], GetRandomFlags::empty()).map_err(io::Error::from)?;
    let mut query = id.to_vec();
    query.extend(QUERY_FLAGS.to_be_bytes());
    query.extend([0, 1, 0, 0, 0, 0, 0, 0]);
    query.extend(question);
    let answer = ask_over_udp(server, &query, deadline)?;
    match Message::from_slice(&answer).is_ok_and(|message| message.header().tc()) {
        true => ask_over_tcp(server, &query, deadline),
        false => Ok(answer),
    }
}

fn ask_over_udp(
    server: SocketAddr,
    query: &[u8],
    deadline: Instant,
) -> Result<Vec<u8>, LookUpError> {
    let any: IpAddr = match server {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    // The kernel chooses a random port, and drops what anybody but the server sends to it.
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect(server)?;
    let mut answer = vec![0; MAX_ANSWER + 1];
    for left in (1..=TRIES).rev() {
        let until = Instant::now() + time_left(deadline)? / left;
        socket.send(query)?;
        while let Ok(patience) = time_left(until) {
            socket.set_read_timeout(Some(patience))?;
            let length = match socket.recv(&mut answer) {
                Ok(length) => length,
                Err(error) if is_timeout(&error) => break,
                Err(error) => return Err(error.into()),
            };
            if length > MAX_ANSWER {
                return Err(LookUpError::Long);
            }
            if answers_question(&answer[..length], query, &query[HEADER..]) {
                answer.truncate(length);
                return Ok(answer);
            }
        }
    }
    Err(LookUpError::Silent)
}

fn ask_over_tcp(
    server: SocketAddr,
    query: &[u8],
    deadline: Instant,
) -> Result<Vec<u8>, LookUpError> {
    let in_time = |error: io::Error| match is_timeout(&error) {
        true => LookUpError::Silent,
        false => error.into(),
    };
    let mut stream = TcpStream::connect_timeout(&server, time_left(deadline)?).map_err(in_time)?;
    stream.set_write_timeout(Some(time_left(deadline)?))?;
    let length = u16::try_from(query.len()).map_err(io::Error::other)?;
    stream.write_all(&[&length.to_be_bytes(), query].concat()).map_err(in_time)?;
    let mut length = [0; 2];
    read_exact(&mut stream, &mut length, deadline)?;
    let length = usize::from(u16::from_be_bytes(length));
    if length > MAX_ANSWER {
        return Err(LookUpError::Long);
    }
    let mut answer = vec![0; length];
    read_exact(&mut stream, &mut answer, deadline)?;
    match answers_question(&answer, query, &query[HEADER..]) {
        true => Ok(answer),
        false => Err(LookUpError::Malformed),
    }
}

/// Reads until the buffer is full. A server that sends a byte now and then gains no time by that.
fn read_exact(
    stream: &mut TcpStream,
    mut buffer: &mut [u8],
    deadline: Instant,
) -> Result<(), LookUpError> {
    while !buffer.is_empty() {
        stream.set_read_timeout(Some(time_left(deadline)?))?;
        match stream.read(buffer) {
            Ok(0) => return Err(LookUpError::Malformed),
            Ok(length) => buffer = &mut buffer[length..],
            Err(error) if is_timeout(&error) => return Err(LookUpError::Silent),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Returns the time until a deadline, which is never 0: sockets take that for no limit.
fn time_left(deadline: Instant) -> Result<Duration, LookUpError> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left < Duration::from_millis(1) { Err(LookUpError::Silent) } else { Ok(left) }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}
