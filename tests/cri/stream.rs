//! Echoes from a pod to an address, twenty a second, that must all be answered.

use std::io::{BufRead as _, BufReader};
use std::net::IpAddr;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, ensure};

use crate::node::Node;
use crate::pod::Pod;
use crate::wait;

/// A process in a pod's network that asks again and again.
pub struct Stream {
    ping: Child,
    /// Answers so far, and one more than the highest number answered. Numbers start with 0.
    answers: Arc<(AtomicU64, AtomicU64)>,
}

impl Stream {
    /// Starts one, and waits until it flows.
    pub async fn start(node: &Node, pod: &Pod, to: IpAddr) -> anyhow::Result<Stream> {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net={}", pod.netns.display()));
        command.args(["busybox", "ping", "-i", "0.05", &to.to_string()]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut ping = node.sandbox.spawn(&mut command)?;
        let answers = Arc::new((AtomicU64::new(0), AtomicU64::new(0)));
        let (said, seen) = (ping.stdout.take().context("ping says nothing")?, Arc::clone(&answers));
        std::thread::spawn(move || {
            for line in BufReader::new(said).lines().map_while(Result::ok) {
                // 64 bytes from 10.244.2.2: seq=0 ttl=62 time=0.118 ms
                let number = line.split("seq=").nth(1).and_then(|rest| rest.split(' ').next()?.parse().ok());
                let Some(number) = number else { continue };
                let number: u64 = number;
                seen.0.fetch_add(1, Ordering::SeqCst);
                seen.1.fetch_max(number + 1, Ordering::SeqCst);
            }
        });
        let stream = Stream { ping, answers };
        stream.flow(3).await?;
        Ok(stream)
    }

    /// Waits for so many more answers.
    pub async fn flow(&self, count: u64) -> anyhow::Result<()> {
        let wanted = self.answers.0.load(Ordering::SeqCst) + count;
        wait::until("the stream flows", async || match self.answers.0.load(Ordering::SeqCst) {
            answered if answered >= wanted => Ok(()),
            answered => Err(format!("{answered} answers of {wanted}")),
        })
        .await
    }

    /// Ends it.
    ///
    /// # Errors
    /// Not all were answered.
    pub fn end(self) -> anyhow::Result<()> {
        let (answered, sent) = (self.answers.0.load(Ordering::SeqCst), self.answers.1.load(Ordering::SeqCst));
        ensure!(answered == sent, "{answered} echoes of {sent} were answered");
        Ok(())
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        // It may have ended with its pod.
        let _ = self.ping.kill();
        let _ = self.ping.wait();
    }
}
