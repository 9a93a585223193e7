//! Forwarding, beside upstream servers of the tests that lie, keep silent, or are ourselves.

use std::io::Write;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use dns::{Event, Responder, UpstreamSource};
use hickory_proto::op::{Message, MessageType};
use hickory_proto::rr::rdata::A;
use hickory_proto::rr::{Name, RData, Record, RecordType};

use crate::client::{describe, query, responder};
use crate::server::{Running, framed, read_tcp};

/// A query that came to an upstream server, with where it came from.
type Asked = (Message, SocketAddr);

/// An upstream server that sends what `reply` makes of a query, and tells what it was asked.
fn upstream(
    reply: impl Fn(&UdpSocket, &Message, SocketAddr) + Send + 'static,
) -> (SocketAddr, Receiver<Asked>) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let (tell, told) = channel();
    thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok((length, from)) = socket.recv_from(&mut buffer) {
            let asked = Message::from_vec(&buffer[..length]).unwrap();
            reply(&socket, &asked, from);
            if tell.send((asked, from)).is_err() {
                return;
            }
        }
    });
    (address, told)
}

/// Makes the answer to a query.
fn answer_with(asked: &Message, last: u8) -> Message {
    let mut answer = asked.clone();
    answer.metadata.message_type = MessageType::Response;
    let name = asked.queries[0].name().clone();
    answer.add_answer(Record::from_rdata(name, 60, RData::A(A::new(192, 0, 2, last))));
    answer
}

fn send(socket: &UdpSocket, answer: &Message, to: SocketAddr) {
    socket.send_to(&answer.to_vec().unwrap(), to).unwrap();
}

fn forwarding(upstreams: Vec<SocketAddr>) -> Running {
    let responder = Responder { forwards: true, ..responder() };
    Running::start(responder, UpstreamSource::Fixed(upstreams))
}

#[test]
fn other_names_are_asked_of_the_upstream_server_with_an_id_of_our_own() {
    let (address, asked) = upstream(|socket, asked, from| {
        let mut answer = answer_with(asked, 1);
        // Some servers change the case of the name.
        answer.queries[0].set_name(Name::from_ascii("example.com.").unwrap());
        send(socket, &answer, from);
    });
    let server = forwarding(vec![address]);
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..5 {
        let reply = server.ask(&query("Example.COM.", RecordType::A));
        assert_eq!(reply.metadata.id, 0x1234);
        assert_eq!(reply.queries[0].name().to_ascii(), "Example.COM.");
        assert_eq!(describe(&reply), "ok 192.0.2.1 60");
        let (asked, from) = asked.recv().unwrap();
        assert_eq!(asked.queries[0].name().to_ascii(), "Example.COM.");
        seen.insert((asked.metadata.id, from.port()));
    }
    let ids: std::collections::BTreeSet<_> = seen.iter().map(|(id, _)| id).collect();
    let ports: std::collections::BTreeSet<_> = seen.iter().map(|(_, port)| port).collect();
    assert!(ids.len() > 1 && ports.len() > 1, "{seen:?}");
}

#[test]
fn names_of_our_zones_never_leave() {
    let (address, asked) =
        upstream(|socket, asked, from| send(socket, &answer_with(asked, 1), from));
    let server = forwarding(vec![address]);
    for name in ["mysql.marathon.l4lb.thisdcos.directory.", "no.dclb.thisdcos.directory."] {
        server.ask(&query(name, RecordType::A));
    }
    server.ask(&query("last.example.", RecordType::A));
    let (first, _) = asked.recv().unwrap();
    assert_eq!(first.queries[0].name().to_ascii(), "last.example.");
}

#[test]
fn only_the_answer_of_the_server_to_this_question_is_believed() {
    let (address, _asked) = upstream(|socket, asked, from| {
        let mut other_id = answer_with(asked, 66);
        other_id.metadata.id = asked.metadata.id.wrapping_add(1);
        send(socket, &other_id, from);
        let mut other_name = answer_with(asked, 66);
        other_name.queries[0].set_name(Name::from_ascii("evil.example.").unwrap());
        send(socket, &other_name, from);
        let mut other_type = answer_with(asked, 66);
        other_type.queries[0].set_query_type(RecordType::AAAA);
        send(socket, &other_type, from);
        send(socket, asked, from);
        socket.send_to(b"garbage", from).unwrap();
        // The right answer, of another server.
        let spoofer = UdpSocket::bind("127.0.0.1:0").unwrap();
        spoofer.send_to(&answer_with(asked, 66).to_vec().unwrap(), from).unwrap();
        send(socket, &answer_with(asked, 1), from);
    });
    let server = forwarding(vec![address]);
    let reply = server.ask(&query("example.com.", RecordType::A));
    assert_eq!(describe(&reply), "ok 192.0.2.1 60");
}

#[test]
fn a_silent_server_is_followed_by_the_second_which_is_then_preferred() {
    let (silent, silent_asked) = upstream(|_, _, _| {});
    let (good, _asked) = upstream(|socket, asked, from| send(socket, &answer_with(asked, 2), from));
    let server = forwarding(vec![silent, good]);
    for _ in 0..3 {
        let reply = server.ask(&query("example.com.", RecordType::A));
        assert_eq!(describe(&reply), "ok 192.0.2.2 60");
    }
    assert_eq!(silent_asked.try_iter().count(), 1);
    assert_eq!(server.responder.counters.read_count(Event::UpstreamFailed), 1);
}

#[test]
fn a_server_that_refuses_is_followed_by_the_second() {
    let refuse = |socket: &UdpSocket, asked: &Message, from: SocketAddr| {
        let mut answer = asked.clone();
        answer.metadata.message_type = MessageType::Response;
        answer.metadata.response_code = hickory_proto::op::ResponseCode::Refused;
        send(socket, &answer, from);
    };
    let (refusing, _refused) = upstream(refuse);
    let (good, _asked) = upstream(|socket, asked, from| send(socket, &answer_with(asked, 2), from));
    let server = forwarding(vec![refusing, good]);
    let question = query("example.com.", RecordType::A);
    assert_eq!(describe(&server.ask(&question)), "ok 192.0.2.2 60");
    // If none knows better, that is passed on.
    let alone = forwarding(vec![refusing]);
    assert_eq!(describe(&alone.ask(&question)), "Refused");
}

#[test]
fn a_query_that_is_under_way_is_answered_before_the_end() {
    let (address, asked) = upstream(|socket, asked, from| {
        thread::sleep(std::time::Duration::from_millis(300));
        send(socket, &answer_with(asked, 3), from);
    });
    let server = forwarding(vec![address]);
    let client = server.udp_client();
    client.send(&query("example.com.", RecordType::A).to_vec().unwrap()).unwrap();
    // Long enough for the query to have left.
    thread::sleep(std::time::Duration::from_millis(100));
    drop(server);
    assert_eq!(describe(&crate::server::receive(&client)), "ok 192.0.2.3 60");
    drop(asked);
}

#[test]
fn without_an_upstream_server_or_with_ourselves_other_names_fail() {
    let nobody = forwarding(Vec::new());
    assert_eq!(describe(&nobody.ask(&query("example.com.", RecordType::A))), "ServFail");
    // Our own names answer all the same.
    let ours = query("mysql.marathon.l4lb.thisdcos.directory.", RecordType::A);
    assert_eq!(describe(&nobody.ask(&ours)), "ok aa 11.0.0.3 5");
    // A server that nobody runs: the port is closed.
    let refused = forwarding(vec![([127, 0, 0, 1], 1).into()]);
    assert_eq!(describe(&refused.ask(&query("example.com.", RecordType::A))), "ServFail");
}

#[test]
fn a_flood_of_queries_that_nobody_answers_leaves_our_names_alone() {
    let (silent, _asked) = upstream(|_, _, _| {});
    let server = forwarding(vec![silent]);
    let flood = server.udp_client();
    let other = query("example.com.", RecordType::A).to_vec().unwrap();
    let ours = query("mysql.marathon.l4lb.thisdcos.directory.", RecordType::A);
    // No more at a time than the socket's buffer holds: what is lost there is no fault.
    for _ in 0..caps::FORWARDED_QUERIES * 3 / 32 {
        for _ in 0..32 {
            flood.send(&other).unwrap();
        }
        assert_eq!(describe(&server.ask(&ours)), "ok aa 11.0.0.3 5");
    }
    // Those beyond the cap fail at once.
    let reply = server.ask(&query("example.org.", RecordType::A));
    assert_eq!(describe(&reply), "ServFail");
}

#[test]
fn what_is_truncated_stays_so_and_is_asked_again_over_tcp() {
    let (address, _asked) = upstream(|socket, asked, from| {
        let mut answer = answer_with(asked, 1);
        answer.answers.clear();
        answer.metadata.truncation = true;
        send(socket, &answer, from);
    });
    let listener = TcpListener::bind(address).unwrap();
    thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            let asked = read_tcp(&mut stream);
            stream.write_all(&framed(&answer_with(&asked, 3))).unwrap();
        }
    });
    let server = forwarding(vec![address]);
    let asked = query("Example.com.", RecordType::A);
    assert_eq!(describe(&server.ask(&asked)), "ok tc");
    let mut stream = server.tcp_client();
    stream.write_all(&framed(&asked)).unwrap();
    let reply = read_tcp(&mut stream);
    assert_eq!(describe(&reply), "ok 192.0.2.3 60");
    assert_eq!(reply.metadata.id, 0x1234);
    assert_eq!(reply.queries[0].name().to_ascii(), "Example.com.");
}
