//! A filter in the kernel (classic BPF, `Documentation/networking/filter.rst`) that keeps the watch from
//! hearing what we do ourselves.
//!
//! Without it, installing half a million routes would run the watch's buffer over. What it lets pass is
//! everything but news of our own routes and nexthop objects that one of our own sockets has caused; with
//! `nexthop_compat_mode` on, that includes a notice for every route of a nexthop object that we replace.

use std::io;
use std::os::fd::AsFd;

use socket2::{SockFilter, SockRef};

use super::notice::{NEXTHOP_PROTOCOL_AT, ROUTE_PROTOCOL_AT};
use super::rtm;

// Opcodes of `linux/bpf_common.h`.
const LOAD_WORD: u16 = 0x20;
const LOAD_HALF: u16 = 0x28;
const LOAD_OCTET: u16 = 0x30;
const JUMP: u16 = 0x05;
const JUMP_IF_EQUAL: u16 = 0x15;
const RETURN: u16 = 0x06;

/// Offsets of `nlmsg_type` and `nlmsg_pid`.
const KIND_AT: u32 = 4;
const PORT_AT: u32 = 12;

/// Has a socket not hear of routes and nexthop objects of this protocol number that were changed through
/// the sockets with these ports.
///
/// # Errors
/// The kernel's.
pub(super) fn attach(socket: &impl AsFd, protocol: u8, ports: &[u32]) -> io::Result<()> {
    let program: Vec<SockFilter> = (program(protocol, ports).into_iter())
        .map(|(code, if_true, if_false, value)| SockFilter::new(code, if_true, if_false, value))
        .collect();
    SockRef::from(socket).attach_filter(&program)
}

/// Instructions: code, how many to skip if true, if false, and the operand.
fn program(protocol: u8, ports: &[u32]) -> Vec<(u16, u8, u8, u32)> {
    // Words and halves are loaded in network order, and netlink's are in the machine's.
    let half = |value: u16| u32::from(u16::from_be_bytes(value.to_ne_bytes()));
    let word = |value: u32| u32::from_be_bytes(value.to_ne_bytes());
    // More sockets than a jump can skip are not ignored in the kernel, but are by the watch.
    let ports = &ports[..ports.len().min(64)];
    let mut program = vec![
        (LOAD_HALF, 0, 0, KIND_AT),
        (JUMP_IF_EQUAL, 4, 0, half(rtm::NEW_ROUTE)),
        (JUMP_IF_EQUAL, 3, 0, half(rtm::DEL_ROUTE)),
        (JUMP_IF_EQUAL, 4, 0, half(rtm::NEW_NEXTHOP)),
        (JUMP_IF_EQUAL, 3, 0, half(rtm::DEL_NEXTHOP)),
        (RETURN, 0, 0, u32::MAX),
        (LOAD_OCTET, 0, 0, ROUTE_PROTOCOL_AT as u32),
        (JUMP, 0, 0, 1),
        (LOAD_OCTET, 0, 0, NEXTHOP_PROTOCOL_AT as u32),
        (JUMP_IF_EQUAL, 0, ports.len() as u8 + 1, protocol.into()),
        (LOAD_WORD, 0, 0, PORT_AT),
    ];
    for (index, port) in ports.iter().enumerate() {
        let rest = (ports.len() - index) as u8;
        program.push((JUMP_IF_EQUAL, rest, 0, word(*port)));
    }
    program.push((RETURN, 0, 0, u32::MAX));
    program.push((RETURN, 0, 0, 0));
    program
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs a program over a message; how the kernel does it.
    fn passes(program: &[(u16, u8, u8, u32)], message: &[u8]) -> bool {
        let (mut at, mut register) = (0, 0);
        loop {
            let (code, if_true, if_false, value) = program[at];
            let from = value as usize;
            at += 1;
            match code {
                LOAD_WORD => register = u32::from_be_bytes(message[from..from + 4].try_into().unwrap()),
                LOAD_HALF => {
                    register = u16::from_be_bytes(message[from..from + 2].try_into().unwrap()).into();
                }
                LOAD_OCTET => register = message[from].into(),
                JUMP => at += from,
                JUMP_IF_EQUAL => at += usize::from(if register == value { if_true } else { if_false }),
                RETURN => return value != 0,
                other => panic!("{other}"),
            }
        }
    }

    fn message(kind: u16, port: u32, protocol_at: usize, protocol: u8) -> Vec<u8> {
        let mut message = vec![0; 28];
        message[4..6].copy_from_slice(&kind.to_ne_bytes());
        message[12..16].copy_from_slice(&port.to_ne_bytes());
        message[protocol_at] = protocol;
        message
    }

    #[test]
    fn it_drops_what_our_sockets_do_to_our_routes_and_nothing_else() {
        let program = program(114, &[7, 0x0102_0304]);
        for port in [0, 1, 7, 0x0102_0304, 0x0403_0201] {
            for protocol in [2, 114] {
                let ours = protocol == 114 && [7, 0x0102_0304].contains(&port);
                for kind in [rtm::NEW_ROUTE, rtm::DEL_ROUTE] {
                    let route = message(kind, port, ROUTE_PROTOCOL_AT, protocol);
                    assert_eq!(passes(&program, &route), !ours, "{port} {protocol}");
                }
                for kind in [rtm::NEW_NEXTHOP, rtm::DEL_NEXTHOP] {
                    let nexthop = message(kind, port, NEXTHOP_PROTOCOL_AT, protocol);
                    assert_eq!(passes(&program, &nexthop), !ours, "{port} {protocol}");
                }
                for kind in [rtm::NEW_LINK, rtm::DEL_ADDRESS] {
                    assert!(passes(&program, &message(kind, port, ROUTE_PROTOCOL_AT, protocol)));
                }
            }
        }
    }

    #[test]
    fn without_sockets_of_ours_everything_passes() {
        let program = program(114, &[]);
        assert!(passes(&program, &message(rtm::NEW_ROUTE, 0, ROUTE_PROTOCOL_AT, 114)));
    }
}
