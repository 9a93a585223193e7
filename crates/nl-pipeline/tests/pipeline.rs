//! The pipeline against this machine's kernel: the controller of generic netlink and rtnetlink
//! are everywhere and need no privilege to be read.

use nl_pipeline::{Entry, Pipeline, Protocol, RawRequest, SocketOptions, errno};

const GENL_ID_CTRL: u16 = 0x10;
const CTRL_CMD_NEWFAMILY: u8 = 1;
const CTRL_CMD_GETFAMILY: u8 = 3;
const RTM_GETLINK: u16 = 18;
const RTM_NEWLINK: u16 = 16;

fn message(kind: u16, bytes: &[u8]) -> RawRequest {
    RawRequest::new(kind, bytes.to_vec())
}

/// The type and the first byte of an entry.
fn beginning(entry: Entry<'_>) -> (u16, u8) {
    (entry.message_type, entry.payload[0])
}

/// Asks the controller for a family with a name of up to 7 bytes.
fn family(name: &str) -> RawRequest {
    let mut bytes = vec![CTRL_CMD_GETFAMILY, 1, 0, 0, 12, 0, 2, 0];
    bytes.extend(name.as_bytes());
    bytes.resize(16, 0);
    message(GENL_ID_CTRL, &bytes)
}

#[test]
fn each_request_of_a_batch_of_many_sends_gets_its_own_outcome() {
    let mut pipeline = Pipeline::open(Protocol::GENERIC).unwrap();
    let there = |position: usize| position % 100 == 0;
    let requests = (0..300).map(|n| family(if there(n) { "nlctrl" } else { "absent" }));
    let outcomes = pipeline.batch(requests).unwrap();
    assert_eq!(outcomes.len(), 300);
    for (position, outcome) in outcomes.into_iter().enumerate() {
        let expected = if there(position) { None } else { Some(errno::ENOENT) };
        assert_eq!(outcome.err().map(|e| e.errno()), expected, "request {position}");
    }
}

#[test]
fn no_family_has_a_name_of_which_the_kernel_would_read_a_part() {
    let mut pipeline = Pipeline::open(Protocol::GENERIC).unwrap();
    assert_eq!(pipeline.find_family("nlctrl").unwrap(), Some(GENL_ID_CTRL));
    for name in ["nlctrl\0", "nlctrl\0x", "", "a-name-of-16-byte", &"n".repeat(70_000)] {
        assert_eq!(pipeline.find_family(name).unwrap(), None, "{name:?}");
    }
}

#[test]
fn a_batch_of_nothing_is_done_without_the_kernel() {
    let mut pipeline = Pipeline::open(Protocol::GENERIC).unwrap();
    assert_eq!(pipeline.batch(Vec::<RawRequest>::new()).unwrap(), []);
}

#[test]
fn answers_of_an_earlier_exchange_are_not_taken_for_those_of_a_later_one() {
    let mut pipeline = Pipeline::open(Protocol::GENERIC).unwrap();
    for _ in 0..3 {
        // Its data is nobody's here, and must not reach the request behind it.
        assert_eq!(pipeline.batch([family("nlctrl"), family("absent")]).unwrap()[0], Ok(()));
        let refusal = pipeline.get(&family("absent"), beginning).unwrap().unwrap_err();
        assert_eq!(refusal.errno(), errno::ENOENT);
        let entries = pipeline.get(&family("nlctrl"), beginning).unwrap().unwrap();
        assert_eq!(entries.len(), 1);
        assert_eq!(entries[0].1, CTRL_CMD_NEWFAMILY);
    }
}

#[test]
fn dumps_of_any_netlink_protocol_are_read_to_their_end_one_after_the_other() {
    let mut generic = Pipeline::open(Protocol::GENERIC).unwrap();
    let all = message(GENL_ID_CTRL, &[CTRL_CMD_GETFAMILY, 1, 0, 0]);
    let first = generic.dump(&all, beginning).unwrap().unwrap();
    assert!(first.len() > 1, "{first:?}");
    assert_eq!(generic.dump(&all, beginning).unwrap().unwrap().len(), first.len());

    let mut route = Pipeline::open(Protocol::ROUTE).unwrap();
    let links = route.dump(&message(RTM_GETLINK, &[0; 16]), beginning).unwrap().unwrap();
    assert!(!links.is_empty());
    assert!(links.iter().all(|(kind, _)| *kind == RTM_NEWLINK));
}

#[test]
fn a_command_that_a_family_does_not_have_is_refused_not_waited_for() {
    let mut pipeline = Pipeline::open(Protocol::GENERIC).unwrap();
    let refusal =
        pipeline.get(&message(GENL_ID_CTRL, &[200, 1, 0, 0]), beginning).unwrap().unwrap_err();
    assert_eq!(refusal.errno(), errno::EOPNOTSUPP);
    let refusal =
        pipeline.dump(&message(GENL_ID_CTRL, &[200, 1, 0, 0]), beginning).unwrap().unwrap_err();
    assert_eq!(refusal.errno(), errno::EOPNOTSUPP);
}

#[test]
fn the_number_of_a_family_is_found_by_its_name() {
    let mut pipeline = Pipeline::open(Protocol::GENERIC).unwrap();
    assert_eq!(pipeline.find_family("nlctrl").unwrap(), Some(GENL_ID_CTRL));
    assert_eq!(pipeline.find_family("absent").unwrap(), None);
}

#[test]
fn a_socket_can_be_in_a_namespace_by_its_file() {
    let here = SocketOptions::new().namespace("/proc/thread-self/ns/net");
    match here.open(Protocol::GENERIC) {
        Ok(mut pipeline) => {
            assert_eq!(pipeline.find_family("nlctrl").unwrap(), Some(GENL_ID_CTRL));
        }
        // Entering even one's own needs CAP_SYS_ADMIN.
        Err(error) => assert!(error.to_string().contains("enter the network namespace"), "{error}"),
    }
    let nowhere = SocketOptions::new().namespace("/nonexistent").open(Protocol::GENERIC);
    let error = nowhere.unwrap_err().to_string();
    assert_eq!(error, "cannot find the network namespace of the netlink socket");
}
