//! A peer that the test plays over a socket of its own, from a node's namespace.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use futures_util::FutureExt;
use routelet::bgp::capability::AddPath;
use routelet::bgp::header::{MAX_MESSAGE_LENGTH, message_length_within};
use routelet::bgp::{Capability, Codec, Message, Open};
use routelet::kernel::NetNs;
use routelet::kernel::socket::{self, Options};
use routelet::prefix::Family;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const DEADLINE: Duration = Duration::from_secs(20);

/// What a session with an external peer negotiates that offers both families and four-octet AS numbers.
pub fn codec() -> Codec {
    Codec {
        four_octet_as: true,
        external: true,
        families: Family::ALL.to_vec(),
        extended_next_hop: false,
        add_path: [AddPath::default(); 2],
        extended_messages: false,
        enhanced_refresh: false,
    }
}

/// One connection to a daemon.
pub struct Played {
    stream: TcpStream,
    unread: Vec<u8>,
    /// What the session has negotiated, for a test that wants the UPDATEs, too.
    codec: Option<Codec>,
}

impl Played {
    /// Connects from an address, with a TCP MD5 key where one is given.
    pub async fn connect(namespace: &NetNs, from: IpAddr, to: IpAddr, key: Option<&str>) -> Played {
        let attempt = Played::attempt(namespace, from, to, key);
        let stream = tokio::time::timeout(DEADLINE, attempt).await.expect("nobody answers");
        Played { stream, unread: vec![], codec: None }
    }

    /// The same, for as long as it takes.
    pub async fn attempt(namespace: &NetNs, from: IpAddr, to: IpAddr, key: Option<&str>) -> TcpStream {
        let md5_key = key.map(|key| key.as_bytes().to_vec());
        let options = Options { source: Some(from), md5_key, ttl: Some(255), ..Options::default() };
        loop {
            let mut connecting = Box::pin(socket::connect(SocketAddr::new(to, 179), &options));
            // The socket belongs to the namespace that it is made in, wherever it is used afterwards.
            let connected = match namespace.enter(|| connecting.as_mut().now_or_never()).unwrap() {
                Some(connected) => connected,
                None => connecting.await,
            };
            match connected {
                Ok(stream) => return stream,
                // The daemon may not listen yet.
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
    }

    /// Brings a session up, with a hold time in seconds.
    pub async fn establish(&mut self, asn: u32, hold_time: u16) {
        self.establish_with(asn, hold_time, &[]).await;
    }

    /// The same with more capabilities.
    pub async fn establish_with(&mut self, asn: u32, hold_time: u16, more: &[Capability]) {
        let families = Family::ALL.map(Capability::Multiprotocol);
        let always = families.into_iter().chain([Capability::FourOctetAs(asn)]);
        let capabilities = always.chain(more.iter().cloned()).collect();
        let open = Open { asn, hold_time, router_id: [192, 0, 2, 1].into(), capabilities };
        self.say(&Codec::initial().encode_open(&open)).await;
        assert!(matches!(self.hear().await, Some(Message::Open(_))));
        self.say(&Codec::initial().encode_keepalive()).await;
        assert!(matches!(self.hear().await, Some(Message::Keepalive)));
    }

    /// Has UPDATEs heard from now on.
    pub fn reads_updates(&mut self, codec: Codec) {
        self.codec = Some(codec);
    }

    pub fn set_ttl(&self, ttl: u8) {
        let options = Options { ttl: Some(ttl), ..Options::default() };
        socket::set_accepted(&self.stream, &options).unwrap();
    }

    pub async fn say(&mut self, octets: &[u8]) {
        self.stream.write_all(octets).await.unwrap();
    }

    /// Hears everything until a NOTIFICATION, and returns that in words. `None` if there is none before
    /// the end.
    pub async fn farewell(&mut self) -> Option<String> {
        loop {
            if let Message::Notification(notification) = self.hear().await? {
                return Some(notification.to_string());
            }
        }
    }

    /// The next message, UPDATEs left out unless they are wanted; `None` at the end of the stream.
    pub async fn hear(&mut self) -> Option<Message> {
        tokio::time::timeout(DEADLINE, self.next()).await.expect("a message or the end")
    }

    async fn next(&mut self) -> Option<Message> {
        loop {
            while let Some(length) = message_length_within(MAX_MESSAGE_LENGTH, &self.unread).unwrap() {
                let frame: Vec<u8> = self.unread.drain(..length).collect();
                // UPDATEs need a codec that knows what was negotiated.
                match &self.codec {
                    Some(codec) => return Some(codec.decode(&frame).unwrap()),
                    None if frame[18] == 2 => {}
                    None => return Some(Codec::initial().decode(&frame).unwrap()),
                }
            }
            if self.stream.read_buf(&mut self.unread).await.ok()? == 0 {
                return None;
            }
        }
    }
}
