//! Deleting a link without waiting for what nobody needs to wait for.
//!
//! The kernel answers an `RTM_DELLINK` some fifteen milliseconds after the link is gone. It has unlisted
//! both ends of a veth pair, told everybody and given up its lock (`unregister_netdevice_many`); then, before
//! it returns to who asked, it waits until every processor is done with what is being freed
//! (`netdev_run_todo`, `rcu_barrier`). Names, addresses and routes are free before that.
//!
//! So a child process asks, and this one waits until the kernel tells everybody that the link is gone. The
//! child keeps nothing open but its socket, so that a runtime which reads the plugin's output to its end is
//! not held up, and ends by itself a moment after its parent; init reaps it, as it does any orphan.
//!
//! Whatever befalls the child, the link is gone when this returns, or there is an error: a refusal comes
//! through a pipe, and where the pipe ends without a word the parent asks itself.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsFd, OwnedFd};

use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::pipe2;

use super::batch::{At, Batch};
use super::frame::{Frame, u8_at, u32_at};
use super::news::{Deadline, Heard, News, Subject};
use super::refusal::Refusal;
use super::rtm;
use super::{Conversation, Error};

impl Conversation {
    /// Deletes a link, both ends of a veth pair, and returns when it is gone, which is before the kernel has
    /// done with it: what has its name may be made at once. That it is gone already is success. The
    /// conversation must be in the calling thread's namespace.
    ///
    /// # Errors
    /// The kernel refuses to delete it.
    pub fn delete_quickly(self, link: At<'_>) -> Result<(), Error> {
        let mut batch = Batch::new();
        batch.delete_link_at(link);
        let begun = News::of(Subject::Links).and_then(|news| {
            let what = || format!("delete link {}", link.name);
            let (report, sender) = pipe2(OFlag::O_CLOEXEC).map_err(Error::system(what))?;
            self.send_from_child(&mut batch, &sender).map_err(Error::system(what))?;
            Ok((news, report))
        });
        let told = match begun {
            Ok((news, report)) => await_end(news, report, link.index)?,
            // No more processes, or no more memory: it takes fifteen milliseconds longer.
            Err(_) => Told::Nothing,
        };
        match told {
            Told::Gone => Ok(()),
            Told::Refused(code) => {
                let refusal = Refusal::of(code);
                if refusal.is(nix::Error::ENODEV) {
                    return Ok(());
                }
                Err(refusal.to(format_args!("delete link {}", link.name)))
            }
            Told::Nothing => {
                let mut batch = Batch::new();
                batch.delete_link_at(link);
                Conversation::open()?.carry_out(batch).map(drop)
            }
        }
    }
}

/// How it ended.
enum Told {
    /// The link is gone.
    Gone,
    /// The kernel's answer to the child was this error.
    Refused(i32),
    /// The child has died without a word.
    Nothing,
}

/// Waits for the news that the link is gone, or for the child's.
fn await_end(mut news: News, report: OwnedFd, index: u32) -> Result<Told, Error> {
    // A port that leaves its bridge is told as deleted from that, too, by a message of the bridge's family.
    let of_link = |frame: Frame<'_>| {
        let this = u8_at(frame.body, 0) == Some(0) && u32_at(frame.body, 4) == Some(index);
        (frame.kind == rtm::DEL_LINK && this).then_some(())
    };
    loop {
        // What is lost for want of room, the child's report makes up for.
        if let Heard::This(()) = news.hear(Deadline::now(), of_link)? {
            return Ok(Told::Gone);
        }
        let mut ready =
            [PollFd::new(news.as_fd(), PollFlags::POLLIN), PollFd::new(report.as_fd(), PollFlags::POLLIN)];
        match poll(&mut ready, PollTimeout::NONE) {
            Ok(_) | Err(nix::Error::EINTR) => {}
            Err(error) => return Err(Error::system(|| "wait until a link is gone".to_owned())(error)),
        }
        if ready[1].any() == Some(true) {
            return read_report(report).map_err(Error::system(|| "hear that a link is gone".to_owned()));
        }
    }
}

fn read_report(report: OwnedFd) -> io::Result<Told> {
    let mut code = [0; 4];
    match File::from(report).read_exact(&mut code) {
        Ok(()) => Ok(match i32::from_ne_bytes(code) {
            0 => Told::Gone,
            code => Told::Refused(code),
        }),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(Told::Nothing),
        Err(error) => Err(error),
    }
}
