//! The program without any other file, as in an image built FROM scratch.

use std::net::UdpSocket;
use std::thread;

use crate::machine::sh;
use crate::package;

/// Serves DNS on the loopback interface: answers every A query with one address (RFC 1035, 4.1).
fn name_server(address: [u8; 4]) -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:53").unwrap();
    let server = socket.try_clone().unwrap();
    thread::spawn(move || {
        let mut question = [0; 512];
        while let Ok((length, from)) = server.recv_from(&mut question) {
            let Some(asked) = question.get(12..length) else { continue };
            let name = asked.iter().position(|byte| *byte == 0).unwrap_or_default();
            let is_a = asked.get(name + 1..name + 3) == Some(&[0, 1]);
            let mut answer = question[..2].to_vec();
            answer.extend([0x81, 0x80, 0, 1, 0, u8::from(is_a), 0, 0, 0, 0]);
            answer.extend(&asked[..name + 5]);
            if is_a {
                answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 5, 0, 4]);
                answer.extend(address);
            }
            let _ = server.send_to(&answer, from);
        }
    });
    socket
}

#[test]
fn the_program_needs_no_other_file_and_finds_names() {
    sh(&format!("dpkg-deb --extract {} /tmp/tree", package().display()));
    sh("ldd /tmp/tree/usr/bin/vipd 2>&1 | grep -q 'not a dynamic executable\\|statically linked'");
    sh("set -e
        mkdir -p /tmp/scratch/etc /tmp/scratch/proc /tmp/scratch/dev
        # Every runtime of containers gives these.
        mknod -m 666 /tmp/scratch/dev/random c 1 8
        mknod -m 666 /tmp/scratch/dev/urandom c 1 9
        cp /tmp/tree/usr/bin/vipd /tmp/scratch/vipd
        echo nameserver 127.0.0.1 >/tmp/scratch/etc/resolv.conf
        echo 127.0.0.1 by-file.example >/tmp/scratch/etc/hosts
        # A module of the C library that ends whoever loads it, as one of another version does.
        for folder in lib lib/$(uname -m)-linux-gnu; do
            mkdir -p /tmp/scratch/$folder
            echo '__attribute__((constructor)) static void load(void) { __builtin_trap(); }' |
                cc -shared -fPIC -nostdlib -x c - -o /tmp/scratch/$folder/libnss_trap.so.2
        done
        echo hosts: trap files dns >/tmp/scratch/etc/nsswitch.conf");
    let _server = name_server([127, 0, 0, 1]);
    // Nothing listens on port 9: a refused connection means that the name was resolved.
    for name in ["by-file.example", "by-server.example"] {
        let said = sh(&format!(
            "chroot /tmp/scratch /vipd doctor --marathon http://{name}:9 2>&1 || true"
        ));
        let line = said.lines().find(|line| line.contains(name)).unwrap_or_default();
        assert!(line.contains("refused"), "{said}");
    }
}
