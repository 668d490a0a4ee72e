//! cloudtoid-interprocess: a ring of bytes in a mapped file, opened by each process after the fork, with a named semaphore
//! for whoever waits. Polled, received into the caller's buffer.
#![forbid(unsafe_code)]

use std::fs;
use std::path::PathBuf;
use std::process;

use cloudtoid_interprocess::{Options, Publisher, Subscriber};
use slipring_harness::HarnessError;
use slipring_harness::mechanism::{Mechanism, ReceiveMessage};

use crate::engine::{Buffered, SendWhole, new_name, refused};

const ROOM: usize = 1 << 20;

/// Where a queue's files lie, and what they are called.
pub struct Cloudtoid {
    name: String,
    folder: PathBuf,
    size: usize,
    owner: u32,
}

impl Cloudtoid {
    fn options(&self) -> Options {
        Options::new(self.name.clone(), ROOM).with_path(&self.folder)
    }
}

impl Mechanism for Cloudtoid {
    const NAME: &'static str = "cloudtoid-interprocess";
    type Sender = Buffered<Publisher>;
    type Receiver = Receiving;

    fn prepare(size: usize) -> Result<Self, HarnessError> {
        let owner = process::id();
        let name = new_name("cloudtoid");
        let folder = PathBuf::from("/dev/shm").join(&name);
        fs::create_dir(&folder).map_err(|error| HarnessError::os("making a directory in /dev/shm", error))?;
        Ok(Cloudtoid { name, folder, size, owner })
    }

    fn sender(self) -> Result<Self::Sender, HarnessError> {
        let to = Publisher::open(&self.options()).map_err(refused)?;
        Ok(Buffered::new(to, self.size))
    }

    fn receiver(self) -> Result<Self::Receiver, HarnessError> {
        let from = Subscriber::open(&self.options()).map_err(refused)?;
        // Longer than any message: it cuts what does not fit.
        Ok(Receiving { from, buffer: vec![0; self.size + 8] })
    }
}

impl Drop for Cloudtoid {
    fn drop(&mut self) {
        // The forked copies leave it to whoever made it. Its users remove their parts as they go, unless they are killed.
        if process::id() == self.owner {
            let _ = fs::remove_dir_all(&self.folder);
            let _ = fs::remove_file(format!("/dev/shm/sem.ct3ip.{}", self.name));
        }
    }
}

impl SendWhole for Publisher {
    fn send_whole(&mut self, message: &[u8]) -> Result<(), HarnessError> {
        loop {
            match self.try_send(message) {
                Ok(()) => return Ok(()),
                Err(error) if error.is_full() => std::hint::spin_loop(),
                Err(error) => return Err(refused(error)),
            }
        }
    }
}

/// The receiving end.
pub struct Receiving {
    from: Subscriber,
    buffer: Vec<u8>,
}

impl ReceiveMessage for Receiving {
    fn receive<R>(&mut self, _size: usize, look: impl FnOnce(&[u8]) -> R) -> Result<R, HarnessError> {
        loop {
            match self.from.try_recv_into(&mut self.buffer).map_err(refused)? {
                Some(len) => return Ok(look(&self.buffer[..len])),
                None => std::hint::spin_loop(),
            }
        }
    }
}
