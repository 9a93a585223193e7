//! A plain fan-out for comparison: a loop that writes the same bytes to each socket.

use std::io::{BufRead, BufReader, Read, Write, stdin, stdout};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::Stdio;

use crate::process::{Running, child_command};

/// Accepts this many connections, prints a line, and then writes each piece that comes on stdin to
/// all of them. A piece has its length before it.
pub(crate) fn run_fan_out(count: usize) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    println!("{}", listener.local_addr().unwrap().port());
    stdout().flush().unwrap();
    let mut sockets: Vec<_> = (0..count).map(|_| listener.accept().unwrap().0).collect();
    sockets.iter().for_each(|socket| socket.set_nodelay(true).unwrap());
    let mut length = [0; 4];
    let mut input = stdin().lock();
    while input.read_exact(&mut length).is_ok() {
        let mut piece = vec![0; usize::try_from(u32::from_be_bytes(length)).unwrap()];
        input.read_exact(&mut piece).unwrap();
        for socket in &mut sockets {
            socket.write_all(&piece).unwrap();
        }
    }
}

/// The program in a process of its own.
pub(crate) struct FanOut {
    pub(crate) process: Running,
    pub(crate) address: SocketAddr,
}

impl FanOut {
    pub(crate) fn start(count: usize) -> Self {
        let mut command = child_command(std::env::current_exe().unwrap());
        command.args(["fan-out", &count.to_string()]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut port = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut port).unwrap();
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port.trim().parse().unwrap()));
        Self { process: Running(child), address }
    }

    /// Has a piece written to all sockets.
    pub(crate) fn write(&mut self, piece: &[u8]) {
        let input = self.process.0.stdin.as_mut().unwrap();
        input.write_all(&u32::try_from(piece.len()).unwrap().to_be_bytes()).unwrap();
        input.write_all(piece).unwrap();
        input.flush().unwrap();
    }
}
