//! The finite state machine as one table: state × event → effects and next state (RFC 4271 §8.2.2).
//!
//! The table is data without side effects, so that it can be read beside the RFC and tested cell by
//! cell; [`super::Session`] carries out the effects. DelayOpen is not implemented (the RFC makes it
//! optional); DampPeerOscillations is, as [`Effect::StartIdleHoldTimer`].
//!
//! Where we differ from the letter of RFC 4271, and why:
//!
//! - A connection attempt that fails in Connect leads to Active (as in RFC 1771 and in every speaker
//!   we know), not to Idle: in Idle the peer's own attempt would be refused. For the same reason a
//!   connection that is lost in Active leaves us there.
//! - A NOTIFICATION received in OpenSent closes the connection in silence instead of answering with
//!   an FSM error, for RFC 4271 §6.4 forbids to answer a NOTIFICATION with another.
//! - A version error that is received makes us wait in Idle as every other failure does. RFC 4271 asks
//!   for no damping there, and without it two speakers that disagree would do nothing else.
//! - A bad header in Established is answered with what is wrong with it (RFC 4271 §6.1 demands that
//!   of every state), not with an FSM error.
//!
//! Not in the table: events 6 and 7 (damping decides how a start is done, not whether), 12 and 20
//! (DelayOpen), 14 (a SYN has no effect) and 15 (a connection nobody wants is refused by the owner).

use crate::bgp::Reason;
use crate::bgp::header::MessageType;

/// FSM states (RFC 4271 §8.2.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum State {
    /// Refusing connections; waiting for a start event.
    Idle,
    /// Waiting for our own connection attempt.
    Connect,
    /// Waiting for the peer to connect, or for the ConnectRetryTimer.
    Active,
    /// Our OPEN is out; waiting for the peer's.
    OpenSent,
    /// OPENs are exchanged; waiting for a KEEPALIVE.
    OpenConfirm,
    /// UPDATEs flow.
    Established,
}

impl State {
    /// Every state.
    pub const ALL: [State; 6] =
        [State::Idle, State::Connect, State::Active, State::OpenSent, State::OpenConfirm, State::Established];

    /// The state's name as the RFC spells it.
    pub fn name(self) -> &'static str {
        match self {
            State::Idle => "Idle",
            State::Connect => "Connect",
            State::Active => "Active",
            State::OpenSent => "OpenSent",
            State::OpenConfirm => "OpenConfirm",
            State::Established => "Established",
        }
    }

    /// The Finite State Machine Error of a message that has no place in this state (RFC 6608 §3).
    pub fn unexpected_message(self) -> Reason {
        match self {
            State::OpenSent => Reason::UNEXPECTED_MESSAGE_IN_OPEN_SENT,
            State::OpenConfirm => Reason::UNEXPECTED_MESSAGE_IN_OPEN_CONFIRM,
            State::Established => Reason::UNEXPECTED_MESSAGE_IN_ESTABLISHED,
            // No connection, no message: never sent.
            State::Idle | State::Connect | State::Active => Reason { code: 5, subcode: 0 },
        }
    }
}

/// FSM events (RFC 4271 §8.1), by their numbers there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Event {
    /// Event 1 (and 3, AutomaticStart).
    ManualStart,
    /// Event 2 (and 8, AutomaticStop).
    ManualStop,
    /// Event 4 (and 5): start, but leave it to the peer to connect.
    ManualStartWithPassive,
    /// Event 9.
    ConnectRetryTimerExpires,
    /// Event 10.
    HoldTimerExpires,
    /// Event 11.
    KeepaliveTimerExpires,
    /// Event 13, for a session that connects by itself.
    IdleHoldTimerExpires,
    /// Event 13, for a passive session.
    IdleHoldTimerExpiresPassive,
    /// Event 16: our connection attempt succeeded.
    TcpCrAcked,
    /// Event 17: the peer's connection is accepted.
    TcpConnectionConfirmed,
    /// Event 18: the connection, or the attempt to make one, is gone.
    TcpConnectionFails,
    /// Event 19: a valid OPEN.
    BgpOpen,
    /// Event 21.
    BgpHeaderErr,
    /// Event 22.
    BgpOpenMsgErr,
    /// Event 23: this connection lost a collision.
    OpenCollisionDump,
    /// Event 24: a NOTIFICATION with a version error.
    NotifMsgVerErr,
    /// Event 25: any other NOTIFICATION.
    NotifMsg,
    /// Event 26.
    KeepAliveMsg,
    /// Event 27, and ROUTE-REFRESH, which is subject to the same conditions (RFC 2918 §4).
    UpdateMsg,
    /// Event 28.
    UpdateMsgErr,
    /// Event 29 (RFC 9687 §3.2).
    SendHoldTimerExpires,
}

impl Event {
    /// Every event.
    pub const ALL: [Event; 21] = [
        Event::ManualStart,
        Event::ManualStop,
        Event::ManualStartWithPassive,
        Event::ConnectRetryTimerExpires,
        Event::HoldTimerExpires,
        Event::KeepaliveTimerExpires,
        Event::IdleHoldTimerExpires,
        Event::IdleHoldTimerExpiresPassive,
        Event::TcpCrAcked,
        Event::TcpConnectionConfirmed,
        Event::TcpConnectionFails,
        Event::BgpOpen,
        Event::BgpHeaderErr,
        Event::BgpOpenMsgErr,
        Event::OpenCollisionDump,
        Event::NotifMsgVerErr,
        Event::NotifMsg,
        Event::KeepAliveMsg,
        Event::UpdateMsg,
        Event::UpdateMsgErr,
        Event::SendHoldTimerExpires,
    ];
}

impl Event {
    /// The type of the message whose arrival the event is; UPDATE stands for ROUTE-REFRESH too.
    pub(super) fn message_type(self) -> Option<MessageType> {
        match self {
            Event::BgpOpen | Event::BgpOpenMsgErr => Some(MessageType::Open),
            Event::UpdateMsg | Event::UpdateMsgErr => Some(MessageType::Update),
            Event::NotifMsg | Event::NotifMsgVerErr => Some(MessageType::Notification),
            Event::KeepAliveMsg => Some(MessageType::Keepalive),
            _ => None,
        }
    }
}

/// What a transition asks of the session, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Effect {
    /// Start a connection attempt.
    Dial,
    /// Close the connection or give up the attempt.
    DropConnection,
    /// (Re)start the ConnectRetryTimer.
    StartConnectRetryTimer,
    /// Stop the ConnectRetryTimer.
    StopConnectRetryTimer,
    /// Wait in Idle before the next start, longer after each failure (DampPeerOscillations).
    StartIdleHoldTimer,
    /// Send our OPEN and start the HoldTimer with its large value of four minutes.
    SendOpen,
    /// Adopt what the OPENs agree on: set HoldTimer and KeepaliveTimer.
    Negotiate,
    /// Send a KEEPALIVE and restart the KeepaliveTimer.
    SendKeepalive,
    /// Restart the HoldTimer, unless the negotiated hold time is zero.
    RestartHoldTimer,
    /// Send the NOTIFICATION that goes with the event.
    SendNotification,
    /// Send a NOTIFICATION of a Finite State Machine Error (RFC 6608).
    SendFsmError,
    /// Tell the owner that UPDATEs may flow.
    Up,
    /// Tell the owner that they no longer do.
    Down,
    /// Hand the message to the owner.
    Deliver,
    /// Stop every timer but the IdleHoldTimer.
    StopTimers,
}

/// Looks up one cell of the table: the next state, and the effects on the way there.
pub fn transition(state: State, event: Event) -> (State, &'static [Effect]) {
    match state {
        State::Idle => idle(event),
        State::Connect => connect(event),
        State::Active => active(event),
        State::OpenSent => open_sent(event),
        State::OpenConfirm => open_confirm(event),
        State::Established => established(event),
    }
}

fn idle(event: Event) -> (State, &'static [Effect]) {
    use Effect::*;
    match event {
        Event::ManualStart | Event::IdleHoldTimerExpires => (State::Connect, &[StartConnectRetryTimer, Dial]),
        Event::ManualStartWithPassive | Event::IdleHoldTimerExpiresPassive => (State::Active, &[]),
        // Every other event is ignored in Idle; a connection that comes in is closed.
        Event::TcpConnectionConfirmed | Event::TcpCrAcked => (State::Idle, &[DropConnection]),
        _ => (State::Idle, &[]),
    }
}

fn connect(event: Event) -> (State, &'static [Effect]) {
    use Effect::*;
    match event {
        Event::ManualStart | Event::ManualStartWithPassive => (State::Connect, &[]),
        Event::ManualStop => (State::Idle, &[DropConnection, StopTimers]),
        Event::ConnectRetryTimerExpires => (State::Connect, &[DropConnection, StartConnectRetryTimer, Dial]),
        Event::TcpCrAcked | Event::TcpConnectionConfirmed => {
            (State::OpenSent, &[StopConnectRetryTimer, SendOpen])
        }
        Event::TcpConnectionFails => (State::Active, &[StartConnectRetryTimer]),
        _ => (State::Idle, &[DropConnection, StopTimers, StartIdleHoldTimer]),
    }
}

fn active(event: Event) -> (State, &'static [Effect]) {
    use Effect::*;
    match event {
        Event::ManualStart | Event::ManualStartWithPassive => (State::Active, &[]),
        Event::ManualStop => (State::Idle, &[DropConnection, StopTimers]),
        Event::ConnectRetryTimerExpires => (State::Connect, &[StartConnectRetryTimer, Dial]),
        Event::TcpCrAcked | Event::TcpConnectionConfirmed => {
            (State::OpenSent, &[StopConnectRetryTimer, SendOpen])
        }
        Event::TcpConnectionFails => (State::Active, &[StartConnectRetryTimer]),
        _ => (State::Idle, &[DropConnection, StopTimers, StartIdleHoldTimer]),
    }
}

fn open_sent(event: Event) -> (State, &'static [Effect]) {
    use Effect::*;
    match event {
        Event::ManualStart | Event::ManualStartWithPassive => (State::OpenSent, &[]),
        Event::ManualStop => (State::Idle, &[SendNotification, DropConnection, StopTimers]),
        Event::TcpConnectionFails => (State::Active, &[DropConnection, StopTimers, StartConnectRetryTimer]),
        Event::BgpOpen => (State::OpenConfirm, &[StopConnectRetryTimer, Negotiate, SendKeepalive]),
        Event::HoldTimerExpires | Event::BgpHeaderErr | Event::BgpOpenMsgErr | Event::OpenCollisionDump => {
            (State::Idle, &[SendNotification, DropConnection, StopTimers, StartIdleHoldTimer])
        }
        Event::NotifMsgVerErr | Event::NotifMsg => {
            (State::Idle, &[DropConnection, StopTimers, StartIdleHoldTimer])
        }
        _ => (State::Idle, &[SendFsmError, DropConnection, StopTimers, StartIdleHoldTimer]),
    }
}

fn open_confirm(event: Event) -> (State, &'static [Effect]) {
    use Effect::*;
    match event {
        Event::ManualStart | Event::ManualStartWithPassive => (State::OpenConfirm, &[]),
        Event::ManualStop => (State::Idle, &[SendNotification, DropConnection, StopTimers]),
        Event::KeepaliveTimerExpires => (State::OpenConfirm, &[SendKeepalive]),
        Event::KeepAliveMsg => (State::Established, &[RestartHoldTimer, Up]),
        Event::HoldTimerExpires | Event::BgpHeaderErr | Event::BgpOpenMsgErr | Event::OpenCollisionDump => {
            (State::Idle, &[SendNotification, DropConnection, StopTimers, StartIdleHoldTimer])
        }
        Event::TcpConnectionFails | Event::NotifMsgVerErr | Event::NotifMsg => {
            (State::Idle, &[DropConnection, StopTimers, StartIdleHoldTimer])
        }
        _ => (State::Idle, &[SendFsmError, DropConnection, StopTimers, StartIdleHoldTimer]),
    }
}

fn established(event: Event) -> (State, &'static [Effect]) {
    use Effect::*;
    match event {
        Event::ManualStart | Event::ManualStartWithPassive => (State::Established, &[]),
        Event::ManualStop => (State::Idle, &[SendNotification, DropConnection, StopTimers, Down]),
        Event::KeepaliveTimerExpires => (State::Established, &[SendKeepalive]),
        Event::KeepAliveMsg => (State::Established, &[RestartHoldTimer]),
        Event::UpdateMsg => (State::Established, &[RestartHoldTimer, Deliver]),
        Event::HoldTimerExpires
        | Event::SendHoldTimerExpires
        | Event::BgpHeaderErr
        | Event::OpenCollisionDump
        | Event::UpdateMsgErr => {
            (State::Idle, &[SendNotification, DropConnection, StopTimers, StartIdleHoldTimer, Down])
        }
        Event::TcpConnectionFails | Event::NotifMsgVerErr | Event::NotifMsg => {
            (State::Idle, &[DropConnection, StopTimers, StartIdleHoldTimer, Down])
        }
        _ => (State::Idle, &[SendFsmError, DropConnection, StopTimers, StartIdleHoldTimer, Down]),
    }
}
