//! The FSM as one table, every state × every event, and the session's timers and messages around it.

use std::time::Duration;

use super::*;
use crate::bgp::{Capability, Open};

/// One letter per cell: the next state, and in the second table what a peer or owner notices.
///
/// Columns are the states in RFC order: Idle, Connect, Active, OpenSent, OpenConfirm, Established.
/// States: I C A S O E. Effects: `.` nothing, `d` dial, `o` send OPEN, `k` send KEEPALIVE, `n` send
/// the NOTIFICATION of the event, `f` send an FSM error, `x` close in silence, `u` up, `m` deliver.
const TABLE: [(Event, &str, &str); 20] = [
    (Event::ManualStart, "CCASOE", "d....."),
    (Event::ManualStop, "IIIIII", ".xxnnn"),
    (Event::ManualStartWithPassive, "ACASOE", "......"),
    (Event::ConnectRetryTimerExpires, "ICCIII", ".ddfff"),
    (Event::HoldTimerExpires, "IIIIII", ".xxnnn"),
    (Event::KeepaliveTimerExpires, "IIIIOE", ".xxfkk"),
    (Event::IdleHoldTimerExpires, "CIIIII", "dxxfff"),
    (Event::IdleHoldTimerExpiresPassive, "AIIIII", ".xxfff"),
    (Event::TcpCrAcked, "ISSIII", "xoofff"),
    (Event::TcpConnectionConfirmed, "ISSIII", "xoofff"),
    (Event::TcpConnectionFails, "IAAAII", "...xxx"),
    (Event::BgpOpen, "IIIOII", ".xxkff"),
    (Event::BgpHeaderErr, "IIIIII", ".xxnnn"),
    (Event::BgpOpenMsgErr, "IIIIII", ".xxnnf"),
    (Event::OpenCollisionDump, "IIIIII", ".xxnnn"),
    (Event::NotifMsgVerErr, "IIIIII", ".xxxxx"),
    (Event::NotifMsg, "IIIIII", ".xxxxx"),
    (Event::KeepAliveMsg, "IIIIEE", ".xxfu."),
    (Event::UpdateMsg, "IIIIIE", ".xxffm"),
    (Event::UpdateMsgErr, "IIIIII", ".xxffn"),
];

fn letter(state: State) -> char {
    match state {
        State::Idle => 'I',
        State::Connect => 'C',
        State::Active => 'A',
        State::OpenSent => 'S',
        State::OpenConfirm => 'O',
        State::Established => 'E',
    }
}

fn noticed(effects: &[Effect]) -> char {
    let visible = [
        (Effect::SendFsmError, 'f'),
        (Effect::SendNotification, 'n'),
        (Effect::Dial, 'd'),
        (Effect::SendOpen, 'o'),
        (Effect::SendKeepalive, 'k'),
        (Effect::Up, 'u'),
        (Effect::Deliver, 'm'),
        (Effect::DropConnection, 'x'),
    ];
    visible.into_iter().find(|(effect, _)| effects.contains(effect)).map_or('.', |(_, letter)| letter)
}

#[test]
fn every_state_and_every_event() {
    assert_eq!(TABLE.map(|(event, ..)| event), Event::ALL);
    for (event, states, effects) in TABLE {
        let cells = State::ALL.map(|state| transition(state, event));
        let next: String = cells.iter().map(|(next, _)| letter(*next)).collect();
        let seen: String = cells.iter().map(|(_, effects)| noticed(effects)).collect();
        assert_eq!((next.as_str(), seen.as_str()), (states, effects), "{event:?}");
    }
}

#[test]
fn whoever_leaves_established_says_so_and_stops_the_timers() {
    for event in Event::ALL {
        let (next, effects) = transition(State::Established, event);
        let leaves = next != State::Established;
        assert_eq!(leaves, effects.contains(&Effect::Down), "{event:?}");
        assert_eq!(leaves, effects.contains(&Effect::StopTimers), "{event:?}");
        assert_eq!(leaves, effects.contains(&Effect::DropConnection), "{event:?}");
    }
}

fn config() -> Config {
    Config {
        local_asn: 64512,
        router_id: [192, 168, 1, 11].into(),
        remote_as: RemoteAs::Exactly(65000),
        families: Family::ALL.into(),
        hold: Duration::from_secs(90),
        keepalive: Duration::from_secs(30),
        connect_retry: Duration::from_secs(5),
        passive: false,
        host_name: "node1".into(),
        role: None,
        role_strict: false,
        graceful_restart: None,
    }
}

fn open() -> Message {
    let families = Family::ALL.map(Capability::Multiprotocol);
    let capabilities = families.into_iter().chain([Capability::FourOctetAs(65000)]).collect();
    Message::Open(Open { asn: 65000, hold_time: 9, router_id: [192, 168, 1, 1].into(), capabilities })
}

fn at(seconds: f64) -> Instant {
    Instant::ORIGIN + Duration::from_secs_f64(seconds)
}

/// What the session wants done, a word each; messages by their type.
fn outputs(session: &mut Session) -> Vec<String> {
    let word = |output| match output {
        Output::Send(octets) => match octets[18] {
            1 => "OPEN".to_owned(),
            2 => "UPDATE".to_owned(),
            3 => format!("NOTIFICATION {}/{}", octets[19], octets[20]),
            4 => "KEEPALIVE".to_owned(),
            _ => "ROUTE-REFRESH".to_owned(),
        },
        Output::Up(_) => "Up".to_owned(),
        Output::Update(_) => "Update".to_owned(),
        other => format!("{other:?}"),
    };
    std::iter::from_fn(|| session.poll_output()).map(word).collect()
}

fn established() -> Session {
    let mut session = Session::new(config(), 1);
    session.handle_start(at(0.0));
    session.handle_connected(at(0.1));
    session.handle_message(at(0.2), open());
    session.handle_message(at(0.3), Message::Keepalive);
    assert_eq!(outputs(&mut session), ["Dial", "OPEN", "KEEPALIVE", "Up"]);
    session
}

#[test]
fn a_session_comes_up_with_the_lesser_hold_time() {
    let session = established();
    assert_eq!(session.state(), State::Established);
    assert_eq!(session.negotiated().unwrap().hold, Duration::from_secs(9));
    let (due, timer) = session.poll_timeout().unwrap();
    assert_eq!(timer, Timer::Keepalive);
    assert!((at(2.4)..=at(3.3)).contains(&due), "a third of the hold time, with jitter: {due:?}");
}

#[test]
fn silence_ends_a_session_and_words_keep_it() {
    let mut session = established();
    session.handle_message(at(9.0), Message::Keepalive);
    session.handle_timeout(at(9.4));
    assert_eq!(outputs(&mut session), ["KEEPALIVE"]);
    session.handle_timeout(at(18.1));
    assert_eq!(outputs(&mut session), ["KEEPALIVE", "NOTIFICATION 4/0", "Close", "Down(Notification)"]);
    assert_eq!(session.last_error(), Some("hold timer expired"));
}

#[test]
fn failures_in_a_row_wait_longer_and_health_forgives() {
    let mut session = Session::new(config(), 1);
    session.handle_start(at(0.0));
    let mut pauses = vec![];
    let mut now = at(0.0);
    for _ in 0..12 {
        session.handle_connected(now);
        session.handle_message(now, Message::Keepalive);
        let (due, timer) = session.poll_timeout().unwrap();
        assert_eq!(timer, Timer::IdleHold);
        pauses.push((due - now).as_secs_f64());
        now = due;
        session.handle_timeout(now);
    }
    assert!(pauses.windows(2).all(|w| w[0] * 0.74 <= w[1]), "{pauses:?}");
    assert!((0.18..=0.25).contains(&pauses[0]) && (45.0..=60.0).contains(&pauses[11]), "{pauses:?}");
    session.handle_connected(now);
    session.handle_message(now, open());
    session.handle_message(now, Message::Keepalive);
    let mut later = now;
    for _ in 0..20 {
        later = later + Duration::from_secs(4);
        session.handle_message(later, Message::Keepalive);
    }
    session.handle_closed(later, "connection reset");
    let (due, _) = session.poll_timeout().unwrap();
    assert!((due - later) <= Duration::from_millis(250));
}

#[test]
fn a_wrong_as_is_refused_with_bad_peer_as() {
    let mut session = Session::new(Config { remote_as: RemoteAs::Internal, ..config() }, 1);
    session.handle_start(at(0.0));
    session.handle_connected(at(0.1));
    session.handle_message(at(0.2), open());
    assert_eq!(outputs(&mut session), ["Dial", "OPEN", "NOTIFICATION 2/2", "Close", "Failed"]);
    let said = session.last_error().unwrap();
    assert!(said.contains("peer is in AS 65000, we expect our own AS 64512"), "{said}");
}

#[test]
fn an_update_before_established_is_an_fsm_error_with_the_subcode_of_the_state() {
    let mut session = Session::new(config(), 1);
    session.handle_start(at(0.0));
    session.handle_connected(at(0.1));
    session.handle_message(at(0.2), Message::Update(Update::default()));
    assert_eq!(outputs(&mut session)[2], "NOTIFICATION 5/1");
    let mut session = Session::new(config(), 1);
    session.handle_start(at(0.0));
    session.handle_connected(at(0.1));
    session.handle_message(at(0.2), open());
    session.handle_message(at(0.3), Message::RouteRefresh(Family::Ipv4Unicast));
    assert_eq!(outputs(&mut session)[3], "NOTIFICATION 5/2");
}

#[test]
fn a_passive_session_never_dials() {
    let mut session = Session::new(Config { passive: true, ..config() }, 1);
    session.handle_start(at(0.0));
    assert_eq!((session.state(), session.poll_timeout()), (State::Active, None));
    session.handle_accepted(at(1.0));
    session.handle_closed(at(2.0), "connection reset");
    assert_eq!((session.state(), session.poll_timeout()), (State::Active, None));
    assert_eq!(outputs(&mut session), ["OPEN", "Close"]);
}

#[test]
fn a_failed_attempt_waits_for_the_peer_and_tries_again() {
    let mut session = Session::new(config(), 1);
    session.handle_start(at(0.0));
    session.handle_closed(at(0.1), "connection refused");
    assert_eq!(session.state(), State::Active);
    let (due, timer) = session.poll_timeout().unwrap();
    assert_eq!(timer, Timer::ConnectRetry);
    session.handle_timeout(due);
    assert_eq!(outputs(&mut session), ["Dial", "Dial"]);
}
