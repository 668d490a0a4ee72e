//! A pair of eventfds: one carries the value, the other the leave to write the next one. An eventfd adds up what is
//! written before it is read; the second one keeps that from happening, as a program must that wants every value.
#![forbid(unsafe_code)]

use std::os::fd::OwnedFd;

use rustix::event::EventfdFlags;
use rustix::io::Errno;

use super::{Copies, Mechanism, ReceiveMessage, SendMessage};
use crate::error::HarnessError;

const WORD: usize = size_of::<u64>();

/// The two descriptors, blocking.
#[derive(Debug)]
pub struct EventFd {
    value: OwnedFd,
    leave: OwnedFd,
}

impl Mechanism for EventFd {
    const NAME: &'static str = "eventfd pair";
    const COPIES: Option<Copies> = Some(Copies::THROUGH_THE_KERNEL);
    type Sender = EventSender;
    type Receiver = EventReceiver;

    fn prepare(size: usize) -> Result<Self, HarnessError> {
        if size != WORD {
            return Err(HarnessError::Limit { what: format!("an event is {WORD} bytes") });
        }
        let made = |start| rustix::event::eventfd(start, EventfdFlags::CLOEXEC);
        let pair = made(0).and_then(|value| Ok(EventFd { value, leave: made(1)? }));
        pair.map_err(|errno| HarnessError::os("making an eventfd", errno))
    }

    fn sender(self) -> Result<Self::Sender, HarnessError> {
        Ok(EventSender(self))
    }

    fn receiver(self) -> Result<Self::Receiver, HarnessError> {
        Ok(EventReceiver(self))
    }
}

/// The end that writes values.
#[derive(Debug)]
pub struct EventSender(EventFd);

impl SendMessage for EventSender {
    fn send(&mut self, message: &[u8]) -> Result<(), HarnessError> {
        let word: [u8; WORD] =
            message.try_into().map_err(|_| HarnessError::Size { want: WORD, got: message.len() })?;
        read(&self.0.leave)?;
        write(&self.0.value, to_event(u64::from_ne_bytes(word))?)
    }

    fn send_with(&mut self, size: usize, fill: impl FnOnce(&mut [u8])) -> Result<(), HarnessError> {
        let mut word = [0; WORD];
        let room = word.get_mut(..size).ok_or(HarnessError::Size { want: WORD, got: size })?;
        fill(room);
        self.send(&word[..size])
    }
}

/// The end that reads values.
#[derive(Debug)]
pub struct EventReceiver(EventFd);

impl ReceiveMessage for EventReceiver {
    fn receive<R>(&mut self, _size: usize, look: impl FnOnce(&[u8]) -> R) -> Result<R, HarnessError> {
        let word = read(&self.0.value)?.wrapping_sub(1);
        let seen = look(&word.to_ne_bytes());
        write(&self.0.leave, 1)?;
        Ok(seen)
    }
}

/// Neither 0 nor the greatest number can be written, so all are moved on by one. The two that are left out are no
/// message of ours: they would be numbers beyond 2^63, or the first message marked as the last.
fn to_event(word: u64) -> Result<u64, HarnessError> {
    match word.wrapping_add(1) {
        0 | u64::MAX => Err(HarnessError::BadOption { what: format!("{word:#x} as an event") }),
        event => Ok(event),
    }
}

fn read(from: &OwnedFd) -> Result<u64, HarnessError> {
    let mut word = [0; WORD];
    loop {
        match rustix::io::read(from, &mut word) {
            Ok(WORD) => return Ok(u64::from_ne_bytes(word)),
            Ok(got) => return Err(HarnessError::Size { want: WORD, got }),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(HarnessError::os("reading an eventfd", errno)),
        }
    }
}

fn write(to: &OwnedFd, word: u64) -> Result<(), HarnessError> {
    loop {
        match rustix::io::write(to, &word.to_ne_bytes()) {
            Ok(WORD) => return Ok(()),
            Ok(got) => return Err(HarnessError::Size { want: WORD, got }),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(HarnessError::os("writing an eventfd", errno)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_eventfd_cannot_hold_is_refused() {
        assert_eq!(to_event(0), Ok(1));
        assert_eq!(to_event(!5), Ok(u64::MAX - 4));
        assert!(to_event(u64::MAX).is_err() && to_event(u64::MAX - 1).is_err());
    }

    #[test]
    fn values_arrive_one_by_one() {
        let way = EventFd::prepare(8).unwrap();
        let copy = |fd: &OwnedFd| fd.try_clone().unwrap();
        let other = EventFd { value: copy(&way.value), leave: copy(&way.leave) };
        let (mut sender, mut receiver) = (way.sender().unwrap(), other.receiver().unwrap());
        for value in [0u64, 7, 1 << 40] {
            sender.send(&value.to_ne_bytes()).unwrap();
            assert_eq!(receiver.receive(8, <[u8]>::to_vec).unwrap(), value.to_ne_bytes());
        }
        assert!(matches!(EventFd::prepare(16), Err(HarnessError::Limit { .. })));
    }
}
