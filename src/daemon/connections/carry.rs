//! One connection: its two halves together, from the first octet to the last.
//!
//! A connection keeps itself up while the driver is busy with a table, however long that takes. It
//! notes when the peer was last heard, for the driver to ask before it takes the peer for dead; and it
//! says KEEPALIVE by itself when the driver is late with one. Only for so long, though: a driver that
//! has stood still for good must not look alive.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::mpsc::{Sender, UnboundedReceiver};
use tokio::sync::{Semaphore, oneshot};

use super::super::clock::Clock;
use super::super::input::Input;
use super::break_of;
use super::read::{Outlet, discard, read};
use super::shared::Shared;
use super::write::{Order, write};
use crate::bgp::session::Failure;
use crate::speaker::ConnectionId;

/// How long a closed connection is kept to let its last message reach the peer.
pub(super) const LINGER: Duration = Duration::from_secs(1);

/// The connection's ties to the driver.
pub(super) struct Ties {
    pub(super) connection: ConnectionId,
    pub(super) orders: UnboundedReceiver<Order>,
    /// Ends when the driver has closed the connection.
    pub(super) closing: oneshot::Receiver<()>,
    pub(super) shared: Arc<Shared>,
    pub(super) inputs: Sender<Input>,
    /// Room for octets that wait for the driver.
    pub(super) room: Arc<Semaphore>,
    pub(super) clock: Clock,
}

/// Reads and writes one connection until either side ends it.
pub(super) async fn carry(stream: TcpStream, ties: Ties) {
    let Ties { connection, orders, closing, shared, inputs, room, clock } = ties;
    let (mut reader, writer) = stream.into_split();
    let ended = {
        let outlet = Outlet { connection, inputs: &inputs, room: &room, shared: &shared, clock };
        let mut reading = pin!(read(&mut reader, outlet));
        tokio::select! {
            why = &mut reading => Err(why),
            written = write(connection, writer, orders, &inputs) => match written {
                Ok(()) => Ok(()),
                Err(error) => {
                    // A peer that has gone may have said why: what arrived before is still to be read.
                    let _ = tokio::time::timeout(LINGER, reading).await;
                    Err(Failure::broken(break_of(&error), error.to_string()))
                }
            },
            // A peer that reads nothing (RFC 9687) would keep what is queued for ever.
            () = linger(closing) => return,
        }
    };
    match ended {
        Ok(()) => {
            let _ = tokio::time::timeout(LINGER, discard(&mut reader)).await;
        }
        Err(why) => {
            // The driver is gone only when the daemon stops.
            let _ = inputs.send(Input::Closed { connection, why }).await;
        }
    }
}

/// Waits until a connection has been closed, and then for as long as it may take to end.
async fn linger(closing: oneshot::Receiver<()>) {
    // An error says that the sender is gone, which is what is waited for.
    let _ = closing.await;
    tokio::time::sleep(LINGER * 2).await;
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio::sync::mpsc::{Receiver, UnboundedSender, channel, unbounded_channel};

    use super::super::read::WAITING_MOST;
    use super::super::shared::Heard;
    use super::*;
    use crate::bgp::session::Negotiated;
    use crate::bgp::{Codec, Message};
    use crate::daemon::input::Said;
    use crate::prefix::Family;
    use crate::speaker::Terms;

    /// A connection under test, and what its owner has of it.
    struct Owned {
        peer: TcpStream,
        stream: TcpStream,
        ties: Ties,
        orders: UnboundedSender<Order>,
        heard: Receiver<Input>,
        _open: oneshot::Sender<()>,
    }

    async fn connection(queue: usize) -> Owned {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (peer, _) = listener.accept().await.unwrap();
        let (orders, ordered) = unbounded_channel();
        let (inputs, heard) = channel(queue);
        let (_open, closing) = oneshot::channel();
        let (connection, shared, clock) = (ConnectionId(1), Shared::new(), Clock::start());
        let room = Arc::new(Semaphore::new(WAITING_MOST));
        let ties = Ties { connection, orders: ordered, closing, shared, inputs, room, clock };
        Owned { peer, stream, ties, orders, heard, _open }
    }

    fn agreed() -> Arc<Negotiated> {
        let codec = Codec { four_octet_as: true, families: Family::ALL.into(), ..Codec::initial() };
        Arc::new(Negotiated {
            codec,
            asn: 65000,
            router_id: [192, 168, 1, 1].into(),
            hold: Duration::from_secs(90),
            keepalive: Duration::from_secs(30),
            route_refresh: false,
            capabilities: vec![],
        })
    }

    async fn next(heard: &mut Receiver<Input>) -> Input {
        tokio::time::timeout(Duration::from_secs(10), heard.recv()).await.unwrap().unwrap()
    }

    /// A peer that says why and resets the connection, with words of ours on the way, is heard.
    #[tokio::test(flavor = "current_thread")]
    async fn the_last_words_of_a_peer_that_is_gone_are_read() {
        let notification = [&[0xff; 16][..], &[0, 21, 3, 6, 2]].concat();
        for _ in 0..50 {
            let Owned { mut peer, stream, ties, orders, mut heard, _open } = connection(16).await;
            peer.write_all(&notification).await.unwrap();
            peer.set_zero_linger().unwrap();
            drop(peer);
            orders.send(Order::Send(vec![0; 1000].into())).unwrap();
            orders.send(Order::Send(vec![0; 1000].into())).unwrap();
            carry(stream, ties).await;
            let mut last_words = vec![];
            while let Ok(input) = heard.try_recv() {
                if let Input::Heard { said: Said::Octets(octets), .. } = input {
                    last_words = octets;
                }
            }
            assert_eq!(last_words, notification);
        }
    }

    /// However late the driver answers, and though the peer has nothing more to say.
    #[tokio::test(flavor = "current_thread")]
    async fn whoever_says_what_is_unreadable_is_told_so() {
        let Owned { mut peer, stream, ties, orders, mut heard, _open } = connection(16).await;
        let carried = tokio::spawn(carry(stream, ties));
        peer.write_all(&[0; 19]).await.unwrap();
        peer.shutdown().await.unwrap();
        let Input::Heard { error: Some(error), .. } = next(&mut heard).await else { panic!("no error") };
        // The end of the peer's half has been read as well.
        tokio::task::yield_now().await;
        assert!(!carried.is_finished());
        let notification = Codec::initial().encode_notification(&error.notification);
        orders.send(Order::Send(notification.clone().into())).unwrap();
        drop(orders);
        let mut told = vec![];
        let read = peer.read_to_end(&mut told);
        tokio::time::timeout(Duration::from_secs(10), read).await.unwrap().unwrap();
        assert_eq!(told, notification);
        carried.await.unwrap();
    }

    /// The driver takes nothing and says nothing: the peer hears KEEPALIVEs, and is not thought silent.
    #[tokio::test(flavor = "current_thread")]
    async fn a_connection_keeps_itself_up_while_the_driver_is_busy() {
        let Owned { mut peer, stream, ties, orders, heard, _open } = connection(1).await;
        let (shared, clock) = (ties.shared.clone(), ties.clock);
        let keepalive = Codec::initial().encode_keepalive();
        let interval = Duration::from_millis(20);
        let terms = Terms { keepalive: interval, user_timeout: None, agreed: agreed() };
        orders.send(Order::Keep(terms)).unwrap();
        orders.send(Order::Send(keepalive.clone().into())).unwrap();
        let carried = tokio::spawn(carry(stream, ties));
        for _ in 0..10 {
            let mut said = vec![0; keepalive.len()];
            tokio::time::timeout(Duration::from_secs(10), peer.read_exact(&mut said)).await.unwrap().unwrap();
            assert_eq!(said, keepalive);
            peer.write_all(&keepalive).await.unwrap();
        }
        let late = clock.now() + Duration::from_secs(3600);
        let heard_at = shared.heard(late).map(|heard| heard.at);
        assert_eq!(heard_at, Some(late), "it waits for room, and may have said more meanwhile");
        drop((heard, orders, peer));
        carried.await.unwrap();
    }

    /// In an Established session the driver is handed what the table is about, decoded; that the peer is
    /// there it finds out by asking.
    #[tokio::test(flavor = "current_thread")]
    async fn keepalives_are_counted_and_wake_nobody() {
        let Owned { mut peer, stream, ties, orders, mut heard, _open } = connection(16).await;
        let (shared, room) = (ties.shared.clone(), ties.room.clone());
        let carried = tokio::spawn(carry(stream, ties));
        let codec = agreed().codec.clone();
        let keepalive = codec.encode_keepalive();
        peer.write_all(&keepalive).await.unwrap();
        let Input::Heard { said, .. } = next(&mut heard).await else { panic!("no message") };
        assert_eq!(said, Said::Octets(keepalive.clone()), "not Established yet");
        shared.agreed.set(agreed()).unwrap();
        let refresh = codec.encode_route_refresh(Family::Ipv6Unicast);
        // Cut where no message ends.
        let stream = [&keepalive[..], &keepalive, &refresh, &keepalive, &refresh[..20]].concat();
        peer.write_all(&stream).await.unwrap();
        let asked = Message::RouteRefresh(Family::Ipv6Unicast);
        let Input::Heard { said, room: held, .. } = next(&mut heard).await else { panic!("no message") };
        assert_eq!(said, Said::Messages(vec![asked.clone()]));
        let Some(Heard { keepalives: 3, .. }) = shared.heard(Clock::start().now()) else {
            panic!("not three")
        };
        assert_eq!(room.available_permits(), WAITING_MOST - stream.len() + 20);
        drop(held);
        assert_eq!(room.available_permits(), WAITING_MOST);
        peer.write_all(&[&refresh[20..], &keepalive].concat()).await.unwrap();
        let Input::Heard { said, .. } = next(&mut heard).await else { panic!("no message") };
        assert_eq!(said, Said::Messages(vec![asked]));
        // What is before an unreadable message is handed in with what is wrong with that.
        peer.write_all(&[&refresh[..], &[0xff; 18], &[9]].concat()).await.unwrap();
        let Input::Heard { said, error, .. } = next(&mut heard).await else { panic!("no message") };
        assert!(matches!(said, Said::Messages(messages) if messages.len() == 1));
        assert_eq!(error.unwrap().notification.code, 1);
        drop((orders, peer));
        carried.await.unwrap();
    }
}
