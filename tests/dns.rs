//! The name server as a program, with sockets that it inherits as from systemd.
#![allow(clippy::unwrap_used, reason = "a test that cannot run its tools should stop")]

use std::net::{TcpListener, UdpSocket};
use std::os::fd::{AsFd, AsRawFd};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::io::{FdFlags, fcntl_setfd};

/// Asks for the address of `lo.marathon.l4lb.thisdcos.directory`.
const QUESTION: &[u8] = b"\x01\0\0\x01\0\0\0\0\0\0\x02lo\x08marathon\x04l4lb\x08thisdcos\
    \x09directory\0\0\x01\0\x01";

/// Sockets that outlive the name server.
struct Sockets {
    udp: UdpSocket,
    tcp: TcpListener,
}

impl Sockets {
    fn open() -> Self {
        loop {
            let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
            let Ok(tcp) = TcpListener::bind(udp.local_addr().unwrap()) else { continue };
            for socket in [udp.as_fd(), tcp.as_fd()] {
                fcntl_setfd(socket, FdFlags::empty()).unwrap();
            }
            return Self { udp, tcp };
        }
    }

    fn start_server(&self, zone_file: &Path) -> Server {
        self.start_with(zone_file, &[], Stdio::null())
    }

    /// Starts the name server with the sockets in the places where systemd puts them.
    fn start_with(&self, zone_file: &Path, options: &[&str], log: Stdio) -> Server {
        let (udp, tcp) = (self.udp.as_raw_fd(), self.tcp.as_raw_fd());
        let script =
            format!("exec 3<&{udp} 4<&{tcp}; LISTEN_PID=$$ LISTEN_FDS=2 exec \"$0\" \"$@\"");
        let mut command = Command::new("bash");
        command.args(["-c", &script, env!("CARGO_BIN_EXE_vipd"), "dns", "--zone-file"]);
        Server(command.arg(zone_file).args(options).stderr(log).spawn().unwrap())
    }
}

/// A name server that ends with the test.
struct Server(Child);

impl Server {
    /// Stops it as systemd does.
    fn stop(mut self) {
        let pid = self.0.id().to_string();
        assert!(Command::new("kill").arg(&pid).status().unwrap().success());
        assert!(self.0.wait().unwrap().success());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn no_query_is_lost_when_the_name_server_restarts() {
    let folder = tempfile::tempdir().unwrap();
    let zone_file = folder.path().join("zone");
    let text = "vipd-zone 1\nzone l4lb.thisdcos.directory\nname lo.marathon 127.0.0.1\nend 1\n";
    std::fs::write(&zone_file, text).unwrap();
    let sockets = Sockets::open();
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.connect(sockets.udp.local_addr().unwrap()).unwrap();
    client.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let asking = client.try_clone().unwrap();
    let queries = 400_u16;
    let asked = std::thread::spawn(move || {
        for id in 0..queries {
            asking.send(&[&id.to_be_bytes(), QUESTION].concat()).unwrap();
            std::thread::sleep(Duration::from_millis(5));
        }
    });
    // Answers are taken at once: the client's socket doesn't hold all of them.
    let answered = std::thread::spawn(move || {
        let mut answered = std::collections::BTreeSet::new();
        let mut reply = [0; 512];
        while answered.len() < usize::from(queries)
            && let Ok(length) = client.recv(&mut reply)
        {
            let id = u16::from_be_bytes([reply[0], reply[1]]);
            assert_eq!(reply[3] & 0xf, 0, "query {id} failed");
            assert_eq!(reply[length - 4..length], [127, 0, 0, 1]);
            assert!(answered.insert(id), "query {id} was answered twice");
        }
        answered.len()
    });
    for _ in 0..4 {
        let server = sockets.start_server(&zone_file);
        std::thread::sleep(Duration::from_millis(300));
        server.stop();
    }
    let last = sockets.start_server(&zone_file);
    asked.join().unwrap();
    assert_eq!(answered.join().unwrap(), usize::from(queries));
    last.stop();
}

/// The log is lost, and nothing else.
#[test]
fn the_name_server_goes_on_where_its_log_cannot_be_written() {
    let folder = tempfile::tempdir().unwrap();
    let zone_file = folder.path().join("zone");
    std::fs::write(&zone_file, "vipd-zone 1\nzone l4lb.thisdcos.directory\nend 0\n").unwrap();
    for format in ["text", "json"] {
        let sockets = Sockets::open();
        let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        let options = ["--log", "trace", "--log-format", format];
        let mut server = sockets.start_with(&zone_file, &options, full.into());
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        client.connect(sockets.udp.local_addr().unwrap()).unwrap();
        client.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        client.send(&[&[0, 1], QUESTION].concat()).unwrap();
        while client.recv(&mut [0; 512]).is_err() {
            assert_eq!(server.0.try_wait().unwrap(), None, "{format}");
        }
        server.stop();
    }
}

#[test]
fn an_address_that_stands_for_all_is_refused_with_what_to_do() {
    let output = Command::new(env!("CARGO_BIN_EXE_vipd"))
        .args(["dns", "--listen", "0.0.0.0:5399"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("stands for all addresses of this node"), "{said}");
}
