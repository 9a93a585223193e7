//! The client, beside servers of the tests that lie or keep silent, and beside ourselves.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

use dns::{DomainName, LookUpError, UpstreamSource, look_up};
use hickory_proto::op::{Message, MessageType, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, CNAME};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use proptest::prelude::*;

use crate::answers::crowded;
use crate::client::{addresses, responder};
use crate::server::Running;

const NAME: &str = "both.marathon.l4lb.thisdcos.directory";

fn ask(server: SocketAddr, patience: u64) -> Result<BTreeSet<IpAddr>, LookUpError> {
    look_up(&DomainName::parse(NAME).unwrap(), server, Duration::from_millis(patience))
}

/// A server that sends these messages for a query over UDP.
fn server(reply: impl Fn(&Message) -> Vec<Vec<u8>> + Send + 'static) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    serve(&socket, reply);
    socket.local_addr().unwrap()
}

fn serve(socket: &UdpSocket, reply: impl Fn(&Message) -> Vec<Vec<u8>> + Send + 'static) {
    let socket = socket.try_clone().unwrap();
    thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok((length, from)) = socket.recv_from(&mut buffer) {
            for answer in reply(&Message::from_vec(&buffer[..length]).unwrap()) {
                let _ = socket.send_to(&answer, from);
            }
        }
    });
}

/// A server that sends this over UDP for every query, and does `tcp` with connections.
fn server_with_tcp(
    reply: impl Fn(&Message) -> Vec<Vec<u8>> + Send + 'static,
    tcp: impl Fn(TcpStream) + Send + 'static,
) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    serve(&UdpSocket::bind(address).unwrap(), reply);
    thread::spawn(move || listener.incoming().flatten().for_each(&tcp));
    address
}

/// Makes the answer to a query, with these addresses of its family.
fn answer(asked: &Message, texts: &[&str]) -> Message {
    let mut answer = asked.clone();
    answer.metadata.message_type = MessageType::Response;
    let name = asked.queries[0].name().clone();
    for address in addresses::<Vec<_>>(texts) {
        let data = match (address, asked.queries[0].query_type()) {
            (IpAddr::V4(v4), RecordType::A) => RData::A(A(v4)),
            (IpAddr::V6(v6), RecordType::AAAA) => RData::AAAA(AAAA(v6)),
            _ => continue,
        };
        answer.add_answer(Record::from_rdata(name.clone(), 5, data));
    }
    answer
}

fn bytes(message: &Message) -> Vec<u8> {
    message.to_vec().unwrap()
}

#[test]
fn both_families_are_asked_for_of_our_own_server() {
    let running = Running::start(responder(), UpstreamSource::Fixed(Vec::new()));
    let ask = |name: &str| {
        let name = DomainName::parse(&format!("{name}.l4lb.thisdcos.directory")).unwrap();
        look_up(&name, running.address, Duration::from_secs(5))
    };
    assert_eq!(ask("both.marathon").unwrap(), addresses(&["11.0.0.1", "fd01:c::1"]));
    assert_eq!(ask("mysql.marathon").unwrap(), addresses(&["11.0.0.3"]));
    assert_eq!(ask("marathon").unwrap(), BTreeSet::new());
    assert!(matches!(ask("none.marathon"), Err(LookUpError::Missing)));
    assert_eq!(ask("out.marathon").unwrap_err().to_string(), "it answers with SERVFAIL");
}

#[test]
fn two_hundred_tasks_are_found_over_tcp() {
    let running = Running::start(crowded(), UpstreamSource::Fixed(Vec::new()));
    let name = DomainName::parse("many.agentip.dcos.thisdcos.directory").unwrap();
    let found = look_up(&name, running.address, Duration::from_secs(30)).unwrap();
    assert_eq!(found.len(), 200);
}

#[test]
fn a_name_without_a_family_may_be_called_missing_there() {
    let address = server(|asked| {
        let mut answer = answer(asked, &["192.0.2.1"]);
        if answer.answers.is_empty() {
            answer.metadata.response_code = ResponseCode::NXDomain;
        }
        vec![bytes(&answer)]
    });
    assert_eq!(ask(address, 5000).unwrap(), addresses(&["192.0.2.1"]));
}

#[test]
fn only_the_answer_of_the_server_to_this_question_is_believed() {
    let address = server(|asked| {
        let wrong = answer(asked, &["192.0.2.66", "2001:db8::66"]);
        let mut other_id = wrong.clone();
        other_id.metadata.id = asked.metadata.id.wrapping_add(1);
        let mut other_name = wrong.clone();
        other_name.queries[0].set_name(Name::from_ascii("evil.example.").unwrap());
        let mut other_type = wrong.clone();
        other_type.queries[0].set_query_type(RecordType::TXT);
        let mut right = answer(asked, &["192.0.2.1", "2001:db8::1"]);
        // What is said of other names is not asked for.
        let evil = Name::from_ascii("evil.example.").unwrap();
        right.add_answer(Record::from_rdata(evil.clone(), 5, RData::A(A::new(192, 0, 2, 66))));
        let asked_name = asked.queries[0].name().clone();
        right.add_answer(Record::from_rdata(asked_name, 5, RData::CNAME(CNAME(evil))));
        let mut messages: Vec<_> = [other_id, other_name, other_type].iter().map(bytes).collect();
        messages.extend([bytes(asked), b"garbage".to_vec(), Vec::new(), bytes(&right)]);
        messages
    });
    assert_eq!(ask(address, 5000).unwrap(), addresses(&["192.0.2.1", "2001:db8::1"]));
}

#[test]
fn a_lost_query_is_sent_again_and_a_silent_server_is_left() {
    let lost = std::sync::atomic::AtomicBool::new(false);
    let address =
        server(move |asked| match lost.swap(true, std::sync::atomic::Ordering::Relaxed) {
            false => Vec::new(),
            true => vec![bytes(&answer(asked, &["192.0.2.1"]))],
        });
    assert_eq!(ask(address, 2000).unwrap(), addresses(&["192.0.2.1"]));

    let start = Instant::now();
    assert!(matches!(ask(server(|_| Vec::new()), 200), Err(LookUpError::Silent)));
    // Nor does one that talks without end.
    let talks = server(|_| vec![b"garbage".to_vec(); 50]);
    assert!(matches!(ask(talks, 200), Err(LookUpError::Silent)));
    assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
    let closed = ([127, 0, 0, 1], 1).into();
    assert!(matches!(ask(closed, 5000), Err(LookUpError::Io(_))));
}

#[test]
fn a_truncated_answer_is_read_over_tcp_in_bounded_time_and_size() {
    let truncate = |asked: &Message| {
        let mut answer = answer(asked, &[]);
        answer.metadata.truncation = true;
        vec![bytes(&answer)]
    };
    let framed =
        |message: &[u8]| [&u16::try_from(message.len()).unwrap().to_be_bytes(), message].concat();
    let read_query = |stream: &mut TcpStream| {
        let mut length = [0; 2];
        stream.read_exact(&mut length).ok()?;
        let mut query = vec![0; usize::from(u16::from_be_bytes(length))];
        stream.read_exact(&mut query).ok()?;
        Message::from_vec(&query).ok()
    };
    let whole = server_with_tcp(truncate, move |mut stream| {
        let asked = read_query(&mut stream).unwrap();
        let _ = stream.write_all(&framed(&bytes(&answer(&asked, &["192.0.2.1", "::2"]))));
    });
    assert_eq!(ask(whole, 5000).unwrap(), addresses(&["192.0.2.1", "::2"]));

    let long = server_with_tcp(truncate, |mut stream| {
        let _ = stream.write_all(&[0xff, 0xff]);
        thread::sleep(Duration::from_secs(5));
    });
    assert!(matches!(ask(long, 5000), Err(LookUpError::Long)));

    let cut = server_with_tcp(truncate, |mut stream| drop(stream.write_all(&[0, 40, 1, 2])));
    assert!(matches!(ask(cut, 5000), Err(LookUpError::Malformed | LookUpError::Io(_))));

    let slow = server_with_tcp(truncate, |mut stream| {
        let _ = stream.write_all(&[0, 200]);
        while stream.write_all(&[1]).is_ok() {
            thread::sleep(Duration::from_millis(20));
        }
    });
    let start = Instant::now();
    assert!(matches!(ask(slow, 300), Err(LookUpError::Silent)));
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
}

#[test]
fn an_answer_that_fails_says_so() {
    let fails = server(|asked| {
        let mut answer = answer(asked, &[]);
        answer.metadata.response_code = ResponseCode::Refused;
        vec![bytes(&answer)]
    });
    assert_eq!(ask(fails, 5000).unwrap_err().to_string(), "it answers with REFUSED");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Whatever follows the question, it is an answer or an error, and soon.
    #[test]
    fn garbage_after_the_question_is_no_panic(
        flags in any::<u8>(), counts in any::<[u8; 6]>(), rest in prop::collection::vec(any::<u8>(), 0..200)
    ) {
        let address = server(move |asked| {
            let mut message = bytes(asked);
            (message[2], message[3]) = (0x80, flags & 0xf);
            message[6..12].copy_from_slice(&counts);
            message.extend(&rest);
            vec![message]
        });
        let found = ask(address, 2000);
        prop_assert!(!matches!(found, Err(LookUpError::Silent)), "{found:?}");
    }
}
