//! Sleepers pay for the fences of those who wake them with membarrier(2), which reaches only processes that are registered
//! for it: whoever attaches is, or is refused, where the segment says that its sleepers rely on that.

mod common;

use common::{Scratch, alone, forbid, fork, is_registered_for_fences, scratch, until};
use slipring::adapters::socket::{self, Datagram, Listener, Stream};
use slipring::adapters::sysv::flags::IPC_CREAT;
use slipring::adapters::{fifo, pipe, posix_mq, sysv_mq};
use slipring::{Error, Fences, Options, Ring};
use std::any::Any;
use std::io;

/// Something that one process makes and another attaches to.
struct Thing {
    name: &'static str,
    /// Whether it is made when somebody waits to attach.
    late: bool,
    /// Makes it, and keeps it.
    make: fn(&Place) -> Box<dyn Any>,
    /// Opens it, up to the moment at which it could sleep, or wake.
    attach: fn(&Place) -> io::Result<Box<dyn Any>>,
}

/// Where it is.
struct Place {
    scratch: Scratch,
    queue: String,
    key: i32,
}

impl Place {
    fn new() -> Place {
        let scratch = scratch();
        let queue = format!("/{}", scratch.0.file_name().unwrap().to_str().unwrap());
        // A key that no other test has at the same time: those have other upper bits.
        let key = 0x5100_0000 | (std::process::id() & 0x00ff_ffff).cast_signed();
        Place { scratch, queue, key }
    }

    fn path(&self) -> std::path::PathBuf {
        self.scratch.0.join("it")
    }

    fn fifo(&self) -> fifo::Fifo {
        fifo::Fifo::file(self.path()).unwrap()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // Not here: this process is to stay one that never attached to anything.
        fork(|_| {
            let _ = posix_mq::unlink(&self.queue);
            let queue = sysv_mq::get_queue(self.key, 0, &sysv_mq::Options::new());
            let _ = queue.and_then(|mut queue| queue.remove());
        })
        .join();
    }
}

fn kept<T: 'static, E: Into<io::Error>>(result: Result<T, E>) -> io::Result<Box<dyn Any>> {
    result.map(|it| Box::new(it) as Box<dyn Any>).map_err(Into::into)
}

/// As the adapters answer where the kernel lacks something.
fn ring<T: 'static>(ring: slipring::Result<T>) -> io::Result<Box<dyn Any>> {
    kept(ring.map_err(|error| match error {
        Error::Unsupported { .. } => io::Error::from_raw_os_error(libc::EOPNOTSUPP),
        other => io::Error::other(other),
    }))
}

fn posix() -> posix_mq::Open {
    posix_mq::Open::existing(posix_mq::Access::Both)
}

const THINGS: [Thing; 7] = [
    Thing {
        name: "an SPSC ring",
        late: false,
        make: |at| Box::new(Ring::create_file(at.path(), &Options::new().capacity(4096)).unwrap()),
        attach: |at| ring(Ring::open_file(at.path())),
    },
    Thing {
        name: "an MPMC ring",
        late: false,
        make: |at| Box::new(Ring::create_file(at.path(), &Options::mpmc(8, 8)).unwrap()),
        attach: |at| ring(Ring::open_file(at.path())),
    },
    Thing {
        name: "a FIFO",
        late: false,
        make: |at| {
            at.fifo().create(&pipe::Options::new(), 0o600).unwrap();
            Box::new(at.fifo().open_both(fifo::Open::Nonblocking).unwrap())
        },
        attach: |at| kept(at.fifo().open_both(fifo::Open::Nonblocking)),
    },
    Thing {
        name: "a POSIX message queue",
        late: false,
        make: |at| Box::new(posix().create(&posix_mq::Options::new()).open(&at.queue).unwrap()),
        attach: |at| kept(posix().open(&at.queue)),
    },
    Thing {
        name: "a System V message queue",
        late: false,
        make: |at| {
            let options = sysv_mq::Options::new().message_size(8).bytes(64).max_bytes(64);
            Box::new(sysv_mq::get_queue(at.key, IPC_CREAT | 0o600, &options).unwrap())
        },
        attach: |at| kept(sysv_mq::get_queue(at.key, 0, &sysv_mq::Options::new())),
    },
    Thing {
        name: "a datagram socket",
        late: false,
        make: |at| Box::new(Datagram::bind(at.path(), &socket::Options::new()).unwrap()),
        attach: |at| {
            let mut sender = Datagram::unbound(&socket::Options::new().nonblocking(true))?;
            kept(sender.connect(at.path()).map(|()| sender))
        },
    },
    Thing {
        name: "a stream socket",
        late: true,
        // The one that connects makes the rings; so that both know each other, the one that attaches listens.
        make: |at| {
            let mut stream = None;
            until("somebody listens", || {
                stream = Stream::connect(at.path(), &socket::Options::new()).ok();
                stream.is_some()
            });
            Box::new(stream)
        },
        attach: |at| {
            let listener = Listener::<Stream>::bind(at.path(), &socket::Options::new())?;
            let mut stream = listener.accept()?;
            kept(stream.send_buffer().map(|_| stream))
        },
    },
];

/// What `attach` gives in a process of its own, beside one that made the thing; and what that process saw meanwhile.
fn attached(thing: &Thing, prepare: fn(), see: fn(&io::Result<Box<dyn Any>>)) {
    let place = Place::new();
    let mut maker = fork(|link| {
        let it = (thing.make)(&place);
        link.say(0);
        std::thread::sleep(common::LIMIT);
        drop(it);
    });
    if !thing.late {
        maker.hear();
    }
    fork(|_| {
        prepare();
        see(&(thing.attach)(&place));
    })
    .join();
    maker.kill();
}

#[test]
fn whoever_attaches_is_reached_by_its_peers_fences() {
    let _alone = alone();
    if is_registered_for_fences().is_none() {
        println!("skipped: this kernel does not say who is registered (Linux 6.3 does)");
        return;
    }
    for thing in &THINGS {
        println!("{}", thing.name);
        attached(
            thing,
            || assert_eq!(is_registered_for_fences(), Some(false), "not yet"),
            |attached| {
                attached.as_ref().unwrap();
                assert_eq!(is_registered_for_fences(), Some(true));
            },
        );
    }
}

#[test]
fn whoever_cannot_be_reached_by_its_peers_fences_is_refused() {
    let _alone = alone();
    let plain = |ring: &Ring| ring.info().fences == Fences::Plain;
    let made = || Ring::anonymous(&Options::new().capacity(4096)).unwrap();
    if fork(|link| link.say(plain(&made()).into())).hear() == 1 {
        println!("skipped: membarrier(2) is not available");
        return;
    }
    // A listener passes over connections that it cannot use, and waits for the next.
    for thing in THINGS.iter().filter(|thing| !thing.late) {
        println!("{}", thing.name);
        attached(
            thing,
            || forbid(libc::SYS_membarrier),
            |attached| {
                let error = attached.as_ref().expect_err("it is refused");
                assert_eq!(error.raw_os_error(), Some(libc::EOPNOTSUPP), "{error}");
            },
        );
    }
}
