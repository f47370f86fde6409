//! One netlink conversation: a socket, the task that drives it, and the four ways of asking.
//!
//! Knows how requests are answered (RFC 3549 §2.3.2; the kernel's `Documentation/userspace-api/netlink`)
//! and nothing about what they mean. Built on `netlink-proto` directly rather than on rtnetlink's
//! request types: those neither send several requests in one datagram nor keep the kernel's
//! explanation of a refusal.

use std::io;
use std::time::Duration;

use futures_util::{Stream, StreamExt};
use netlink_packet_core::{
    NLM_F_ACK, NLM_F_ACK_TLVS, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload,
    NlaBuffer, NlasIterator,
};
use netlink_packet_route::RouteNetlinkMessage;
use rtnetlink::proto::ConnectionHandle;
use rtnetlink::sys::protocols::NETLINK_ROUTE;
use rtnetlink::sys::{AsyncSocket, SocketAddr};
use tokio::sync::Mutex;

use super::netlink_socket::set_receive_buffer;
use super::refusal::{EXPLANATION, Refusal};
use super::{Error, NetNs};

/// Requests sent in one datagram. The next is sent when all its replies have been read, so this
/// bounds what waits in the receive buffer: 128 acknowledgements take 100 kB.
const BATCH: usize = 128;

/// Octets of replies that may wait to be read.
const BUFFER: usize = 1 << 20;

/// How often a dump that was interrupted, or had to wait for another, is repeated before giving up.
const DUMP_ATTEMPTS: usize = 10;

/// First pause before a dump that had to wait for another is repeated; doubles each time.
const DUMP_PAUSE: Duration = Duration::from_millis(10);

/// A connection to the routing part of the kernel in one network namespace. Its task ends with it.
#[derive(Debug)]
pub struct Netlink {
    connection: ConnectionHandle<RouteNetlinkMessage>,
    /// What the kernel knows the socket by.
    port: u32,
    /// Held from a request to its last reply. The kernel allows a socket one dump at a time, and
    /// replies that pile up unread would run the receive buffer over.
    turn: Mutex<()>,
    task: tokio::task::JoinHandle<()>,
}

impl Netlink {
    /// Connects in the calling thread's namespace. Needs a tokio runtime.
    ///
    /// # Errors
    /// The socket could not be opened.
    pub fn open() -> Result<Netlink, Error> {
        let (driver, connection, port) =
            connect().map_err(Error::system(|| "open a routing netlink socket".to_owned()))?;
        Ok(Netlink { connection, port, turn: Mutex::default(), task: tokio::spawn(driver) })
    }

    /// Connects in the given namespace.
    ///
    /// # Errors
    /// The namespace could not be entered or the socket not be opened.
    pub fn open_in(namespace: &NetNs) -> Result<Netlink, Error> {
        namespace.enter(Netlink::open)?
    }

    /// The number that the kernel puts on news of what this conversation did.
    pub fn port(&self) -> u32 {
        self.port
    }

    /// Asks for a change, which the kernel makes or refuses.
    pub(super) async fn change(&self, message: RouteNetlinkMessage, flags: u16) -> Result<(), Refusal> {
        let _turn = self.turn.lock().await;
        let mut replies = self.send([request(message, flags | NLM_F_ACK)])?;
        verdict(replies.next().await)
    }

    /// Asks for many changes, and returns a verdict on each, in order. One round trip for every
    /// [`BATCH`] of them.
    pub(super) async fn changes(
        &self,
        requests: Vec<(RouteNetlinkMessage, u16)>,
    ) -> Vec<Result<(), Refusal>> {
        let mut verdicts = Vec::with_capacity(requests.len());
        let mut requests =
            requests.into_iter().map(|(message, flags)| request(message, flags | NLM_F_ACK)).peekable();
        while requests.peek().is_some() {
            let batch: Vec<Message> = requests.by_ref().take(BATCH).collect();
            let expected = verdicts.len() + batch.len();
            let _turn = self.turn.lock().await;
            // The kernel works a datagram off in order, so that the nth reply is to the nth request.
            if let Ok(mut replies) = self.send(batch) {
                while verdicts.len() < expected
                    && let Some(reply) = replies.next().await
                {
                    verdicts.push(verdict(Some(reply)));
                }
            }
            verdicts.resize_with(expected, || Err(Refusal::closed()));
        }
        verdicts
    }

    /// Asks for one thing.
    pub(super) async fn query(&self, message: RouteNetlinkMessage) -> Result<RouteNetlinkMessage, Refusal> {
        let _turn = self.turn.lock().await;
        let mut replies = self.send([request(message, 0)])?;
        match replies.next().await.map(|reply| reply.payload) {
            Some(NetlinkPayload::InnerMessage(message)) => Ok(message),
            Some(NetlinkPayload::Error(error)) => Err(Refusal::of(error.raw_code())),
            _ => Err(Refusal::closed()),
        }
    }

    /// Asks for everything of a kind. What the kernel filters depends on its age: the caller must
    /// not rely on it.
    pub(super) async fn dump(
        &self,
        message: RouteNetlinkMessage,
    ) -> Result<Vec<RouteNetlinkMessage>, Refusal> {
        let _turn = self.turn.lock().await;
        let mut pause = DUMP_PAUSE;
        for _ in 0..DUMP_ATTEMPTS {
            let replies = self.send([request(message.clone(), NLM_F_DUMP)])?;
            match consistent(replies).await {
                Ok(Some(found)) => return Ok(found),
                Ok(None) => {}
                // Somebody stopped waiting for a dump that is still running.
                Err(refusal) if refusal.is(nix::Error::EBUSY) => {
                    tokio::time::sleep(pause).await;
                    pause *= 2;
                }
                Err(refusal) => return Err(refusal),
            }
        }
        Err(Refusal::new(io::Error::new(
            io::ErrorKind::Interrupted,
            format!("no undisturbed dump in {DUMP_ATTEMPTS} attempts"),
        )))
    }

    fn send(
        &self,
        messages: impl IntoIterator<Item = Message>,
    ) -> Result<impl Stream<Item = Message> + Unpin, Refusal> {
        const KERNEL: u32 = 0;
        self.connection.request_batch(messages, SocketAddr::new(KERNEL, 0)).map_err(|_| Refusal::closed())
    }
}

impl Drop for Netlink {
    fn drop(&mut self) {
        self.task.abort();
    }
}

type Message = NetlinkMessage<RouteNetlinkMessage>;

/// Opens and configures the socket, in the calling thread's namespace.
fn connect()
-> io::Result<(impl Future<Output = ()> + Send + 'static, ConnectionHandle<RouteNetlinkMessage>, u32)> {
    let (mut driver, connection, mut unsolicited) = rtnetlink::proto::new_connection(NETLINK_ROUTE)?;
    driver.set_forward_ack(true);
    driver.set_forward_done(true);
    let socket = driver.socket_mut().socket_mut();
    set_receive_buffer(&socket, BUFFER)?;
    let port = socket.bind_auto()?.port_number();
    // Explanations in place of copies of what was refused (Linux 4.12).
    socket.set_cap_ack(true)?;
    socket.set_ext_ack(true)?;
    // The strict check makes dumps honour filters (Linux 4.20); without it they merely take longer.
    let _ = socket.set_netlink_get_strict_chk(true);
    let drive = async move {
        // Nothing unsolicited comes to a socket without subscriptions, except the news that replies
        // were lost. Who waits for one of those would wait for ever: end, and so tell them all.
        tokio::select! {
            () = driver => {}
            _ = unsolicited.next() => tracing::error!("a netlink socket lost replies"),
        }
    };
    Ok((drive, connection, port))
}

fn request(message: RouteNetlinkMessage, flags: u16) -> Message {
    let mut message = NetlinkMessage::from(message);
    message.header.flags = flags | NLM_F_REQUEST;
    message
}

/// What a reply to a change says.
fn verdict(reply: Option<Message>) -> Result<(), Refusal> {
    let Some(Message { header, payload: NetlinkPayload::Error(error), .. }) = reply else {
        return Err(Refusal::closed());
    };
    if error.code.is_none() {
        return Ok(());
    }
    let mut refusal = Refusal::of(error.raw_code());
    if header.flags & NLM_F_ACK_TLVS != 0 {
        refusal.explanation = explanation(&error.header);
    }
    Err(refusal)
}

/// The kernel's words about a refusal. They follow the header of the refused request, which is all
/// of it that comes back (`NETLINK_CAP_ACK`).
fn explanation(reply: &[u8]) -> Option<String> {
    const HEADER: usize = 16;
    NlasIterator::new(reply.get(HEADER..)?).find_map(|attribute| {
        let attribute: NlaBuffer<&[u8]> = attribute.ok()?;
        (attribute.kind() == EXPLANATION).then(|| super::frame::text(attribute.value()))
    })
}

/// All of a dump; `None` if the kernel says that it may be inconsistent.
async fn consistent(
    mut replies: impl Stream<Item = Message> + Unpin,
) -> Result<Option<Vec<RouteNetlinkMessage>>, Refusal> {
    let mut found = Vec::new();
    let mut interrupted = false;
    while let Some(reply) = replies.next().await {
        interrupted |= reply.header.flags & NLM_F_DUMP_INTR != 0;
        match reply.payload {
            NetlinkPayload::InnerMessage(message) => found.push(message),
            NetlinkPayload::Done(done) if done.code < 0 => return Err(Refusal::of(done.code)),
            NetlinkPayload::Done(_) => return Ok((!interrupted).then_some(found)),
            NetlinkPayload::Error(error) => return Err(Refusal::of(error.raw_code())),
            _ => {}
        }
    }
    Err(Refusal::closed())
}
