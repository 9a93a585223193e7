//! UDP: each datagram is returned, prefixed with the identity.

use std::sync::Arc;

use tokio::net::UdpSocket;

use super::identity::Identity;

pub(super) async fn serve_udp(socket: UdpSocket, identity: Arc<Identity>) {
    let port = socket.local_addr().map_or(0, |address| address.port());
    let mut answer = format!("{} ", identity.greeting(port)).into_bytes();
    let name = answer.len();
    let mut datagram = vec![0; 65_535];
    loop {
        // An error is about an earlier answer (a client that is gone).
        let Ok((length, client)) = socket.recv_from(&mut datagram).await else { continue };
        answer.truncate(name);
        answer.extend_from_slice(&datagram[..length]);
        let _ = socket.send_to(&answer, client).await;
    }
}
